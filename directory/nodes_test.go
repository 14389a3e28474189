package directory_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
)

// TestP9_ADeactivationThatTheOthersDoNotHearOfEndsSessions: here at least, and the
// others are told when the call is repeated, though there is nothing to change.
func TestP9_ADeactivationThatTheOthersDoNotHearOfEndsSessions(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ann", Active: true})
	deaf := errors.New("nobody hears it")
	var told []bool
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw,
		Announce: func(_ context.Context, _ identity.TenantID, changed bool) error {
			told = append(told, changed)
			return deaf
		}})
	off := func(u *directory.User) error { u.Active = false; return nil }
	for _, steps := range [][]string{{"journal user.deactivated", "end " + string(u.ID)}, {"end " + string(u.ID)}} {
		b.took()
		if _, err := b.UpdateUser(t.Context(), cause, b.tenant, u.ID, 0, off); !errors.Is(err, deaf) {
			t.Errorf("untold: %v", err)
		}
		if got := b.took(); !slices.Equal(got, steps) {
			t.Errorf("it did %v, want %v", got, steps)
		}
	}
	if err := b.DeleteUser(t.Context(), cause, b.tenant, u.ID, 0); !errors.Is(err, deaf) {
		t.Errorf("untold: %v", err)
	}
	if got := b.took(); got[len(got)-1] != "end "+string(u.ID) {
		t.Errorf("it did %v", got)
	}
	if !slices.Equal(told, []bool{true, false, true}) {
		t.Errorf("announced %v", told)
	}
}
