package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// What one node does to tokens holds on the other when it has answered: their connection
// is disabled or deleted, their overlap is over, their person has left.
func TestP2_P9_TokensEndOnEveryNode(t *testing.T) {
	s := newStreet(t)
	ctx, a, b := s.Context(), s.a, s.b
	services := a.Services()
	acme, err := services.Tenants.Create(ctx, cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	_, owner, err := services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "owner", Scope: token.ScopeAPI, Role: authz.Owner, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	admin := func(method, path, body string, want int) (into struct {
		ID, Secret string
		ClientID   string `json:"client_id"`
	}) {
		t.Helper()
		status, text := a.ask(method, "/.gatehouse/api/v1/"+path, body, "Authorization", "Bearer "+owner, "Content-Type", "application/json")
		if status != want {
			t.Fatalf("%s %s: %d %s", method, path, status, text)
		}
		if text != "" {
			must(t, json.Unmarshal([]byte(text), &into))
		}
		return into
	}
	other := func(what, secret string, want int) {
		t.Helper()
		if status, text := b.ask(http.MethodGet, "/scim/v2/Users", "", "Authorization", "Bearer "+secret); status != want {
			t.Errorf("%s: the other node answers %d, not %d: %s", what, status, want, text)
		}
	}
	connection := func(enabled bool) {
		t.Helper()
		admin(http.MethodPut, "connections/okta", fmt.Sprintf(`{"type":"oidc","issuer":"https://okta.example","client_id":"gatehouse","enabled":%v}`, enabled), http.StatusOK)
	}
	connection(true)
	bound := admin(http.MethodPost, "tokens", `{"name":"Okta","scope":"scim","connection":"okta","access":["users:read"]}`, http.StatusCreated)
	client := admin(http.MethodPost, "tokens", `{"name":"Okta","scope":"scim","kind":"client","connection":"okta"}`, http.StatusCreated)
	status, text := a.ask(http.MethodPost, "/.gatehouse/oauth/token", "grant_type=client_credentials&scope=users:read&client_id="+client.ClientID+"&client_secret="+client.Secret, "Content-Type", "application/x-www-form-urlencoded")
	var granted struct {
		Token string `json:"access_token"`
	}
	if must(t, json.Unmarshal([]byte(text), &granted)); status != http.StatusOK {
		t.Fatalf("granted: %d %s", status, text)
	}
	everywhere := func(what string, want int) {
		t.Helper()
		other(what, bound.Secret, want)
		other(what+", by a client", granted.Token, want)
	}
	everywhere("at first", http.StatusOK)
	connection(false)
	everywhere("disabled", http.StatusUnauthorized)
	connection(true)
	everywhere("enabled", http.StatusOK)

	next := admin(http.MethodPost, "tokens/"+bound.ID+"/rotate", `{"overlap":"1m"}`, http.StatusCreated)
	for what, h := range map[string]*house{"this": a, "the other": b} {
		p, err := h.rooms.tokens.Verify(ctx, acme.ID, bound.Secret)
		if err != nil || time.Until(p.Expires) > time.Minute {
			t.Errorf("after a rotation %s node has the old one until %v, %v", what, p.Expires, err)
		}
	}
	other("the successor", next.Secret, http.StatusOK)
	admin(http.MethodDelete, "tokens/"+bound.ID, "", http.StatusNoContent)
	other("the overlap was ended", bound.Secret, http.StatusUnauthorized)
	admin(http.MethodDelete, "tokens/"+client.ID, "", http.StatusNoContent)
	other("its client was revoked", granted.Token, http.StatusUnauthorized)
	admin(http.MethodDelete, "connections/okta", "", http.StatusNoContent)
	other("its connection was deleted", next.Secret, http.StatusUnauthorized)

	// P9: by SCIM, on the node that knows of it last.
	_, feed, err := services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "feed", Scope: token.ScopeSCIM, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	for i, leaves := range []struct{ method, body string }{
		{http.MethodPatch, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":false}}]}`}, {http.MethodDelete, ""},
	} {
		ann, err := services.Directory.CreateUser(ctx, cause, acme.ID, directory.User{UserName: fmt.Sprintf("ann%d", i), Active: true, Source: directory.SourceSCIM})
		must(t, err)
		_, secret, err := services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "hers", Scope: token.ScopeAPI, Role: authz.Owner, Owner: ann.ID, Expires: time.Now().Add(time.Hour)})
		must(t, err)
		_, another, err := services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "hers too", Scope: token.ScopeAPI, Role: authz.Owner, Owner: ann.ID, Expires: time.Now().Add(time.Hour)})
		must(t, err)
		const mine = "/.gatehouse/api/v1/users"
		bearer := []string{"Authorization", "Bearer " + secret}
		held, heldToo, owners := b.hold(bearer...), b.hold("Authorization", "Bearer "+another), b.hold("Authorization", "Bearer "+owner)
		if held == nil || heldToo == nil || owners == nil || b.status(mine, bearer...) != http.StatusOK {
			t.Fatalf("her token is not served")
		}
		status, text := a.ask(leaves.method, "/scim/v2/Users/"+string(ann.ID), leaves.body, "Authorization", "Bearer "+feed, "Content-Type", "application/scim+json")
		if status >= 300 {
			t.Fatalf("%s: %d %s", leaves.method, status, text)
		}
		if b.status(mine, bearer...) != http.StatusUnauthorized || !ended(held) || !ended(heldToo) {
			t.Errorf("after %s her token is served on the other node", leaves.method)
		}
		if i == 0 && ended(owners) {
			t.Error("with hers, what another token has open is closed on the other node")
		}
		if leaves.method == http.MethodPatch { // and coming back revives none
			_, err := services.Directory.UpdateUser(ctx, cause, acme.ID, ann.ID, 0, func(u *directory.User) error { u.Active = true; return nil })
			must(t, err)
			if b.status(mine, bearer...) != http.StatusUnauthorized {
				t.Errorf("her token has come back with her")
			}
		}
	}
	other("the feed goes on", feed, http.StatusOK)

	// Whoever hears that people have changed goes by no token that ended with one of them.
	must(t, a.rooms.store.Tenant(acme.ID).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE tokens SET revoked_at = 1 WHERE name = 'feed'`)
		return err
	}))
	other("before anything is heard", feed, http.StatusOK)
	must(t, a.rooms.nodes.AnnouncePeople(ctx, acme.ID, true, []identity.UserID{"usr_ann"}))
	other("when people have changed", feed, http.StatusUnauthorized)
	if good, err := services.Tokens.Good(ctx, acme.ID, []string{string(identity.NewTokenID())}); err != nil || len(good) != 0 {
		t.Errorf("%v, %v", good, err)
	}
}

// A tenant whose provider asks too often is told to wait, and another's is not.
func TestOneTenantsProviderDoesNotHoldUpAnothers(t *testing.T) {
	h := newHouse(t, nil)
	ctx, services := t.Context(), h.Services()
	_, err := services.Tenants.Update(ctx, cause, h.acme.ID, 0, func(x *tenants.Tenant) error {
		x.Settings.SCIM.Rate = tenants.Rate{Token: 1, Tenant: 1}
		return nil
	})
	must(t, err)
	one, all := h.rooms.scimRates(h.acme.ID)
	if one.Every != time.Second || one != all || one.Burst != 500 {
		t.Errorf("%+v, %+v", one, all)
	}
	if one, all = h.rooms.scimRates("ten_other"); one.Every != 10*time.Millisecond || one.Burst != 1000 || all.Every != 5*time.Millisecond || all.Burst != 2000 {
		t.Errorf("by default %+v, %+v", one, all)
	}
	_, feed, err := services.Tokens.Create(ctx, cause, h.acme.ID, token.Spec{Name: "feed", Scope: token.ScopeSCIM, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	var last int
	for range 600 {
		if last, _ = h.ask(http.MethodGet, "/scim/v2/Schemas", "", "Authorization", "Bearer "+feed); last != http.StatusOK {
			break
		}
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("600 at once: %d", last)
	}
	_, err = services.Tenants.Update(ctx, cause, h.acme.ID, 0, func(x *tenants.Tenant) error {
		x.Settings.SCIM.Rate = tenants.Rate{Off: true}
		return nil
	})
	must(t, err)
	if got, _ := h.ask(http.MethodGet, "/scim/v2/Schemas", "", "Authorization", "Bearer "+feed); got != http.StatusOK {
		t.Errorf("off: %d", got)
	}
}
