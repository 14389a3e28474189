package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
)

// manager is somebody who manages people and groups, and nothing else.
func (h *house) manager(owner *visitor) *visitor {
	h.t.Helper()
	owner.do("PUT", "roles/people", map[string]any{"permissions": []string{"gatehouse.users:*", "gatehouse.groups:*"}}).want(http.StatusOK)
	return h.signIn(h.acme, "manager", "people")
}

// grouped makes a group with somebody in it.
func (h *house) grouped(name string, source directory.Source, members ...directory.Member) identity.GroupID {
	h.t.Helper()
	made, err := h.people.CreateGroup(h.t.Context(), audit.SystemCause(), h.acme.ID, directory.Group{DisplayName: name, Source: source, Members: members})
	if err != nil {
		h.t.Fatal(err)
	}
	return made.ID
}

func add(refs ...map[string]any) map[string]any    { return map[string]any{"add": refs} }
func remove(refs ...map[string]any) map[string]any { return map[string]any{"remove": refs} }
func byUser(name string) map[string]any            { return map[string]any{"user": name} }
func byGroup(name string) map[string]any           { return map[string]any{"group": name} }

func TestGroupsOfAdmins(t *testing.T) {
	h := newHouse(t)
	owner, ada := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "ada", "")
	r := owner.do("POST", "groups", map[string]any{"name": "Writers", "external_id": "w1"}).want(http.StatusCreated)
	made := into[group](r)
	path := "groups/" + string(made.ID)
	if made.Source != directory.SourceAdmin || made.People != 0 || made.In == nil || made.Roles == nil || r.header.Get("ETag") != `"1"` {
		t.Errorf("made %+v with the tag %s", made, r.header.Get("ETag"))
	}
	owner.do("POST", "groups", map[string]any{"name": "WRITERS"}).problem(http.StatusConflict, "uniqueness")
	owner.do("POST", "groups", map[string]any{"name": " "}).problem(http.StatusBadRequest, "group-name-missing")
	owner.do("POST", "groups", map[string]any{"name": "Editors"}).want(http.StatusCreated)

	changed := into[group](owner.do("PATCH", path+"/members", add(byUser(ada.user.UserName), byUser(string(owner.user.ID)), byGroup("editors")), "If-Match", `"1"`).want(http.StatusOK))
	if changed.People != 2 || changed.Groups != 1 {
		t.Errorf("changed to %+v", changed)
	}
	owner.do("PATCH", path+"/members", add(byUser("nobody")), "If-Match", `"2"`).problem(http.StatusNotFound, "no-such-user")
	owner.do("PATCH", path+"/members", remove(byUser(ada.user.UserName)), "If-Match", `"1"`).problem(http.StatusPreconditionFailed, "version-changed")
	owner.do("PATCH", path+"/members", add(byGroup("Writers"))).problem(http.StatusBadRequest, "group-in-itself")
	owner.do("PATCH", path+"/members", map[string]any{}).problem(http.StatusBadRequest, "members-count")
	owner.do("PATCH", path+"/members", add(map[string]any{"user": "a", "group": "b"})).problem(http.StatusBadRequest, "choose-one")
	if e := h.recorded(h.acme, audit.GroupChanged); len(e) != 1 || e[0].Details["added"] != "3" || e[0].Actor.ID != string(owner.user.ID) || e[0].Target.Name != "Writers" {
		t.Errorf("recorded %+v", e)
	}
	after := into[group](owner.do("PATCH", path+"/members", map[string]any{"remove": []any{byUser(ada.user.UserName)}, "add": []any{byUser(ada.user.UserName)}}).want(http.StatusOK))
	if after.People != 2 { // who is removed and added stays
		t.Errorf("%+v", after)
	}

	renamed := into[group](owner.do("PATCH", path, map[string]any{"name": "Authors"}, "If-Match", `"2"`).want(http.StatusOK))
	if renamed.Name != "Authors" || renamed.ExternalID != "w1" || renamed.People != 2 {
		t.Errorf("renamed %+v", renamed)
	}
	owner.do("PATCH", path, map[string]any{"name": "X"}, "If-Match", `"2"`).problem(http.StatusPreconditionFailed, "version-changed")
	owner.do("PATCH", path, map[string]any{"name": "Editors"}).problem(http.StatusConflict, "uniqueness")
	owner.do("DELETE", path, nil, "If-Match", `"2"`).problem(http.StatusPreconditionFailed, "version-changed")
	owner.do("DELETE", path, nil, "If-Match", `"3"`).want(http.StatusNoContent)
	owner.do("GET", path, nil).problem(http.StatusNotFound, "group-unknown")
	owner.do("GET", path+"/members", nil).problem(http.StatusNotFound, "group-unknown")
	if seen := into[user](owner.do("GET", "users/"+string(ada.user.ID), nil).want(http.StatusOK)); len(seen.Groups) != 0 {
		t.Errorf("ada is in %+v", seen.Groups)
	}
}

