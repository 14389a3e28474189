package scim_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/authz"
	"gatehouse/identity"
)

// groupsOf gives the groups that are answered of a person, with their types.
func (b *bench) groupsOf(t testing.TB, user string) string {
	t.Helper()
	list, _ := b.do(t, "GET", "/Users/"+user, "").wants(200).at("groups").([]any)
	var groups []string
	for _, v := range list {
		g, _ := v.(map[string]any)
		name, _ := g["display"].(string)
		kind, _ := g["type"].(string)
		groups = append(groups, name+" "+kind)
	}
	return strings.Join(groups, ", ")
}

// TestRFC7643_4_2_AGroupIsAMemberOfAGroup: whether or not the client says that it is one.
func TestRFC7643_4_2_AGroupIsAMemberOfAGroup(t *testing.T) {
	b := newBench(t)
	ada := b.user(t, "ada", `,"displayName":"Ada"`)
	guides, staff := b.group(t, "Tour Guides", ada), b.group(t, "Employees")
	want := `[{"value":"` + ada + `","type":"User","display":"Ada","$ref":"` + base + `/Users/` + ada + `"},` +
		`{"value":"` + guides + `","type":"Group","display":"Tour Guides","$ref":"` + base + `/Groups/` + guides + `"}]`
	for _, element := range []string{`{"value":"` + guides + `","type":"Group","$ref":"../Groups/` + guides + `"}`, `{"value":"` + guides + `"}`, `"` + guides + `"`} {
		b.do(t, "PATCH", "/Groups/"+staff, patch(`{"op":"add","path":"members","value":[`+element+`,"`+ada+`"]}`)).wants(204)
		b.do(t, "GET", "/Groups/"+staff, "").wants(200).same(want, "members")
		b.do(t, "PATCH", "/Groups/"+staff, patch(`{"op":"remove","path":"members[type eq \"Group\"]"}`)).wants(204)
		b.do(t, "GET", "/Groups/"+staff, "").wants(200).members(ada)
		b.do(t, "PUT", "/Groups/"+staff, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Employees","members":[`+element+`,"`+ada+`"]}`).
			wants(200).same(want, "members")
		b.do(t, "PATCH", "/Groups/"+staff, patch(`{"op":"remove","path":"members","value":[`+element+`]}`)).wants(204)
		b.do(t, "GET", "/Groups/"+staff, "").wants(200).members(ada)
		made := b.do(t, "POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"New","members":[`+element+`,"`+ada+`"]}`).wants(201).same(want, "members")
		b.do(t, "GET", "/Groups?filter="+escape(`members.value eq "`+guides+`"`), "").wants(200).same(`1`, "totalResults")
		b.do(t, "DELETE", "/Groups/"+made.id(), "").wants(204)
	}
	for _, element := range []string{`{"value":"` + guides + `","type":"User"}`, `{"value":"` + ada + `","type":"Group"}`, `"grp_none"`, `"` + staff + `"`} {
		b.do(t, "PATCH", "/Groups/"+staff, patch(`{"op":"add","path":"members","value":[`+element+`]}`)).wants(400, "invalidValue")
	}
	got := b.do(t, "GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group", "").wants(200)
	if !strings.Contains(got.raw, `"canonicalValues":["User","Group"]`) || !strings.Contains(got.raw, `"referenceTypes":["User","Group"]`) {
		t.Errorf("the schema does not know of it: %s", got.raw)
	}
}

// TestRFC7643_4_1_2_DirectAndIndirectGroups: and people are found by both.
func TestRFC7643_4_1_2_DirectAndIndirectGroups(t *testing.T) {
	b := newBench(t)
	ada := b.user(t, "ada", "")
	guides := b.group(t, "Guides", ada)
	staff := b.group(t, "Staff", guides)
	all := b.group(t, "All", staff, ada)
	if got := b.groupsOf(t, ada); got != "All direct, Guides direct, Staff indirect" {
		t.Error(got)
	}
	for _, id := range []string{guides, staff, all} {
		b.do(t, "GET", "/Users?filter="+escape(`groups.value eq "`+id+`"`), "").wants(200).same(`1`, "totalResults")
	}
	b.do(t, "PATCH", "/Groups/"+all, patch(`{"op":"remove","path":"members","value":["`+ada+`"]}`)).wants(204)
	if got := b.groupsOf(t, ada); got != "All indirect, Guides direct, Staff indirect" {
		t.Error(got)
	}
	b.do(t, "DELETE", "/Groups/"+staff, "").wants(204)
	if got := b.groupsOf(t, ada); got != "Guides direct" {
		t.Error(got)
	}
	b.do(t, "GET", "/Groups/"+all, "").wants(200).members()
	b.do(t, "GET", "/Users?filter="+escape(`groups.value eq "`+all+`"`), "").wants(200).same(`0`, "totalResults")
}

// TestRFC7644_3_7_1_GroupsInACircle: as in the RFC's own example, where each of two is in
// the other.
func TestRFC7644_3_7_1_GroupsInACircle(t *testing.T) {
	b := newBench(t)
	ada, bob := b.user(t, "ada", ""), b.user(t, "bob", "")
	first := b.group(t, "A", ada)
	second := b.group(t, "B", bob, first)
	b.do(t, "PATCH", "/Groups/"+first, patch(`{"op":"add","path":"members","value":[{"type":"Group","value":"`+second+`"}]}`)).wants(204)
	if got := b.groupsOf(t, ada) + "; " + b.groupsOf(t, bob); got != "A direct, B indirect; A indirect, B direct" {
		t.Error(got)
	}
	b.do(t, "GET", "/Groups/"+first, "").wants(200).members(ada, second)
	b.do(t, "DELETE", "/Groups/"+second, "").wants(204)
	b.do(t, "GET", "/Groups/"+first, "").wants(200).members(ada)
}

// TestP9_ALiveSessionsDecisionsGoByTheGroupsOfThisMoment: a person gets in by a group,
// directly or through others, and is out when the answer to what takes them out is sent.
func TestP9_ALiveSessionsDecisionsGoByTheGroupsOfThisMoment(t *testing.T) {
	b := newBench(t)
	ada, bystander := b.user(t, "ada", ""), b.user(t, "bystander", "")
	inner := b.group(t, "inner", ada)
	middle, outer := b.group(t, "middle"), b.group(t, "outer", bystander)
	_, err := b.roles.Assign(t.Context(), system, b.acme.id, authz.Assignment{Role: authz.Admin, Group: identity.GroupID(outer)})
	must(t, err)
	live, err := b.sessions.Find(t.Context(), b.acme.id, b.signIn(t, ada))
	must(t, err)
	other, err := b.sessions.Find(t.Context(), b.acme.id, b.signIn(t, bystander))
	must(t, err)
	allowed := func(p *identity.Principal) bool {
		t.Helper()
		_, d, err := b.roles.Decide(t.Context(), p, authz.Query{Tenant: b.acme.id, Permission: authz.Permission{Object: "gatehouse.users", Action: "write"}})
		must(t, err)
		return d.Allowed
	}
	change := func(group, operation string) func() {
		return func() { b.do(t, "PATCH", "/Groups/"+group, patch(operation)).wants(204) }
	}
	add := func(id string) string { return `{"op":"add","path":"members","value":["` + id + `"]}` }
	remove := func(id string) string { return `{"op":"Remove","path":"members","value":[{"value":"` + id + `"}]}` }
	put := func(group, name string, members ...string) func() {
		return func() {
			b.do(t, "PUT", "/Groups/"+group, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"`+name+`","members":["`+strings.Join(members, `","`)+`"]}`).wants(200)
		}
	}
	for i, s := range []struct {
		do func()
		in bool
	}{
		{change(outer, add(middle)), false}, {change(middle, add(inner)), true}, {change(inner, add(outer)), true},
		{change(outer, remove(middle)), false}, {change(outer, add(ada)), true}, {change(outer, remove(ada)), false},
		{put(outer, "outer", bystander, inner), true}, {put(outer, "outer", bystander, middle), true},
		{change(inner, `{"op":"remove","path":"members[value eq \"`+ada+`\"]"}`), false}, {change(inner, add(ada)), true},
		{func() { b.do(t, "DELETE", "/Groups/"+middle, "").wants(204) }, false},
	} {
		s.do()
		if got := allowed(live.Principal()); got != s.in {
			t.Errorf("step %d: allowed %v, want %v", i, got, s.in)
		}
		if !allowed(other.Principal()) {
			t.Errorf("step %d: somebody else is out", i)
		}
	}
	profile, err := b.roles.Profile(t.Context(), live.Principal())
	must(t, err)
	if !slices.EqualFunc(profile.Person.Groups, []string{"inner"}, func(g identity.Group, name string) bool { return g.Name == name }) {
		t.Errorf("the app is told of %v", profile.Person.Groups)
	}
}
