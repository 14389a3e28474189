package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/local"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/machines"
	"gatehouse/tenants"
)

// A link that a program made is good while the program may make it: not once its token
// is revoked, or the service switched off, given less, or deleted.
func TestALinkEndsWithTheProgramThatMadeIt(t *testing.T) {
	h := newHouse(t, map[string]string{"app.routes": "[ { path: /**, access: signed_in } ]"})
	ctx, acme := t.Context(), h.acme.ID
	user, err := h.rooms.directory.CreateUser(ctx, cause, acme, directory.User{UserName: "ann@acme.test", Email: "ann@acme.test", Active: true, Source: directory.SourceAdmin})
	must(t, err)
	_, err = h.rooms.authz.Assign(ctx, cause, acme, authz.Assignment{Role: authz.Owner, User: user.ID})
	must(t, err)
	c := h.guest("192.0.2.1")
	links := func(kind identity.Kind, id string) (leads func(what string, want int)) {
		made, err := h.rooms.accounts.Invite(ctx, audit.Cause{Actor: audit.Actor{Kind: kind, ID: id, Name: "a program"}}, acme, user.ID, 0)
		must(t, err)
		return func(what string, want int) {
			t.Helper()
			if status, page := c.get(local.InvitationURL(made.Token)); status != want {
				t.Errorf("%s: %d %s", what, status, page)
			}
		}
	}

	robot, _, err := h.rooms.tokens.Create(ctx, cause, acme, token.Spec{Name: "robot", Scope: token.ScopeAPI, Role: authz.Owner, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	leads := links(identity.KindAPIToken, string(robot.ID))
	leads("a token that is good", http.StatusOK)
	must(t, h.rooms.tokens.Revoke(ctx, cause, acme, robot.ID))
	leads("a token that was revoked", http.StatusForbidden)
	less, _, err := h.rooms.tokens.Create(ctx, cause, acme, token.Spec{Name: "less", Scope: token.ScopeAPI, Role: "admin", Expires: time.Now().Add(time.Hour)})
	must(t, err)
	links(identity.KindAPIToken, string(less.ID))("a token of an admin", http.StatusForbidden)
	links(identity.KindAPIToken, "tok_nobody")("a token of nobody", http.StatusForbidden)

	put := func(enabled bool, role string) machines.Machine {
		t.Helper()
		m, err := h.rooms.services.Put(ctx, cause, acme, machines.Machine{Name: "deploy", Role: role, Enabled: enabled,
			Credentials: []machines.Credential{{JWT: &machines.JWT{Issuer: "https://issuer.example", Claims: machines.Claims{Audience: "app", ClientID: "deploy"}}}}})
		must(t, err)
		return m
	}
	leads = links(identity.KindService, string(put(true, authz.Owner).ID))
	leads("a service", http.StatusOK)
	put(false, authz.Owner)
	leads("a service that is switched off", http.StatusForbidden)
	put(true, "admin")
	leads("a service that may less", http.StatusForbidden)
	put(true, authz.Owner)
	leads("a service again", http.StatusOK)
	must(t, h.rooms.services.Delete(ctx, cause, acme, "deploy", 0))
	leads("a service that is gone", http.StatusForbidden)
}

// An owner who is none any more goes on with what is left to them, on every node, from
// the moment that the call has returned; by a local account they do not come in again.
// And who comes back after they were deactivated finds no link on any.
func TestAnOwnersOpenSessionHasWhatIsLeftToThem(t *testing.T) {
	s := newStreet(t, map[string]string{"listen.trusted_proxies": `["127.0.0.1/32"]`, "app.routes": "[ { path: /**, access: signed_in } ]"})
	acme, err := s.a.Services().Tenants.Create(s.Context(), cause, tenants.Tenant{Name: "acme", DisplayName: "Acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	ann, _ := s.invited(acme, "ann@acme.test", true), s.invited(acme, "boss@acme.test", true)
	at := map[*house]*guest{s.a: s.a.guest("192.0.2.1"), s.b: s.b.guest("192.0.2.2")}
	all := func(what string, want int) {
		t.Helper()
		for _, c := range at {
			if status, page := c.get("/.gatehouse/api/v1/users"); status != want {
				t.Errorf("%s: %d %s", what, status, page)
			}
			if status, page := c.get("/x"); status != http.StatusOK {
				t.Errorf("%s, at the app: %d %s", what, status, page)
			}
		}
	}
	for _, c := range at {
		ann(c)
	}
	all("an owner", http.StatusOK)

	given, err := s.a.rooms.authz.Assignments(s.Context(), acme.ID)
	must(t, err)
	user := given[0].User
	for _, a := range given {
		if u, err := s.a.rooms.directory.User(s.Context(), acme.ID, a.User); err == nil && u.UserName == "ann@acme.test" {
			user = u.ID
			must(t, s.a.rooms.authz.Unassign(s.Context(), cause, acme.ID, a.ID))
		}
	}
	all("no owner any more", http.StatusForbidden)
	for _, h := range []*house{s.a, s.b} {
		if page := ann(h.guest("192.0.2.3")); !strings.Contains(page, "That did not work") {
			t.Errorf("came in again: %s", page)
		}
	}

	_, err = s.a.rooms.authz.Assign(s.Context(), cause, acme.ID, authz.Assignment{Role: authz.Owner, User: user})
	must(t, err)
	all("an owner again", http.StatusOK)
	made, err := s.a.rooms.accounts.Invite(s.Context(), audit.Cause{Actor: audit.Actor{Kind: identity.KindOperator, ID: "local"}}, acme.ID, user, 0)
	must(t, err)
	link := local.InvitationURL(made.Token)
	if status, page := s.b.guest("192.0.2.4").get(link); status != http.StatusOK {
		t.Errorf("%d %s", status, page)
	}
	for _, active := range []bool{false, true} {
		_, err := s.a.rooms.directory.UpdateUser(s.Context(), cause, acme.ID, user, 0, func(u *directory.User) error { u.Active = active; return nil })
		must(t, err)
	}
	for _, h := range []*house{s.a, s.b} {
		if status, page := h.guest("192.0.2.4").get(link); status != http.StatusForbidden {
			t.Errorf("a link of before: %d %s", status, page)
		}
	}
}
