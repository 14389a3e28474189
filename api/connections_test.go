package api

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
)

// with copies a body with one field changed.
func with(body map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(body)
	changed[name] = value
	return changed
}

func TestP2_ClosedConnectionsHaveNoSessions(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	door := map[string]any{"type": "oidc", "issuer": "https://door.example", "client_id": "gatehouse"}
	apply := func(issuer string) func() {
		return func() {
			_, result := h.operator("platform").apply(parse(t, "{kind: Connection, tenant: acme, name: door, spec: {type: oidc, issuer: '"+issuer+"', client_id: gatehouse}}"), false)
			if result.Failed {
				t.Errorf("%+v", result)
			}
		}
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"disabled", func() { operator.do("PUT", "connections/door", with(door, "enabled", false)).want(http.StatusOK) }},
		{"another issuer", func() {
			operator.do("PUT", "connections/door", with(door, "issuer", "https://other.example")).want(http.StatusOK)
		}},
		{"applied", apply("https://third.example")},
		{"deleted", func() { operator.do("DELETE", "connections/door", nil).want(http.StatusNoContent) }},
	} {
		member := h.signIn(h.acme, strings.ReplaceAll(step.name, " ", "-"), "member")
		member.do("GET", "me", nil).want(http.StatusOK)
		step.do()
		member.do("GET", "me", nil).want(http.StatusUnauthorized)
		// Opened again, it does not bring the session back.
		if c, err := h.tenants.Connection(t.Context(), h.acme.ID, "door"); err == nil {
			operator.do("PUT", "connections/door", with(door, "issuer", c.OIDC.Issuer)).want(http.StatusOK)
			if now, err := h.tenants.Connection(t.Context(), h.acme.ID, "door"); err != nil || !now.Enabled {
				t.Errorf("%s: %+v, %v", step.name, now, err)
			}
			member.do("GET", "me", nil).want(http.StatusUnauthorized)
		}
	}
	// What cannot be kept closes nothing.
	member := h.signIn(h.acme, "last", "member")
	operator.do("PUT", "connections/door", with(door, "issuer", "nonsense")).want(http.StatusBadRequest)
	operator.do("PUT", "connections/door", with(door, "scopes", []string{"openid"})).want(http.StatusOK)
	member.do("GET", "me", nil).want(http.StatusOK)
}

func TestP2_SessionsOfADeletedConnectionCanBeRevoked(t *testing.T) {
	h := newHouse(t)
	owner := h.signIn(h.acme, "owner", "owner")
	id := h.door(h.acme).ID
	if err := h.tenants.DeleteConnection(t.Context(), audit.SystemCause(), h.acme.ID, "door", 0); err != nil {
		t.Fatal(err)
	}
	done := into[revocationSeen](owner.do("POST", "sessions/revoke", map[string]any{"connection": id}).want(http.StatusOK))
	if done.Sessions != 1 {
		t.Errorf("revoked %+v", done)
	}
	owner.do("GET", "me", nil).want(http.StatusUnauthorized)
}
