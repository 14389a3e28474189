package api

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gatehouse/api/resources"
	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/google"
)

func TestAGoogleAccountIsRead(t *testing.T) {
	h := newHouse(t)
	h.workspace.SetUser("101", "ada@acme.example", nil)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	const path = "directory/google"
	owner.do("GET", path, nil).problem(http.StatusNotFound, "no-directory-sync")
	owner.do("PUT", path, map[string]any{"admin": h.workspace.Admin}).problem(http.StatusNotFound, "no-directory-sync")
	set := map[string]any{"admin": h.workspace.Admin, "org_units": []string{"/"}, "interval_minutes": 60, "key": string(h.workspace.Key())}

	// Whoever fills groups can make owners.
	admin.do("PUT", path, set).problem(http.StatusForbidden, "more-than-you-have")
	admin.do("POST", path+"/test", set).problem(http.StatusForbidden, "more-than-you-have")
	owner.do("PUT", path, map[string]any{"admin": h.workspace.Admin, "key": "{}"}).problem(http.StatusBadRequest, "bad-directory-sync")

	found := into[google.SyncPreview](owner.do("POST", path+"/test", set).want(http.StatusOK))
	if len(found.People) != 1 || found.People[0].Email != "ada@acme.example" {
		t.Errorf("%+v", found)
	}
	made := owner.do("PUT", path, set).want(http.StatusOK)
	shown := into[googleSync](made)
	if strings.Contains(string(made.body), "PRIVATE") || shown.ServiceAccount.ClientID != "1234567890" || shown.Due == nil || shown.Last != nil || shown.Minutes != 60 {
		t.Errorf("%s", made.body)
	}
	if o, err := h.google.Turn(t.Context(), h.acme.ID); err != nil || o == nil || o.Counts.Created != 1 {
		t.Fatalf("%+v %v", o, err)
	}
	page, err := h.people.Users(t.Context(), h.acme.ID, directory.UserQuery{Count: 50, Filter: nil})
	if err != nil || page.Items[len(page.Items)-1].UserName != "ada@acme.example" {
		t.Errorf("%+v %v", page, err)
	}
	after := admin.do("GET", path, nil).want(http.StatusOK)
	if last := into[googleSync](after).Last; last == nil || last.Result != google.Done || last.Event == "" {
		t.Errorf("%s", after.body)
	}
	admin.do("POST", path+"/run", nil).want(http.StatusAccepted)
	delete(set, "key")
	set["paused"] = true
	owner.do("PUT", path, set, "If-Match", `"99"`).problem(http.StatusPreconditionFailed, "changed-meanwhile")
	if now := into[googleSync](owner.do("PUT", path, set, "If-Match", after.header.Get("ETag")).want(http.StatusOK)); now.Due != nil || !now.Paused {
		t.Errorf("%+v", now)
	}
	admin.do("POST", path+"/run", nil).problem(http.StatusConflict, "directory-sync-paused")
	h.signIn(h.globex, "owner", "owner").do("GET", path, nil).problem(http.StatusNotFound, "no-directory-sync")
	admin.do("DELETE", path, nil).want(http.StatusNoContent)
	owner.do("GET", path, nil).problem(http.StatusNotFound, "no-directory-sync")
	for kind, want := range map[audit.Type]int{audit.SyncChanged: 2, audit.SyncDeleted: 1, audit.SyncFinished: 1} {
		if told := h.recorded(h.acme, kind); len(told) != want {
			t.Errorf("%s: %d records", kind, len(told))
		}
	}
}

