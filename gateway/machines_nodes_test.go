package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/cluster"
	"gatehouse/machines"
	"gatehouse/tenants"
)

// A service that is changed at one node is out at the other when the call has
// returned, with Redis and without it, and what is unchanged goes on.
func TestP2_AServiceThatOneNodeChangesIsOutAtTheOther(t *testing.T) {
	s := newStreet(t, map[string]string{"egress.allow": `["127.0.0.0/8"]`, "app.routes": "[ { path: /**, access: signed_in } ]"})
	as := newAuthServer(t)
	acme, err := s.a.Services().Tenants.Create(t.Context(), audit.SystemCause(), tenants.Tenant{Name: "acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	bearer := func(client string) string { return "Bearer " + as.token(client) }
	put := func(client string, enabled bool) {
		t.Helper()
		_, err := s.a.Services().Machines.Put(t.Context(), audit.SystemCause(), acme.ID, machines.Machine{Name: client, Role: "viewer", Enabled: enabled,
			Credentials: []machines.Credential{{JWT: &machines.JWT{Issuer: as.URL, Claims: machines.Claims{Audience: "app", ClientID: client}}}}})
		must(t, err)
	}
	walk := func() {
		t.Helper()
		token := bearer("billing")
		put("billing", true)
		if got := s.b.status("/", "Authorization", token); got != http.StatusOK {
			t.Fatalf("after it was made: %d", got)
		}
		held := s.b.hold("Authorization", token)
		if held == nil {
			t.Fatal("nothing is open")
		}
		put("billing", false)
		if got := s.b.status("/", "Authorization", token); got != http.StatusUnauthorized {
			t.Errorf("after it was disabled: %d", got)
		}
		if !ended(held) {
			t.Error("what was open is still open")
		}
	}
	walk()
	put("steady", true)
	s.redis.Kill()
	s.both("life by SQL", cluster.ModeSQLOnly)
	walk()
	// What is known is read anew all the time now, and cuts nothing.
	held := s.b.hold("Authorization", bearer("steady"))
	if held == nil {
		t.Fatal("nothing is open")
	}
	for range 2 {
		proven := s.b.rooms.nodes.proven.Load()
		s.b.soon("what is known, read anew", func() bool { return s.b.rooms.nodes.proven.Load() > proven })
	}
	close(s.b.app.release)
	if answer, err := io.ReadAll(held); err != nil || !strings.Contains(string(answer), "200 OK") {
		t.Errorf("what was open of a service that is unchanged: %v %q", err, answer)
	}
}
