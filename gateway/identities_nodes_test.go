package gateway

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/internal/cluster"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// What an identity has begun is over on the other node as well when the one that
// unlinks it answers, and nothing else of its person is: with Redis, and without it.
func TestP2_UnlinkingAtOneNodeHoldsOnTheOther(t *testing.T) {
	s := newStreet(t, map[string]string{"app.routes": "[ { path: /**, access: signed_in } ]"})
	ctx, services := t.Context(), s.a.Services()
	acme, err := services.Tenants.Create(ctx, cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	ann := s.a.resident(acme)
	door, err := services.Tenants.Connection(ctx, acme.ID, "door")
	must(t, err)
	_, owner, err := services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "owner", Scope: token.ScopeAPI, Role: authz.Owner, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	path := "/.gatehouse/api/v1/users/" + string(ann.user) + "/identities"
	nodes := map[string]*house{"that node": s.a, "the other": s.b}
	walk := func(subject string) {
		t.Helper()
		status, text := s.a.ask(http.MethodPost, path, `{"connection":"door","subject":"`+subject+`"}`, "Authorization", "Bearer "+owner, "Content-Type", "application/json")
		if status != http.StatusCreated {
			t.Fatalf("%d %s", status, text)
		}
		made, err := s.a.rooms.sessions.Create(ctx, cause, acme.ID, sessions.NewSession{User: ann.user, Connection: door.ID, ConnectionVersion: door.Version, IDPSubject: subject})
		must(t, err)
		begun := httpkit.SessionCookie + "=" + made.Token
		for name, h := range nodes {
			if got := h.status("/", "Cookie", begun); got != http.StatusOK {
				t.Fatalf("before, at %s: %d", name, got)
			}
		}
		status, text = s.a.ask(http.MethodDelete, path+"?"+url.Values{"connection": {"door"}, "subject": {subject}}.Encode(), "", "Authorization", "Bearer "+owner)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		for name, h := range nodes {
			if got := h.status("/", "Cookie", begun); got != http.StatusUnauthorized {
				t.Errorf("after, at %s: %d", name, got)
			}
			if got := h.status("/", "Cookie", ann.cookie); got != http.StatusOK {
				t.Errorf("what they have by another, at %s: %d", name, got)
			}
		}
	}
	walk("a1")
	s.redis.Kill()
	s.both("life by SQL", cluster.ModeSQLOnly)
	walk("a2")
}
