package gateway

import (
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/local"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/machines"
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
