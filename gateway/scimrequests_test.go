package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
)

// What a provider sends is found by the tenant's admins, who can try it again; its records
// are found by the same id, and no secret is in any of it.
func TestWhatAProviderSendsCanBeLookedAt(t *testing.T) {
	h := newHouse(t, nil)
	ctx, s := t.Context(), h.Services()
	secret := func(spec token.Spec) string {
		t.Helper()
		spec.Name, spec.Expires = "okta", time.Now().Add(time.Hour)
		_, secret, err := s.Tokens.Create(ctx, cause, h.acme.ID, spec)
		must(t, err)
		return secret
	}
	provider, owner := secret(token.Spec{Scope: token.ScopeSCIM}), secret(token.Spec{Scope: token.ScopeAPI, Role: authz.Owner})
	send := func(method, path, body string, want int) {
		t.Helper()
		if got, text := h.ask(method, "/scim/v2"+path, body, "Authorization", "Bearer "+provider, "Content-Type", "application/scim+json"); got != want {
			t.Fatalf("%d %s", got, text)
		}
	}
	read := func(method, path string, v any) {
		t.Helper()
		got, text := h.ask(method, "/.gatehouse/api/v1/scim/requests"+path, "", "Authorization", "Bearer "+owner)
		if got != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, path, got, text)
		}
		if strings.Contains(text, provider) || strings.Contains(text, "hunter2") {
			t.Errorf("a secret is in %s", text)
		}
		must(t, json.Unmarshal([]byte(text), v))
	}
	send(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann","password":"hunter2hunter2"}`, http.StatusCreated)
	send(http.MethodPost, "/Users", `{"userName":"bob",`, http.StatusBadRequest)
	var found struct{ Items []api.SCIMRequest }
	h.soon("both are there", func() bool { read(http.MethodGet, "", &found); return len(found.Items) == 2 })
	if r := found.Items[0]; !r.Failed || r.Token != "okta" || r.ScimType != "invalidSyntax" {
		t.Errorf("the newest is %+v", r)
	}
	made := found.Items[1].ID
	var whole, again api.SCIMRequestDetails
	read(http.MethodGet, "/"+string(made), &whole)
	if len(whole.Changes) != 1 || whole.Changes[0].Name != "ann" || !strings.Contains(whole.Sent.Text, `"password":"[left out]"`) {
		t.Errorf("it is %+v", whole)
	}
	var events []audit.Event
	for e, err := range h.rooms.journal.Read(ctx, h.acme.ID, 0) {
		must(t, err)
		events = append(events, e)
	}
	if !slices.ContainsFunc(events, func(e audit.Event) bool { return e.Type == audit.UserCreated && e.RequestID == made }) {
		t.Errorf("no record of its change has the id %s", made)
	}
	read(http.MethodPost, "/"+string(made)+"/replay", &again)
	if again.Status != http.StatusConflict || again.ScimType != "uniqueness" || len(again.Changes) != 0 {
		t.Errorf("again it would be %+v", again)
	}
	for e, err := range h.rooms.journal.Read(ctx, h.acme.ID, uint64(len(events))) {
		must(t, err)
		if e.Seq > events[len(events)-1].Seq && (e.Type != audit.AccessAllowed || strings.HasPrefix(e.Path, "/scim")) {
			t.Errorf("trying it again has told the journal of %s %s", e.Type, e.Path)
		}
	}
	read(http.MethodGet, "?about=ANN", &found)
	if len(found.Items) != 1 || found.Items[0].ID != made {
		t.Errorf("by name: %+v", found.Items)
	}
}
