package authz_test

import (
	"slices"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// nest changes which groups are in one.
func (w *world) nest(outer identity.GroupID, do func(*directory.MemberChange)) {
	w.t.Helper()
	must[directory.Group](w.t)(w.people.UpdateGroup(w.t.Context(), audit.SystemCause(), acme, outer, 0,
		func(_ *directory.Group, members *directory.MemberChange) error {
			do(members)
			return nil
		}))
}

// TestRolesComeByGroupsInGroups: for as long as they are in each other, at once, and
// also where they are so in a circle.
func TestRolesComeByGroupsInGroups(t *testing.T) {
	w := newWorld(t)
	ann := w.user(acme, "ann")
	inner, middle, outer := w.group(acme, "inner", ann), w.group(acme, "middle"), w.group(acme, "outer")
	w.assign(acme, authz.Assignment{Role: authz.Admin, Group: outer})
	is := func(when string, allowed bool) {
		t.Helper()
		_, d, err := w.Decide(t.Context(), ann, authz.Query{Tenant: acme, Permission: authz.Permission{Object: "gatehouse.users", Action: "write"}})
		if err != nil || d.Allowed != allowed || allowed && d.Via != "outer" {
			t.Errorf("%s: %+v, %v", when, d, err)
		}
		profile := must[*authz.Profile](t)(w.Profile(t.Context(), ann))
		if slices.Contains(profile.Roles, authz.Admin) != allowed {
			t.Errorf("%s: the roles %v", when, profile.Roles)
		}
		// Whoever hands out a way to sign in as her gives all of that away.
		helper := &identity.Principal{Kind: identity.KindAPIToken, Tenant: acme, ID: "tok_1", Role: authz.Member}
		if err := w.MayBecome(t.Context(), helper, acme, ann.User); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", when, err)
		}
	}
	in := func(id identity.GroupID) func(*directory.MemberChange) {
		return func(m *directory.MemberChange) { m.Add(directory.GroupMember, string(id)) }
	}
	out := func(id identity.GroupID) func(*directory.MemberChange) {
		return func(m *directory.MemberChange) { m.Remove(directory.AnyMember, string(id)) }
	}
	is("apart", false)
	w.nest(middle, in(inner))
	is("half way", false)
	w.nest(outer, in(middle))
	is("all the way", true)
	w.nest(inner, in(outer))
	is("in a circle", true)
	w.nest(middle, out(inner))
	is("taken out in the middle", false)
	w.nest(outer, in(inner))
	is("directly", true)
	if err := w.people.RemoveMembers(t.Context(), audit.SystemCause(), acme, inner, []identity.UserID{ann.User}); err != nil {
		t.Fatal(err)
	}
	is("out of the innermost", false)
}

// TestAnOwnerByAGroupInAGroupIsOne: whoever is one by it is not the last to go.
func TestAnOwnerByAGroupInAGroupIsOne(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	inner, outer := w.group(acme, "inner", bob), w.group(acme, "outer")
	mine := w.assign(acme, authz.Assignment{Name: "ann-owns", Role: authz.Owner, User: ann.User})
	w.assign(acme, authz.Assignment{Name: "outer-owns", Role: authz.Owner, Group: outer})
	if err := w.Unassign(t.Context(), audit.SystemCause(), acme, mine.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("of an owner beside an empty group: %v", err)
	}
	w.nest(outer, func(m *directory.MemberChange) { m.Add(directory.GroupMember, string(inner)) })
	if err := w.Unassign(t.Context(), audit.SystemCause(), acme, mine.ID); err != nil {
		t.Error(err)
	}
	if _, err := w.Assign(t.Context(), audit.SystemCause(), acme, authz.Assignment{Name: "outer-owns", Role: authz.Owner, User: ann.User}); err != nil {
		t.Error(err)
	}
	if _, err := w.Assign(t.Context(), audit.SystemCause(), acme, authz.Assignment{Name: "outer-owns", Role: authz.Owner, Group: outer}); err != nil {
		t.Errorf("given to the group instead, by which somebody has it: %v", err)
	}
}
