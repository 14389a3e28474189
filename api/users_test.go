package api

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
)

func TestPeopleOfAdmins(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	manager := h.manager(owner)
	r := manager.do("POST", "users", map[string]any{"user_name": "ada", "email": "Ada@acme.example", "name": "Ada", "external_id": "e1"}).want(http.StatusCreated)
	made := into[user](r)
	path := "users/" + string(made.ID)
	if made.Email != "ada@acme.example" || !made.Active || made.Source != directory.SourceAdmin || made.ExternalID != "e1" || made.Attributes["emails"] == nil || r.header.Get("ETag") != `"1"` {
		t.Errorf("made %+v", made)
	}
	if e := h.recorded(h.acme, audit.UserCreated); len(e) != 3 || e[2].Actor.ID != string(manager.user.ID) {
		t.Errorf("recorded %+v", e)
	}
	for _, taken := range []map[string]any{{"user_name": "ADA"}, {"user_name": "x", "email": "ada@ACME.example"}, {"user_name": "ada@acme.example"}, {"user_name": "\uff41da\uff20acme.example"}, {"user_name": "y", "email": "owner@acme.example"}} {
		manager.do("POST", "users", taken).problem(http.StatusConflict, "uniqueness")
	}
	if later := into[user](manager.do("POST", "users", map[string]any{"user_name": "later", "inactive": true}).want(http.StatusCreated)); later.Active {
		t.Errorf("made %+v", later)
	}

	manager.do("PATCH", path, map[string]any{"name": "Ada L."}, "If-Match", `"7"`).problem(http.StatusPreconditionFailed, "version-changed")
	if u := into[user](manager.do("PATCH", path, map[string]any{"name": "Ada L."}, "If-Match", `"1"`).want(http.StatusOK)); u.Name != "Ada L." || u.Email != "ada@acme.example" || !u.Active {
		t.Errorf("changed to %+v", u)
	}
	if u := into[user](manager.do("PATCH", path, map[string]any{"active": false}).want(http.StatusOK)); u.Active || u.Name != "Ada L." {
		t.Errorf("changed to %+v", u)
	}
	// What she is known by is who she is: for those who could be anybody.
	for _, change := range []map[string]any{{"email": "manager@acme.example"}, {"user_name": "manager2"}, {"external_id": "m1"}, {"email": "me@home.example", "active": true}} {
		manager.do("PATCH", path, change).problem(http.StatusForbidden, "more-than-you-have")
	}
	manager.do("PATCH", path, map[string]any{"email": "ada@acme.example", "user_name": "ada"}).want(http.StatusOK) // as it is
	owner.do("PATCH", path, map[string]any{"email": "manager@acme.example"}).problem(http.StatusConflict, "uniqueness")
	owner.do("PATCH", path, map[string]any{"email": "no address"}).problem(http.StatusBadRequest, "invalid-email")
	if u := into[user](owner.do("PATCH", path, map[string]any{"email": "", "external_id": "", "active": true}).want(http.StatusOK)); u.Email != "" || u.ExternalID != "" || !u.Active {
		t.Errorf("changed to %+v", u)
	}
	// Whoever has more is not theirs to change, in nothing.
	manager.do("PATCH", "users/"+string(owner.user.ID), map[string]any{"name": "Nobody"}).problem(http.StatusForbidden, "more-than-you-have")
}

func TestWhatSCIMSaysOfAPersonIsShownAndKept(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	u, err := h.people.CreateUser(t.Context(), audit.SystemCause(), h.acme.ID, directory.User{UserName: "mia", Active: true, Source: directory.SourceSCIM,
		Attributes: []byte(`{"name":{"givenName":"Mia"},"phoneNumbers":[{"value":"tel:1","type":"work"}],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Ops"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	path := "users/" + string(u.ID)
	r := owner.do("GET", path, nil).want(http.StatusOK)
	for _, part := range []string{`"givenName":"Mia"`, `"value":"tel:1"`, `"department":"Ops"`} {
		if !strings.Contains(string(r.body), part) {
			t.Errorf("%s is not in %s", part, r.body)
		}
	}
	if r := owner.do("GET", "users", nil).want(http.StatusOK); strings.Contains(string(r.body), "phoneNumbers") {
		t.Errorf("the list has %s", r.body)
	}
	for _, change := range []map[string]any{{"name": "x"}, {"email": "x@acme.example"}, {"active": false, "name": "x"}} {
		owner.do("PATCH", path, change).problem(http.StatusConflict, "kept-elsewhere")
	}
	if seen := into[user](owner.do("GET", path, nil).want(http.StatusOK)); !seen.Active || seen.Name != "" {
		t.Errorf("refused, and changed to %+v", seen)
	}
	if seen := into[user](owner.do("PATCH", path, map[string]any{"active": false}).want(http.StatusOK)); seen.Active || seen.Source != directory.SourceSCIM {
		t.Errorf("changed to %+v", seen)
	}
}

func TestPeopleAreFoundByWhatIsKnownOfThem(t *testing.T) {
	h := newHouse(t)
	owner, ada := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "ada", "")
	if _, err := h.people.CreateUser(t.Context(), audit.SystemCause(), h.acme.ID, directory.User{UserName: "mia", DisplayName: "mia", ExternalID: "x-1", Active: true, Source: directory.SourceSCIM}); err != nil {
		t.Fatal(err)
	}
	inner := h.grouped("inner", directory.SourceAdmin, directory.Member{User: ada.user.ID})
	h.grouped("outer", directory.SourceAdmin, directory.Member{Group: inner})
	door := h.door(h.acme)
	if err := h.people.Link(t.Context(), audit.SystemCause(), h.acme.ID, owner.user.ID, directory.Namer{}, door.ID, "s"); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{"source=scim": "mia", "source=admin": "owner ada", "source=signin": "", "search=x-1": "mia", "search=x-": "",
		"group=outer": "ada", "group=" + string(inner): "ada", "group=outer&active=false": "", "connection=door": "owner", "connection=" + string(door.ID): "owner", "group=inner&connection=door": ""} {
		var names []string
		for _, u := range into[page[user]](owner.do("GET", "users?"+query, nil).want(http.StatusOK)).Items {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
	}
	owner.do("GET", "users?group=none", nil).problem(http.StatusNotFound, "no-such-group")
	owner.do("GET", "users?connection=none", nil).want(http.StatusNotFound)
}
