package authz_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
)

// TestP7_TellingTheOthersHoldsNobodyUp: requests are decided while the other nodes
// are told of a change, which may take as long as a lease; a call that is repeated
// because they could not be tells them, though there is nothing to change.
func TestP7_TellingTheOthersHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	deaf := errors.New("nobody hears it")
	var told []bool
	var e *authz.Engine
	e = authz.New(authz.Config{Store: w.db, Journal: w.journal, People: w.people,
		Announce: func(ctx context.Context, tenant identity.TenantID, changed bool) error {
			told = append(told, changed)
			w.people.Refresh(tenant, nil) // so that the policy has to be read anew
			roles, err := e.Roles(ctx, tenant)
			if err != nil || !slices.ContainsFunc(roles, func(r authz.Role) bool { return r.Name == "auditor" }) {
				t.Errorf("meanwhile: %v", err)
			}
			return deaf
		}})
	for range 2 {
		if _, err := e.PutRole(t.Context(), audit.SystemCause(), acme, authz.Role{Name: "auditor", Permissions: []string{"billing:read"}}, 0); !errors.Is(err, deaf) {
			t.Errorf("untold: %v", err)
		}
	}
	if !slices.Equal(told, []bool{true, false}) {
		t.Errorf("announced %v", told)
	}
}