func TestAGoogleAccountIsAppliedAndExported(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("platform")
	file := func(more string, name string) []resources.Document {
		t.Helper()
		documents, err := resources.Parse("google.yaml", []byte("{kind: GoogleSync, tenant: acme, name: "+name+", spec: {admin: "+h.workspace.Admin+", groups: [], interval_minutes: 60"+more+"}}"),
			resources.Surroundings{LookupEnv: func(string) (string, bool) { return string(h.workspace.Key()), true }})
		if err != nil {
			t.Fatal(err)
		}
		return documents
	}
	const withKey = `, key: "${GOOGLE_KEY}"`
	for _, step := range []struct {
		more, name string
		dry        bool
		want       action
	}{
		{withKey, "other", false, failed},
		{"", "google", false, failed}, // without a key at first
		{withKey, "google", true, created},
		{withKey, "google", false, created},
		{withKey, "google", false, unchanged},
		{"", "google", false, unchanged},
		{", paused: true", "google", true, changed},
		{", paused: true", "google", false, changed},
		{", key: none", "google", false, failed},
	} {
		actions, result := operator.apply(file(step.more, step.name), step.dry)
		if actions != "GoogleSync "+string(step.want)+"; " || step.want == failed && result.Results[0].Detail == "" {
			t.Errorf("%+v: %s %+v", step, actions, result)
		}
	}
	if told := h.recorded(h.acme, audit.SyncChanged); len(told) != 2 {
		t.Errorf("%d records", len(told))
	}
	exported := operator.do("GET", "platform/export?tenant=acme", nil).want(http.StatusOK)
	if strings.Contains(string(exported.body), "PRIVATE") || !strings.Contains(string(exported.body), `"kind":"GoogleSync"`) {
		t.Errorf("%s", exported.body)
	}
	var text bytes.Buffer
	if err := resources.Encode(&text, into[exportResult](exported).Documents); err != nil {
		t.Fatal(err)
	}
	if _, result := operator.apply(parse(t, text.String()), false); result.Failed || slices.ContainsFunc(result.Results, func(a applied) bool { return a.Action != unchanged }) {
		t.Errorf("%s: %+v", &text, result)
	}
	if other := operator.do("GET", "platform/export?tenant=globex", nil).want(http.StatusOK); strings.Contains(string(other.body), "GoogleSync") {
		t.Errorf("%s", other.body)
	}
}

// Who was skipped are people: their addresses are for whoever may read people.
func TestSkippedPeopleAreShownToWhoMayReadPeople(t *testing.T) {
	h := newHouse(t)
	for role, permissions := range map[string][]string{"wiring": {"gatehouse.settings:*"}, "reception": {"gatehouse.settings:*", "gatehouse.users:read"}} {
		if _, err := h.authz.PutRole(t.Context(), audit.SystemCause(), h.acme.ID, authz.Role{Name: role, Permissions: permissions}, 0); err != nil {
			t.Fatal(err)
		}
	}
	owner, wiring, reception := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "wiring", "wiring"), h.signIn(h.acme, "reception", "reception")
	h.workspace.SetUser("101", "owner@acme.example", nil) // whose name is taken
	h.workspace.SetGroup("201", "all@acme.example", "All", "CUSTOMER")
	const path = "directory/google"
	owner.do("PUT", path, map[string]any{"admin": h.workspace.Admin, "key": string(h.workspace.Key())}).want(http.StatusOK)
	if o, err := h.google.Turn(t.Context(), h.acme.ID); err != nil || o == nil || o.Counts.Skipped == 0 {
		t.Fatalf("%+v %v", o, err)
	}
	people := func(s googleSync) (n int) {
		for _, skip := range s.Skipped {
			if skip.Kind == google.SkippedPerson {
				n++
			}
		}
		return n
	}
	for name, answer := range map[string]*reply{"get": wiring.do("GET", path, nil).want(http.StatusOK), "run": wiring.do("POST", path+"/run", nil).want(http.StatusAccepted)} {
		if s := into[googleSync](answer); people(s) != 0 || strings.Contains(string(answer.body), "owner@acme.example") || s.Last == nil || s.Last.Counts.Skipped == 0 {
			t.Errorf("%s: %s", name, answer.body)
		}
	}
	if s := into[googleSync](reception.do("GET", path, nil).want(http.StatusOK)); people(s) != 1 {
		t.Errorf("%+v", s)
	}
}
