package api

import (
	"maps"
	"net/http"
	"strings"
	"testing"
)

func TestP6_AnOAuth2SecretIsKeptAndShownToNobodyElse(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	const hidden = "hidden-from-everybody"
	hub := map[string]any{"type": "oauth2", "authorization_url": "https://hub.example/authorize", "token_url": "https://hub.example/token",
		"userinfo_url": "https://api.hub.example/user", "revocation_url": "https://hub.example/revoke", "client_id": "gatehouse", "client_secret": hidden,
		"groups_from": []any{map[string]any{"url": "https://api.hub.example/teams", "name": []string{"organization.login", "slug"}}},
		"claims":      map[string]any{"subject": "id", "email": "mail", "email_verified": "confirmed", "name": "label"}, "pkce": "none", "client_auth": "client_secret_post"}
	secretAfter := func(spec map[string]any) string {
		t.Helper()
		answer := operator.do("PUT", "connections/hub", spec).want(http.StatusOK)
		if strings.Contains(string(answer.body), hidden) {
			t.Errorf("shown: %s", answer.body)
		}
		c, err := h.tenants.Connection(t.Context(), h.acme.ID, "hub")
		if err != nil {
			t.Fatal(err)
		}
		if into[connection](answer).HasSecret != (c.OAuth2.ClientSecret != "") {
			t.Errorf("has_client_secret: %s", answer.body)
		}
		return c.OAuth2.ClientSecret
	}
	if secretAfter(hub) != hidden {
		t.Error("the secret was not kept")
	}
	silent := maps.Clone(hub)
	delete(silent, "client_secret")
	if secretAfter(silent) != hidden || secretAfter(with(silent, "userinfo_url", "https://other.example/user")) != hidden {
		t.Error("the secret is lost")
	}
	silent["pkce"] = ""
	for field, other := range map[string]string{"client_id": "other", "token_url": "https://evil.example/token", "revocation_url": "https://evil.example/revoke"} {
		secretAfter(hub)
		if secretAfter(with(silent, field, other)) != "" {
			t.Errorf("with another %s the secret of the one before is shown there", field)
		}
	}

	// apply and export say the same, without the secret; a preset stays what was said.
	github := map[string]any{"type": "oauth2", "preset": "github", "client_id": "Iv1.x", "client_secret": hidden}
	// Anybody can have an account there, and is let in only if that is said.
	operator.do("PUT", "connections/github", github).want(http.StatusBadRequest)
	operator.do("PUT", "connections/github", with(github, "anybody", true)).want(http.StatusOK)
	secretAfter(hub)
	all := h.operator("platform").do("GET", "platform/export", nil).want(http.StatusOK)
	if text := string(all.body); strings.Contains(text, hidden) || !strings.Contains(text, "organization.login") || strings.Contains(text, "api.github.com") {
		t.Errorf("%s", text)
	}
	documents := parse(t, "{kind: Connection, tenant: acme, name: github, spec: {type: oauth2, preset: github, client_id: Iv1.x, anybody: true}}")
	if _, result := h.operator("platform").apply(documents, false); result.Failed || result.Results[0].Action != unchanged {
		t.Errorf("%+v", result)
	}
}

func TestFieldsOfOAuth2AreForItAlone(t *testing.T) {
	h := newHouse(t)
	operator := h.operator("acme")
	oidc := map[string]any{"type": "oidc", "issuer": "https://door.example", "client_id": "gatehouse"}
	for field, value := range map[string]any{
		"preset": "github", "authorization_url": "https://a.example", "token_url": "https://a.example", "userinfo_url": "https://a.example", "pkce": "none",
		"claims": map[string]any{"subject": "id"}, "groups_from": []any{map[string]any{"url": "https://a.example", "name": []string{"x"}}},
	} {
		operator.do("PUT", "connections/mixed", with(oidc, field, value)).want(http.StatusBadRequest)
	}
	for field, value := range map[string]any{"acr_values": []string{"mfa"}, "idp_initiated": true, "attributes": map[string]any{"email_verified": "x"}} {
		operator.do("PUT", "connections/mixed", with(map[string]any{"type": "oauth2", "preset": "github", "client_id": "x", "anybody": true}, field, value)).want(http.StatusBadRequest)
	}
	if _, err := h.tenants.Connection(t.Context(), h.acme.ID, "mixed"); err == nil {
		t.Error("it was kept")
	}
}
