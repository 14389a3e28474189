package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/api"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/tenants"
)

// Whoever is erased has no name any more in what the rooms keep beside the directory's
// record: the changes that others follow, and what the provider has sent. What is about
// others stays.
func TestErasingReachesEveryRoom(t *testing.T) {
	h := newHouse(t, nil)
	ctx, s := t.Context(), h.Services()
	_, err := s.Tenants.Update(ctx, cause, h.acme.ID, 0, func(t *tenants.Tenant) error {
		t.Settings.SCIM.Retain = tenants.Duration(48 * time.Hour)
		return nil
	})
	must(t, err)
	secret := func(spec token.Spec) string {
		t.Helper()
		spec.Name, spec.Expires = "okta", time.Now().Add(time.Hour)
		_, secret, err := s.Tokens.Create(ctx, cause, h.acme.ID, spec)
		must(t, err)
		return "Bearer " + secret
	}
	provider, owner := secret(token.Spec{Scope: token.ScopeSCIM}), secret(token.Spec{Scope: token.ScopeAPI, Role: authz.Owner})
	send := func(method, path, body string, want int) (id string) {
		t.Helper()
		status, text := h.ask(method, "/scim/v2"+path, body, "Authorization", provider, "Content-Type", "application/scim+json")
		if status != want {
			t.Fatalf("%s %s: %d %s", method, path, status, text)
		}
		var made struct{ ID string }
		if text != "" {
			must(t, json.Unmarshal([]byte(text), &made))
		}
		return made.ID
	}
	read := func(method, path string, want int, v any) (text string) {
		t.Helper()
		status, text := h.ask(method, "/.gatehouse/api/v1/"+path, "", "Authorization", owner)
		if status != want {
			t.Fatalf("%s %s: %d %s", method, path, status, text)
		}
		if v != nil {
			must(t, json.Unmarshal([]byte(text), v))
		}
		return text
	}
	var begin struct{ Cursor string }
	read(http.MethodGet, "directory/changes?from=now", http.StatusOK, &begin)
	var gone []string
	for _, name := range []string{"ann", "bob"} {
		id := send(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+name+`@acme.example"}`, http.StatusCreated)
		send(http.MethodDelete, "/Users/"+id, "", http.StatusNoContent)
		gone = append(gone, id)
	}
	kept := func() (requests []string, changes string) {
		t.Helper()
		h.rooms.recorder.Flush(ctx)
		var found struct{ Items []api.SCIMRequest }
		read(http.MethodGet, "scim/requests", http.StatusOK, &found)
		for _, r := range found.Items {
			requests = append(requests, r.Method+" "+r.Path)
		}
		return requests, read(http.MethodGet, "directory/changes?cursor="+begin.Cursor, http.StatusOK, nil)
	}
	if requests, changes := kept(); len(requests) != 4 || !strings.Contains(changes, "ann@acme") || !strings.Contains(changes, "bob@acme") {
		t.Fatalf("kept before: %v, %s", requests, changes)
	}
	read(http.MethodDelete, "former-users/"+gone[0], http.StatusNoContent, nil)
	if requests, changes := kept(); len(requests) != 2 || strings.Contains(changes, "ann@acme") || !strings.Contains(changes, gone[0]) || !strings.Contains(changes, "bob@acme") {
		t.Errorf("kept: %v, %s", requests, changes)
	}
}
