package api

import (
	"net/http"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
)

func (v *visitor) makes(body map[string]any) createdToken {
	v.h.t.Helper()
	body["name"] = "it"
	return into[createdToken](v.do("POST", "tokens", body).want(http.StatusCreated))
}

// with is a program that shows a secret at acme.
func (h *house) with(secret string) *visitor {
	return &visitor{h: h, server: h.server, host: h.acme.Hosts[0], header: http.Header{"Authorization": {"Bearer " + secret}}}
}

func (h *house) token(id identity.TokenID) Token {
	h.t.Helper()
	for _, t := range into[page[Token]](h.operator("acme").do("GET", "tokens?limit=100", nil).want(http.StatusOK)).Items {
		if t.ID == id {
			return t
		}
	}
	h.t.Fatalf("%s is not listed", id)
	return Token{}
}

// SCIM tokens and clients are of a connection, limited, rotated, and end with it.
func TestSCIMTokensOfAConnection(t *testing.T) {
	h := newHouse(t)
	owner, admin := h.signIn(h.acme, "owner", "owner"), h.signIn(h.acme, "admin", "admin")
	owner.do("PUT", "connections/okta", map[string]any{"type": "oidc", "issuer": "https://okta.example", "client_id": "gatehouse"}).want(http.StatusOK)
	made := owner.makes(map[string]any{"scope": "scim", "connection": "okta", "access": []string{"users:read", "users:write"}})
	if made.Connection != "okta" || made.ConnectionID == "" || len(made.Access) != 2 || made.Kind != PlainToken || made.Owner != "" {
		t.Errorf("made %+v", made.Token)
	}
	client := owner.makes(map[string]any{"scope": "scim", "connection": "okta", "kind": "client"})
	if client.Kind != ClientToken || client.ClientID == "" {
		t.Errorf("made %+v", client.Token)
	}
	for name, body := range map[string]map[string]any{
		"no such connection": {"scope": "scim", "connection": "nobody"}, "an API token of one": {"scope": "api", "role": "viewer", "connection": "okta"},
		"an API client": {"scope": "api", "role": "viewer", "kind": "client"}, "an unknown word": {"scope": "scim", "access": []string{"users:fire"}},
	} {
		body["name"] = "x"
		if r := owner.do("POST", "tokens", body); r.status != http.StatusUnprocessableEntity && r.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	admin.do("POST", "tokens/"+string(made.ID)+"/rotate", nil).problem(http.StatusForbidden, "more-than-you-have")
	next := into[createdToken](owner.do("POST", "tokens/"+string(made.ID)+"/rotate", map[string]any{"overlap": "1h"}).want(http.StatusCreated))
	if next.Connection != "okta" || len(next.Access) != 2 || !strings.HasPrefix(next.Secret, "gh_") || h.token(made.ID).Successor != next.ID || h.token(made.ID).ExpiresAt.After(*next.ExpiresAt) {
		t.Errorf("the successor is %+v", next.Token)
	}
	owner.do("POST", "tokens/"+string(made.ID)+"/rotate", nil).problem(http.StatusConflict, "token-rotated")
	owner.do("POST", "tokens/"+string(next.ID)+"/rotate", map[string]any{"overlap": "10s"}).problem(http.StatusBadRequest, "bad-token-request")
	owner.do("POST", "tokens/tok_nobody/rotate", nil).want(http.StatusNotFound)
	second := into[createdToken](owner.do("POST", "tokens/"+string(client.ID)+"/rotate", nil).want(http.StatusCreated))
	if second.ClientID != client.ClientID {
		t.Errorf("another secret is of the client %s", second.ClientID)
	}
	owner.do("DELETE", "connections/okta", nil).want(http.StatusNoContent)
	for _, id := range []identity.TokenID{made.ID, next.ID, client.ID, second.ID} {
		if h.token(id).RevokedAt == nil {
			t.Errorf("P2 %s has outlived its connection", id)
		}
	}
	if n := len(h.recorded(h.acme, audit.TokenRotated)); n != 2 {
		t.Errorf("%d rotations are recorded", n)
	}
}

// P9: an API token is whose maker's it is, by whatever way it is made, and can be taken
// over by who may give its role.
func TestP9_APITokensAreTheirMakers(t *testing.T) {
	h := newHouse(t)
	ann, bob, low := h.signIn(h.acme, "ann", "owner"), h.signIn(h.acme, "bob", "owner"), h.signIn(h.acme, "low", "admin")
	anns := ann.makes(map[string]any{"scope": "api", "role": "owner"})
	hers := h.with(anns.Secret).makes(map[string]any{"scope": "api", "role": "viewer"})
	taken := ann.makes(map[string]any{"scope": "api", "role": "owner"})
	operators := h.operator("acme").makes(map[string]any{"scope": "api", "role": "admin"})
	theirs := h.with(operators.Secret)
	feed := ann.makes(map[string]any{"scope": "scim"})
	if anns.Owner != ann.user.ID || hers.Owner != ann.user.ID || operators.Owner != "" || feed.Owner != "" {
		t.Errorf("they are of %q, %q, %q and %q", anns.Owner, hers.Owner, operators.Owner, feed.Owner)
	}
	low.do("POST", "tokens/"+string(taken.ID)+"/take-over", nil).problem(http.StatusForbidden, "more-than-you-have")
	h.operator("acme").do("POST", "tokens/"+string(taken.ID)+"/take-over", nil).problem(http.StatusForbidden, "person-needed")
	bob.do("POST", "tokens/"+string(feed.ID)+"/take-over", nil).problem(http.StatusConflict, "not-owned")
	if got := into[Token](bob.do("POST", "tokens/"+string(taken.ID)+"/take-over", nil).want(http.StatusOK)); got.Owner != bob.user.ID {
		t.Errorf("taken over by %q", got.Owner)
	}
	bob.do("PATCH", "users/"+string(ann.user.ID), map[string]any{"active": false}).want(http.StatusOK)
	h.with(anns.Secret).do("GET", "users", nil).want(http.StatusUnauthorized)
	h.with(hers.Secret).do("GET", "users", nil).want(http.StatusUnauthorized)
	h.with(taken.Secret).do("GET", "users", nil).want(http.StatusOK)
	theirs.do("GET", "users", nil).want(http.StatusOK)
	bob.do("PATCH", "users/"+string(ann.user.ID), map[string]any{"active": true}).want(http.StatusOK)
	h.with(anns.Secret).do("GET", "users", nil).want(http.StatusUnauthorized)
	if h.token(feed.ID).RevokedAt != nil || h.token(anns.ID).RevokedAt == nil {
		t.Error("the feed has ended, or her token has not")
	}
}

// What a service makes would be nobody's, and outlive it.
func TestServicesMakeNoAPITokens(t *testing.T) {
	h := newHouse(t)
	h.service = &identity.Principal{Kind: identity.KindService, Tenant: h.acme.ID, ID: "svc_ci", Role: "owner", Name: "ci"}
	ci := h.with("service")
	ci.do("POST", "tokens", map[string]any{"name": "x", "scope": "api", "role": "viewer"}).problem(http.StatusForbidden, "person-needed")
	ci.makes(map[string]any{"scope": "scim"})
}