// TestGroupsAreSearchedAndPaged: by name, whatever the order in which they were made.
func TestGroupsAreSearchedAndPaged(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	for _, name := range []string{"zeta", "Alpha %", "beta ops", "Ops", "alpha 2", "Ünits"} {
		h.grouped(name, map[bool]directory.Source{true: directory.SourceSCIM, false: directory.SourceAdmin}[name == "Ops"])
	}
	names := func(query string) string {
		t.Helper()
		var all []string
		for cursor := ""; ; {
			found := into[page[group]](owner.do("GET", "groups?limit=2&"+query+"&cursor="+cursor, nil).want(http.StatusOK))
			for _, g := range found.Items {
				all = append(all, g.Name)
			}
			if cursor = found.NextCursor; cursor == "" {
				return strings.Join(all, ",")
			}
		}
	}
	for query, want := range map[string]string{"": "Alpha %,alpha 2,beta ops,Ops,zeta,Ünits", "search=OPS": "beta ops,Ops", "search=%25": "Alpha %", "source=scim": "Ops",
		"search=" + url.QueryEscape("ÜNI"): "Ünits", "search=none": ""} {
		if got := names(query); got != want {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
	}
	owner.do("GET", "groups?cursor=!", nil).problem(http.StatusBadRequest, "invalid-cursor")
}

// TestALargeGroupIsNeverReadAtOnce: whatever the answer, it has no more than a page.
func TestALargeGroupIsNeverReadAtOnce(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	people := make([]directory.User, 430)
	for i := range people {
		people[i] = directory.User{UserName: fmt.Sprintf("crowd-%03d", i), Active: true, Source: directory.SourceSCIM}
	}
	var members []directory.Member
	for _, made := range h.people.CreateUsers(t.Context(), audit.SystemCause(), h.acme.ID, people, 0) {
		if made.Err != nil {
			t.Fatal(made.Err)
		}
		members = append(members, directory.Member{User: made.User.ID})
	}
	path := "groups/" + string(h.grouped("crowd", directory.SourceAdmin, members...))
	if r := owner.do("GET", path, nil).want(http.StatusOK); into[group](r).People != len(people) || len(r.body) > 1000 {
		t.Errorf("%s", r.body)
	}
	seen := map[string]bool{}
	pages := 0
	for cursor := ""; ; pages++ {
		found := into[page[member]](owner.do("GET", path+"/members?limit=200&cursor="+cursor, nil).want(http.StatusOK))
		if len(found.Items) > 200 {
			t.Fatalf("a page of %d", len(found.Items))
		}
		for _, m := range found.Items {
			seen[m.UserName] = m.Kind == "user" && m.Source == directory.SourceSCIM && !m.Inactive
		}
		if cursor = found.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != len(people) || pages != 2 || !seen["crowd-429"] {
		t.Errorf("%d people on %d further pages", len(seen), pages)
	}
	if found := into[page[member]](owner.do("GET", path+"/members?search=CROWD-42", nil).want(http.StatusOK)); len(found.Items) != 10 || found.NextCursor != "" {
		t.Errorf("found %+v", found)
	}
	if found := into[page[member]](owner.do("GET", path+"/members?kind=group", nil).want(http.StatusOK)); len(found.Items) != 0 {
		t.Errorf("found %+v", found)
	}
	var many []map[string]any
	for _, m := range members[:201] {
		many = append(many, byUser(string(m.User)))
	}
	owner.do("PATCH", path+"/members", map[string]any{"add": many[:101], "remove": many[101:]}).problem(http.StatusBadRequest, "members-count")
	if after := into[group](owner.do("PATCH", path+"/members", map[string]any{"remove": many[1:]}).want(http.StatusOK)); after.People != len(people)-200 {
		t.Errorf("%+v", after)
	}
}

// TestNobodyEntersAGroupThatGivesMore: nor puts others, or groups, into it, nor takes
// anybody out, nor deletes it, whether it is given the role itself or by one above it.
func TestNobodyEntersAGroupThatGivesMore(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	manager := h.manager(owner)
	self := byUser(string(manager.user.ID))
	harmless := h.grouped("readers", directory.SourceAdmin)
	inner := h.grouped("founders", directory.SourceAdmin, directory.Member{User: owner.user.ID})
	middle := h.grouped("board", directory.SourceAdmin, directory.Member{Group: inner})
	outer := h.grouped("owners", directory.SourceAdmin, directory.Member{Group: middle})
	for _, id := range []identity.GroupID{inner, middle, outer} {
		manager.do("PATCH", "groups/"+string(id)+"/members", add(self)).want(http.StatusOK) // nothing is given yet
		manager.do("PATCH", "groups/"+string(id)+"/members", remove(self)).want(http.StatusOK)
	}
	owner.do("POST", "assignments", map[string]any{"role": "owner", "group": "owners"}).want(http.StatusCreated)
	for _, id := range []identity.GroupID{inner, middle, outer} {
		path := "groups/" + string(id)
		for _, change := range []map[string]any{add(self), remove(byUser(string(owner.user.ID))), add(byGroup("readers")), remove(byGroup("founders"))} {
			manager.do("PATCH", path+"/members", change).problem(http.StatusForbidden, "more-than-you-have")
		}
		manager.do("DELETE", path, nil).problem(http.StatusForbidden, "more-than-you-have")
	}
	manager.do("PATCH", "groups/"+string(harmless)+"/members", add(self, byGroup("owners"))).want(http.StatusOK) // by which nobody gains
	if roles := into[me](manager.do("GET", "me", nil).want(http.StatusOK)).Roles; !slices.Equal(roles, []string{"people"}) {
		t.Errorf("the manager has %v", roles)
	}
	owner.do("PATCH", "groups/"+string(middle)+"/members", add(byGroup("readers"))).want(http.StatusOK)
	if roles := into[me](manager.do("GET", "me", nil).want(http.StatusOK)).Roles; !slices.Contains(roles, "owner") {
		t.Errorf("the owner's word gives %v", roles)
	}
	owner.do("PATCH", "groups/"+string(harmless)+"/members", remove(self)).want(http.StatusOK)
	if roles := into[me](manager.do("GET", "me", nil).want(http.StatusOK)).Roles; slices.Contains(roles, "owner") {
		t.Errorf("taken out, the manager has %v", roles)
	}
	if refused := h.recorded(h.acme, audit.AccessRefused); len(refused) != 15 || refused[0].Reason != "more-than-you-have" {
		t.Errorf("%d refusals are recorded", len(refused))
	}
}

// TestATeamsRoleThroughAGroupIsProtected as an account-wide one is.
func TestATeamsRoleThroughAGroupIsProtected(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	manager := h.manager(owner)
	id := h.grouped("payers", directory.SourceAdmin)
	owner.do("POST", "teams", map[string]any{"name": "payments"}).want(http.StatusCreated)
	owner.do("POST", "assignments", map[string]any{"role": "team_admin", "team": "payments", "group": "payers"}).want(http.StatusCreated)
	manager.do("PATCH", "groups/"+string(id)+"/members", add(byUser(string(manager.user.ID)))).problem(http.StatusForbidden, "more-than-you-have")
	if g := into[group](owner.do("GET", "groups/"+string(id), nil).want(http.StatusOK)); len(g.Roles) != 1 || g.Roles[0].Team != "payments" {
		t.Errorf("%+v", g)
	}
	if g := into[group](manager.do("GET", "groups/"+string(id), nil).want(http.StatusOK)); g.Roles != nil { // who may not know
		t.Errorf("%+v", g)
	}
	if u := into[user](manager.do("GET", "users/"+string(owner.user.ID), nil).want(http.StatusOK)); u.Roles != nil {
		t.Errorf("%+v", u)
	}
	if u := into[user](owner.do("GET", "users/"+string(owner.user.ID), nil).want(http.StatusOK)); len(u.Roles) != 1 || u.Roles[0].Role != "owner" || u.Roles[0].Group != nil {
		t.Errorf("%+v", u)
	}
}

// TestWhatAProviderKeepsIsNotChangedHere, but may be deleted, as its people may.
func TestWhatAProviderKeepsIsNotChangedHere(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	for source, says := range map[directory.Source]string{directory.SourceSCIM: "over SCIM", directory.SourceSignIn: "sign-ins"} {
		id := h.grouped("of "+string(source), source, directory.Member{User: owner.user.ID})
		path := "groups/" + string(id)
		for _, try := range []*reply{
			owner.do("PATCH", path, map[string]any{"name": "mine"}),
			owner.do("PATCH", path+"/members", remove(byUser(string(owner.user.ID)))),
		} {
			if p := try.problem(http.StatusConflict, "kept-elsewhere"); !strings.Contains(p.Detail, says) || !strings.Contains(p.Detail, "of "+string(source)) {
				t.Errorf("%s: %s", source, p.Detail)
			}
		}
		if g := into[group](owner.do("GET", path, nil).want(http.StatusOK)); g.People != 1 || g.Name != "of "+string(source) {
			t.Errorf("%+v", g)
		}
		outer := h.grouped("with "+string(source), directory.SourceAdmin)
		owner.do("PATCH", "groups/"+string(outer)+"/members", add(byGroup("of "+string(source)))).want(http.StatusOK) // says nothing of who is in it
		owner.do("DELETE", path, nil).want(http.StatusNoContent)
	}
}

func TestP3_GroupsAndPeopleAreTheirTenants(t *testing.T) {
	h := newHouse(t)
	owner, stranger := h.signIn(h.acme, "owner", "owner"), h.signIn(h.globex, "stranger", "owner")
	id := h.grouped("ours", directory.SourceAdmin, directory.Member{User: owner.user.ID})
	path := "groups/" + string(id)
	stranger.do("GET", path, nil).problem(http.StatusNotFound, "group-unknown")
	stranger.do("GET", path+"/members", nil).problem(http.StatusNotFound, "group-unknown")
	stranger.do("PATCH", path, map[string]any{"name": "theirs"}).problem(http.StatusNotFound, "group-unknown")
	stranger.do("PATCH", path+"/members", add(byUser(string(stranger.user.ID)))).problem(http.StatusNotFound, "group-unknown")
	stranger.do("DELETE", path, nil).problem(http.StatusNotFound, "group-unknown")
	theirs := into[group](stranger.do("POST", "groups", map[string]any{"name": "ours"}).want(http.StatusCreated)) // the name is free there
	there := "groups/" + string(theirs.ID) + "/members"
	stranger.do("PATCH", there, add(byUser(string(owner.user.ID)))).problem(http.StatusNotFound, "no-such-user")
	stranger.do("PATCH", there, add(byGroup(string(id)))).problem(http.StatusNotFound, "no-such-group")
	stranger.do("GET", "users?group="+string(id), nil).problem(http.StatusNotFound, "no-such-group")
	stranger.do("PATCH", "users/"+string(owner.user.ID), map[string]any{"name": "x"}).problem(http.StatusNotFound, "user-unknown")
	if found := into[page[group]](stranger.do("GET", "groups", nil).want(http.StatusOK)); len(found.Items) != 1 || found.Items[0].ID != theirs.ID {
		t.Errorf("they see %+v", found.Items)
	}
}
