package api

import (
	"net/http"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
)

// TestRolesThroughAGroupInAGroup: they protect whoever has them as any others do, and
// are told of.
func TestRolesThroughAGroupInAGroup(t *testing.T) {
	h := newHouse(t)
	owner, admin, boss := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin"), h.signIn(h.acme, "boss", "")
	inner, err := h.people.CreateGroup(t.Context(), audit.SystemCause(), h.acme.ID, directory.Group{DisplayName: "founders", Members: []directory.Member{{User: boss.user.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	outer, err := h.people.CreateGroup(t.Context(), audit.SystemCause(), h.acme.ID, directory.Group{DisplayName: "board",
		Members: []directory.Member{{Group: inner.ID}, {User: admin.user.ID}}})
	if err != nil {
		t.Fatal(err)
	}
	admin.do("PATCH", "users/"+string(boss.user.ID), map[string]any{"active": true}).want(http.StatusOK)
	helpdesk := h.signIn(h.acme, "other", "admin")
	owner.do("POST", "assignments", map[string]any{"role": "owner", "group": string(outer.ID)}).want(http.StatusCreated)
	helpdesk.do("PATCH", "users/"+string(boss.user.ID), map[string]any{"active": false}).problem(http.StatusForbidden, "more-than-you-have")
	helpdesk.do("DELETE", "users/"+string(boss.user.ID), nil).problem(http.StatusForbidden, "more-than-you-have")

	seen := into[group](owner.do("GET", "groups/"+string(outer.ID), nil).want(http.StatusOK))
	if len(seen.Members) != 1 || seen.Members[0].ID != admin.user.ID || len(seen.Groups) != 1 || seen.Groups[0].ID != inner.ID || seen.Groups[0].Name != "founders" {
		t.Errorf("in the board are %+v and %+v", seen.Members, seen.Groups)
	}
	person := into[user](owner.do("GET", "users/"+string(boss.user.ID), nil).want(http.StatusOK))
	if len(person.Groups) != 2 || person.Groups[0].Name != "board" || !person.Groups[0].Indirect || person.Groups[1].Indirect {
		t.Errorf("the boss is in %+v", person.Groups)
	}
}
