package conformance

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse/internal/store"
)

// rehearsal tries that the parts of a rehearsal see each other, that one that fails
// undoes itself alone, and that nothing is left of any.
func rehearsal(t *testing.T, open Open) {
	db := opened(t, open, acme)
	addTeam(t, db.Tenant(acme), "there")
	oops := errors.New("oops")
	for name, end := range map[string]error{"that goes well": nil, "that fails": oops} {
		err := db.Tenant(acme).Rehearse(t.Context(), func(tenant store.Tenant) error {
			addTeam(t, tenant, "rehearsed")
			err := tenant.Write(t.Context(), func(tx *store.Tx) error {
				if _, err := tx.Exec(t.Context(), `DELETE FROM teams`); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), `SELECT x FROM nowhere`)
				return err
			})
			if err == nil {
				t.Error("a statement that fails is none that fails")
			}
			if got := teams(t, tenant); !slices.Equal(got, []string{"rehearsed", "there"}) {
				t.Errorf("%s: it sees %q", name, got)
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Errorf("%s: %v", name, err)
		}
		if got := teams(t, db.Tenant(acme)); !slices.Equal(got, []string{"there"}) {
			t.Errorf("%s: it leaves %q", name, got)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	err := db.Tenant(acme).Rehearse(gone, func(tenant store.Tenant) error {
		cancel()
		return tenant.Read(gone, func(*store.Tx) error { return nil })
	})
	if err == nil {
		t.Error("whose caller has gone goes on")
	}
	addTeam(t, db.Tenant(acme), "after")
}
