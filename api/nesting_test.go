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
	if seen.People != 1 || seen.Groups != 1 || len(seen.Roles) != 1 || seen.Roles[0].Role != "owner" || seen.Roles[0].Group != nil {
		t.Errorf("the board is %+v", seen)
	}
	lower := into[group](owner.do("GET", "groups/"+string(inner.ID), nil).want(http.StatusOK))
	if len(lower.In) != 1 || lower.In[0].Name != "board" || lower.In[0].Indirect || len(lower.Roles) != 1 || lower.Roles[0].Group == nil || lower.Roles[0].Group.ID != outer.ID {
		t.Errorf("the founders are %+v", lower)
	}
	person := into[user](owner.do("GET", "users/"+string(boss.user.ID), nil).want(http.StatusOK))
	if len(person.Groups) != 2 || person.Groups[0].Name != "board" || !person.Groups[0].Indirect || person.Groups[1].Indirect ||
		len(person.Groups[0].Through) != 1 || person.Groups[0].Through[0] != "founders" {
		t.Errorf("the boss is in %+v", person.Groups)
	}
}
