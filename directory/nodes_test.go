package directory_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// TestP9_ADeactivationThatTheOthersDoNotHearOfEndsSessions: here at least, and the
// others are told when the call is repeated, though there is nothing to change.
func TestP9_ADeactivationThatTheOthersDoNotHearOfEndsSessions(t *testing.T) {
	b := newBench(t)
	u := b.create(t, directory.User{UserName: "ann", Active: true})
	deaf := errors.New("nobody hears it")
	var told []bool
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw,
		Announce: func(_ context.Context, _ identity.TenantID, changed bool, _ []identity.UserID) error {
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

// TestP8_WhoIsKnownIsServedWithoutSQL: whatever else has changed in the tenant; and
// who is not known here may be known elsewhere.
func TestP8_WhoIsKnownIsServedWithoutSQL(t *testing.T) {
	b := newBench(t)
	var told [][]identity.UserID
	elsewhere := map[identity.UserID]identity.Person{}
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw,
		Announce: func(_ context.Context, _ identity.TenantID, _ bool, people []identity.UserID) error {
			told = append(told, people)
			return nil
		},
		Elsewhere: func(_ context.Context, tenant identity.TenantID, id identity.UserID) (identity.Person, bool) {
			p, ok := elsewhere[id]
			return p, ok && tenant == b.tenant
		}})
	ann := b.create(t, directory.User{UserName: "ann", DisplayName: "Ann", Active: true})
	bob := b.create(t, directory.User{UserName: "bob", Active: true})
	eve := b.create(t, directory.User{UserName: "eve", Active: true})
	named, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "named"})
	must(t, err)
	_, err = b.UpdateGroup(t.Context(), cause, b.tenant, named.ID, 0, func(g *directory.Group, _ *directory.MemberChange) error {
		g.DisplayName = "renamed"
		return nil
	})
	must(t, err)
	must(t, b.DeleteGroup(t.Context(), cause, b.tenant, named.ID, 0))
	if all := told[len(told)-2:]; !slices.Equal(all[0], directory.Everybody) || !slices.Equal(all[1], directory.Everybody) {
		t.Errorf("of a group that is renamed, and deleted, told of %v", all)
	}
	for _, u := range []directory.User{ann, bob, eve} {
		_, err := b.Person(t.Context(), b.tenant, u.ID)
		must(t, err)
	}
	changes := []struct {
		do    func() error
		about []identity.UserID
	}{
		{func() error {
			_, err := b.UpdateUser(t.Context(), cause, b.tenant, bob.ID, 0, func(u *directory.User) error { u.DisplayName = "Bob"; return nil })
			return err
		}, []identity.UserID{bob.ID}},
		{func() error {
			g, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "ops", Members: []directory.Member{{User: bob.ID}}})
			must(t, err)
			return b.AddMembers(t.Context(), cause, b.tenant, g.ID, []identity.UserID{eve.ID})
		}, []identity.UserID{eve.ID}},
		{func() error {
			_, err := b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: "red"})
			return err
		}, nil},
		{func() error { return b.DeleteUser(t.Context(), cause, b.tenant, eve.ID, 0) }, []identity.UserID{eve.ID}},
	}
	for _, c := range changes {
		must(t, c.do())
		if got := told[len(told)-1]; !slices.Equal(got, c.about) {
			t.Errorf("told of %v, want %v", got, c.about)
		}
	}
	must(t, b.db.Close())
	if p, err := b.Person(t.Context(), b.tenant, ann.ID); err != nil || p.Name != "Ann" {
		t.Errorf("who was known: %+v, %v", p, err)
	}
	_, err = b.Person(t.Context(), b.tenant, bob.ID)
	wantFault(t, err, fault.Unavailable, fault.As(err).Code)
	elsewhere[bob.ID] = identity.Person{ID: bob.ID, Name: "Bob", Active: true}
	b.Refresh(b.tenant, nil) // or it would be too soon to ask again
	for range 2 {
		if p, err := b.Person(t.Context(), b.tenant, bob.ID); err != nil || p.Name != "Bob" {
			t.Errorf("who is known elsewhere: %+v, %v", p, err)
		}
		delete(elsewhere, bob.ID) // from then on here as well
	}
	b.Refresh(b.tenant, []identity.UserID{ann.ID})
	if _, ok := b.Remembered(b.tenant, bob.ID); !ok {
		t.Error("a change of another was about Bob")
	}
	_, err = b.Person(t.Context(), b.tenant, ann.ID)
	wantFault(t, err, fault.Unavailable, fault.As(err).Code)
	version := b.Version(b.tenant)
	if got := b.GiveBack(); !slices.Equal(got, []identity.TenantID{b.tenant}) || b.Version(b.tenant) == version {
		t.Errorf("given back: %v, and what was decided by it stands", got)
	}
	if _, ok := b.Remembered(b.tenant, bob.ID); ok {
		t.Error("Bob is known by another's word though SQL can be asked")
	}
	version = b.Version(b.tenant)
	if got := b.GiveBack(); got != nil || b.Version(b.tenant) != version {
		t.Errorf("given back once more: %v", got)
	}
	b.Refresh(b.tenant, directory.Everybody)
	if _, ok := b.Remembered(b.tenant, bob.ID); ok {
		t.Error("a change of everybody was not about Bob")
	}
}
