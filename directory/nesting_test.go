package directory_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
)

// groupsOf gives the names of the groups that a person is in, those through others with
// a star.
func (b *bench) groupsOf(t *testing.T, id string) string {
	t.Helper()
	p, err := b.Person(t.Context(), b.tenant, identity.UserID(id))
	must(t, err)
	var names []string
	for _, g := range p.Groups {
		if g.Indirect {
			g.Name += "*"
		}
		names = append(names, g.Name)
	}
	return strings.Join(names, " ")
}

func (b *bench) nest(t *testing.T, outer identity.GroupID, inner ...identity.GroupID) {
	t.Helper()
	_, err := b.edit(t.Context(), b.Service, outer, func(m *directory.MemberChange) {
		for _, id := range inner {
			m.Add(directory.GroupMember, string(id))
		}
	})
	must(t, err)
}

// TestPeopleAreInTheGroupsOfTheirGroups: known at once to whoever asks (RFC 7643 §4.1.2).
func TestPeopleAreInTheGroupsOfTheirGroups(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 3)
	a, c, d := b.grouped(t, "a", ids[0]), b.grouped(t, "c", ids[1]), b.grouped(t, "d", ids[0])
	is := func(step string, want ...string) {
		t.Helper()
		for i, names := range want {
			if got := b.groupsOf(t, ids[i]); got != names {
				t.Errorf("%s: person %d is in %q, want %q", step, i, got, names)
			}
		}
	}
	is("apart", "a d", "c", "")
	b.nest(t, c.ID, a.ID)
	is("a in c", "a c* d", "c", "")
	b.nest(t, a.ID, d.ID)
	is("d in a, by which nobody gains", "a c* d", "c", "")
	b.nest(t, a.ID, c.ID)
	is("c in a, a circle (RFC 7644 §3.7.1)", "a c* d", "a* c", "")
	must(t, b.AddMembers(t.Context(), cause, b.tenant, d.ID, []identity.UserID{identity.UserID(ids[2])}))
	is("somebody in the innermost", "a c* d", "a* c", "a* c* d")
	must(t, b.RemoveMembers(t.Context(), cause, b.tenant, a.ID, []identity.UserID{identity.UserID(ids[0])}))
	is("in a by d alone", "a* c* d", "a* c", "a* c* d")
	_, err := b.edit(t.Context(), b.Service, a.ID, func(m *directory.MemberChange) { m.Remove(directory.AnyMember, string(d.ID)) })
	must(t, err)
	is("d taken out", "d", "a* c", "d")
	b.nest(t, a.ID, d.ID)
	must(t, b.DeleteGroup(t.Context(), cause, b.tenant, a.ID, 0))
	is("a deleted", "d", "c", "d")
	if got := b.in(t, c.ID); !slices.Equal(got, []string{ids[1]}) {
		t.Errorf("in c are %v", got)
	}
}

// TestGroupsAboveEachOtherCountToADepth: in a chain, and in a circle of more.
func TestGroupsAboveEachOtherCountToADepth(t *testing.T) {
	b := newBench(t)
	id := b.crowd(t, 1)[0]
	var chain []identity.GroupID
	for i := range identity.MaxGroupDepth + 4 {
		g := b.grouped(t, fmt.Sprintf("g%02d", i))
		if i > 0 {
			b.nest(t, g.ID, chain[i-1])
		}
		chain = append(chain, g.ID)
	}
	must(t, b.AddMembers(t.Context(), cause, b.tenant, chain[0], []identity.UserID{identity.UserID(id)}))
	for range 2 {
		got := strings.Fields(b.groupsOf(t, id))
		if len(got) != identity.MaxGroupDepth+1 || got[0] != "g00" || got[identity.MaxGroupDepth] != fmt.Sprintf("g%02d*", identity.MaxGroupDepth) {
			t.Errorf("in %v", got)
		}
		b.nest(t, chain[0], chain[len(chain)-1])
	}
}

// TestNestingIsToldOfAsEverybodys: nobody says who is in a group that is put into another.
func TestNestingIsToldOfAsEverybodys(t *testing.T) {
	b := newBench(t)
	var told []identity.UserID
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw,
		Announce: func(_ context.Context, _ identity.TenantID, _ bool, people []identity.UserID) error {
			told = people
			return nil
		}})
	ids := b.crowd(t, 1)
	inner, outer := b.grouped(t, "inner", ids[0]), b.grouped(t, "outer")
	for i, do := range []func(*directory.MemberChange){
		func(m *directory.MemberChange) { m.Add(directory.AnyMember, string(inner.ID)) },
		func(m *directory.MemberChange) { m.Remove(directory.AnyMember, string(inner.ID)) },
		func(m *directory.MemberChange) {
			m.RemoveAll(directory.AnyMember)
			m.Add(directory.AnyMember, string(inner.ID))
		},
		func(m *directory.MemberChange) { m.RemoveAll(directory.GroupMember) },
	} {
		told = nil
		_, err := b.edit(t.Context(), b.Service, outer.ID, do)
		must(t, err)
		if !slices.Equal(told, directory.Everybody) {
			t.Errorf("%d: told of %v", i, told)
		}
	}
	_, err := b.edit(t.Context(), b.Service, outer.ID, func(m *directory.MemberChange) { m.Add(directory.AnyMember, ids[0]) })
	must(t, err)
	if !slices.Equal(told, []identity.UserID{identity.UserID(ids[0])}) {
		t.Errorf("of a person told of %v", told)
	}
}
