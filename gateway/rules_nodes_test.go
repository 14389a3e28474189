package gateway

import (
	"net/http"
	"testing"
	"time"

	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/internal/cluster"
	"gatehouse/tenants"
)

// Whoever has rights by a rule of one connection, and is signed in by another at one
// node, loses them when the other node has changed what the rule asks for, or has
// switched its connection off: with Redis, and without it.
func TestP2_ARuleThatOneNodeChangesRulesNobodyOnTheOther(t *testing.T) {
	s := newStreet(t, map[string]string{"app.routes": "[ { path: /**, permission: reports:read } ]"})
	ctx, services := t.Context(), s.a.Services()
	acme, err := services.Tenants.Create(ctx, cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	ann := s.a.resident(acme)
	_, owner, err := services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "owner", Scope: token.ScopeAPI, Role: authz.Owner, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	_, err = services.Authz.PutRole(ctx, cause, acme.ID, authz.Role{Name: "reader", Permissions: []string{"reports:read"}}, 0)
	must(t, err)
	put := func(claim, more string) {
		t.Helper()
		spec := `{"type":"oidc","issuer":"https://hr.example","client_id":"gatehouse","group_rules":[{"claim":"` + claim + `","values":["yes"],"group":"readers"}]` + more + `}`
		if status, text := s.a.ask(http.MethodPut, "/.gatehouse/api/v1/connections/hr", spec, "Authorization", "Bearer "+owner, "Content-Type", "application/json"); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
	}
	arrive := func() {
		t.Helper()
		c, err := services.Tenants.Connection(ctx, acme.ID, "hr")
		must(t, err)
		must(t, services.Directory.Link(ctx, cause, acme.ID, ann.user, directory.Namer{}, c.ID, "ann"))
		u, _, err := services.Directory.SignIn(ctx, cause, acme.ID, directory.SignIn{Connection: c.ID, Version: c.Version, Subject: "ann", Rules: map[string]bool{"readers": true}})
		must(t, err)
		_, err = services.Authz.Assign(ctx, cause, acme.ID, authz.Assignment{Role: "reader", Group: u.Groups[0].ID})
		must(t, err)
	}
	walk := func() {
		t.Helper()
		for what, change := range map[string]func(){
			"another claim is asked for": func() { put("boss", "") },
			"it is switched off":         func() { put("lead", `,"enabled":false`) },
		} {
			put("lead", "")
			arrive()
			if got := s.b.status("/", "Cookie", ann.cookie); got != http.StatusOK {
				t.Fatalf("before %s: %d", what, got)
			}
			change()
			for name, h := range map[string]*house{"that node": s.a, "the other": s.b} {
				if got := h.status("/", "Cookie", ann.cookie); got != http.StatusForbidden {
					t.Errorf("after %s, %s: %d", what, name, got)
				}
			}
		}
	}
	walk()
	s.redis.Kill()
	s.both("life by SQL", cluster.ModeSQLOnly)
	walk()
}
