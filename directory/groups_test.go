package directory_test

import (
	"errors"
	"testing"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

func TestGroupLifeCycle(t *testing.T) {
	b := newBench(t)
	ada := b.create(t, directory.User{UserName: "ada", DisplayName: "Ada"})
	bob := b.create(t, directory.User{UserName: "bob", DisplayName: "Bob"})
	g, err := b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "Ops", ExternalID: "x", Source: directory.SourceSCIM,
		Members: []directory.Member{{User: ada.ID}, {User: ada.ID}}})
	must(t, err)
	if len(g.Members) != 1 || g.Members[0].Display != "Ada" {
		t.Fatalf("members %+v", g.Members)
	}
	_, err = b.CreateGroup(t.Context(), cause, b.tenant, directory.Group{DisplayName: "OPS"})
	wantFault(t, err, fault.Conflict, "uniqueness")

	g, err = b.UpdateGroup(t.Context(), cause, b.tenant, g.ID, g.Version, func(g *directory.Group, members *directory.MemberChange) error {
		g.DisplayName = "Operations"
		members.RemoveAll(directory.AnyMember)
		members.Add(directory.PersonMember, string(bob.ID))
		return nil
	})
	must(t, err)
	if e := b.lastEvent(); e.Details["changed"] != "display_name,members" || e.Details["added"] != "1" || e.Details["removed"] != "1" {
		t.Fatalf("event %+v", e)
	}
	after, err := b.Group(t.Context(), b.tenant, g.ID, true)
	must(t, err)
	if g.Version != 2 || after.Version != 2 || g.Members != nil || len(after.Members) != 1 || after.Members[0].User != bob.ID {
		t.Fatalf("group %+v, %+v", g, after)
	}

	broken := errors.New("broken")
	_, err = b.UpdateGroup(t.Context(), cause, b.tenant, g.ID, 0, func(_ *directory.Group, members *directory.MemberChange) error {
		members.RemoveAll(directory.AnyMember)
		return broken
	})
	wantError(t, err, broken)
	_, err = b.UpdateGroup(t.Context(), cause, b.tenant, g.ID, 0, func(_ *directory.Group, members *directory.MemberChange) error {
		members.RemoveAll(directory.AnyMember)
		members.Add(directory.AnyMember, "usr_nobody")
		return nil
	})
	wantFault(t, err, fault.Invalid, "unknown-member")
	g, err = b.Group(t.Context(), b.tenant, g.ID, true)
	must(t, err)
	if len(g.Members) != 1 || g.Version != 2 {
		t.Fatalf("a refused change left its mark: %+v", g)
	}

	must(t, b.RemoveMembers(t.Context(), cause, b.tenant, g.ID, []identity.UserID{bob.ID, ada.ID}))
	must(t, b.DeleteGroup(t.Context(), cause, b.tenant, g.ID, 0))
	_, err = b.Group(t.Context(), b.tenant, g.ID, false)
	wantFault(t, err, fault.NotFound, "group-unknown")
}

func TestTeams(t *testing.T) {
	b := newBench(t)
	team, err := b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: "payments", DisplayName: "Payments"})
	must(t, err)
	for _, name := range []string{"", "Payments", "a/b", "-a", "a-", "a b", "ä"} {
		if _, err := b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: name}); !fault.Is(err, fault.Invalid) {
			t.Errorf("team %q: %v", name, err)
		}
	}
	_, err = b.CreateTeam(t.Context(), cause, b.tenant, directory.Team{Name: "payments"})
	wantFault(t, err, fault.Conflict, "uniqueness")
	team, err = b.UpdateTeam(t.Context(), cause, b.tenant, team.ID, 1, func(t *directory.Team) error { t.Name = "billing"; return nil })
	must(t, err)
	got, err := b.TeamByName(t.Context(), b.tenant, "billing")
	must(t, err)
	if got != team || got.Version != 2 {
		t.Fatalf("got %+v, want %+v", got, team)
	}
	all, err := b.Teams(t.Context(), b.tenant)
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("teams %+v", all)
	}
}
