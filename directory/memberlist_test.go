package directory_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// TestMembersArePaged: in the order of their ids, each once, also while others leave.
func TestMembersArePaged(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 450)
	inner, outer := b.grouped(t, "inner", ids[0]), b.grouped(t, "outer", ids...)
	b.grouped(t, "other", ids[:9]...)
	b.nest(t, outer.ID, inner.ID)
	var seen []string
	for after, more, pages := "", true, 0; more; pages++ {
		page, err := b.Members(t.Context(), b.tenant, directory.MemberQuery{Group: outer.ID, Kind: directory.PersonMember, After: after, Count: 1000})
		must(t, err)
		if len(page.People) > directory.MaxPage || len(page.Groups) > 0 || pages > 2 {
			t.Fatalf("page %d has %d people and %d groups", pages, len(page.People), len(page.Groups))
		}
		for _, u := range page.People {
			seen = append(seen, string(u.ID))
		}
		after, more = seen[len(seen)-1], page.More
		if pages == 0 { // whoever leaves behind our back takes nobody's place along
			_, err := b.edit(t.Context(), b.Service, outer.ID, func(m *directory.MemberChange) { m.Remove(directory.PersonMember, ids[3], ids[300]) })
			must(t, err)
		}
	}
	if want := slices.Delete(slices.Clone(ids), 300, 301); !slices.Equal(seen, want) {
		t.Errorf("%d were seen, want %d", len(seen), len(want))
	}
	groups, err := b.Members(t.Context(), b.tenant, directory.MemberQuery{Group: outer.ID, Kind: directory.GroupMember})
	must(t, err)
	if len(groups.Groups) != 1 || groups.Groups[0].DisplayName != "inner" || groups.People != nil || groups.More {
		t.Errorf("groups in it: %+v", groups)
	}
	_, err = b.Members(t.Context(), b.tenant, directory.MemberQuery{Group: "grp_none"})
	wantFault(t, err, fault.NotFound, "group-unknown")
	_, err = b.Members(t.Context(), b.other, directory.MemberQuery{Group: outer.ID})
	wantFault(t, err, fault.NotFound, "group-unknown")
}

func TestMembersAreSearched(t *testing.T) {
	b := newBench(t)
	ada := b.create(t, directory.User{UserName: "ada@acme.example", Email: "countess@home.example", DisplayName: "Ada Lovelace"})
	bob := b.create(t, directory.User{UserName: "bob%", DisplayName: "Bob"})
	g, inner := b.grouped(t, "g", string(ada.ID), string(bob.ID)), b.grouped(t, "Münster")
	b.nest(t, g.ID, inner.ID)
	for search, want := range map[string]string{"": "ab", "LOVE": "a", "Countess@": "a", "acme": "a", "%": "b", "' OR 1=1": "", "BOB": "b"} {
		page, err := b.Members(t.Context(), b.tenant, directory.MemberQuery{Group: g.ID, Kind: directory.PersonMember, Search: search, Count: 5})
		must(t, err)
		got := ""
		for _, u := range page.People {
			got += u.UserName[:1]
		}
		if got != want {
			t.Errorf("%q finds %q, want %q", search, got, want)
		}
	}
	for search, want := range map[string]int{"MÜN": 1, "ada": 0} {
		page, err := b.Members(t.Context(), b.tenant, directory.MemberQuery{Group: g.ID, Kind: directory.GroupMember, Search: search, Count: 5})
		must(t, err)
		if len(page.Groups) != want {
			t.Errorf("%q finds %d groups, want %d", search, len(page.Groups), want)
		}
	}
}

// TestSizes: how many are in a group itself, counted up to a bound where it is asked for.
func TestSizes(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 5)
	a, c, empty := b.grouped(t, "a", ids...), b.grouped(t, "c", ids[:2]...), b.grouped(t, "empty")
	b.nest(t, c.ID, a.ID)
	all := []identity.GroupID{a.ID, c.ID, empty.ID, "grp_none"}
	for most, want := range map[int][]directory.Size{
		0: {{People: 5}, {People: 2, Groups: 1}, {}, {}},
		5: {{People: 5}, {People: 2, Groups: 1}, {}, {}},
		4: {{People: 4, AtLeast: true}, {People: 2, Groups: 1}, {}, {}},
	} {
		sizes, err := b.Sizes(t.Context(), b.tenant, all, most)
		must(t, err)
		for i, id := range all {
			if sizes[id] != want[i] {
				t.Errorf("up to %d: group %d is %+v, want %+v", most, i, sizes[id], want[i])
			}
		}
	}
	foreign, err := b.Sizes(t.Context(), b.other, all[:1], 0)
	must(t, err)
	if foreign[a.ID] != (directory.Size{}) {
		t.Errorf("another tenant counts %+v", foreign)
	}
}

func TestNestings(t *testing.T) {
	b := newBench(t)
	a, c, d := b.grouped(t, "a"), b.grouped(t, "c"), b.grouped(t, "d")
	b.nest(t, c.ID, d.ID, a.ID)
	b.nest(t, a.ID, c.ID)
	all, err := b.Nestings(t.Context(), b.tenant)
	must(t, err)
	var told []string
	for _, n := range all {
		told = append(told, n.Group.Name+" in "+n.In.Name)
	}
	if got := strings.Join(told, ", "); got != "c in a, a in c, d in c" || all[2].Group.ID != d.ID || all[2].In.ID != c.ID {
		t.Errorf("groups in groups: %s", got)
	}
	none, err := b.Nestings(t.Context(), b.other)
	must(t, err)
	if len(none) != 0 {
		t.Errorf("another tenant has %+v", none)
	}
}

func TestPeopleAreFoundByTheirConnection(t *testing.T) {
	b := newBench(t)
	ada, bob := b.create(t, directory.User{UserName: "ada"}), b.create(t, directory.User{UserName: "bob"})
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "1"))
	must(t, b.Link(t.Context(), cause, b.tenant, ada.ID, directory.Namer{}, "con_okta", "2"))
	must(t, b.Link(t.Context(), cause, b.tenant, bob.ID, directory.Namer{}, "con_entra", "1"))
	found, err := b.Users(t.Context(), b.tenant, directory.UserQuery{Count: 5, Filter: directory.Compare{Attr: directory.AttrConnection, Value: "con_okta"}})
	must(t, err)
	if found.Total != 1 || found.Items[0].ID != ada.ID {
		t.Errorf("found %+v", found)
	}
}
