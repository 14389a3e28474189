package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// oidcKeys is what the wiring says of connections with private_key_jwt.
type oidcKeys struct{ prepared []string }

func (k *oidcKeys) Keys(_ context.Context, _ identity.TenantID, c tenants.Connection) ([]OIDCKey, error) {
	return []OIDCKey{{State: "signing", Published: true, KeyID: string(c.ID), JWK: map[string]string{"kty": "RSA"}}}, nil
}

func (k *oidcKeys) PrepareKey(_ context.Context, cause audit.Cause, _ identity.TenantID, c tenants.Connection, overlap time.Duration) error {
	k.prepared = append(k.prepared, c.Name+" "+overlap.String()+" by "+cause.Actor.Name)
	return nil
}

func (k *oidcKeys) FinishKey(_ context.Context, cause audit.Cause, _ identity.TenantID, c tenants.Connection) error {
	k.prepared = append(k.prepared, c.Name+" signs by "+cause.Actor.Name)
	return nil
}

func (k *oidcKeys) TakeBackKey(_ context.Context, cause audit.Cause, _ identity.TenantID, c tenants.Connection) error {
	k.prepared = append(k.prepared, c.Name+" is taken back by "+cause.Actor.Name)
	return nil
}

func TestKeysOfOIDCConnections(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	admin.do("PUT", "connections/idp", oidcBody).want(http.StatusOK)
	admin.do("PUT", "connections/keyed", map[string]any{"type": "oidc", "issuer": "https://idp.example", "client_id": "gate", "client_auth": "private_key_jwt"}).want(http.StatusOK)
	admin.do("PUT", "connections/corp", map[string]any{"type": "saml", "idp_metadata": map[string]any{"url": "https://idp.example/metadata"}}).want(http.StatusOK)
	if got := admin.do("GET", "connections/keyed/oidc", nil).want(http.StatusOK); !strings.Contains(string(got.body), `"jwk":{"kty":"RSA"}`) {
		t.Errorf("shown as %s", got.body)
	}
	for _, name := range []string{"idp", "corp"} {
		admin.do("GET", "connections/"+name+"/oidc", nil).problem(http.StatusNotFound, "no-keys")
		admin.do("POST", "connections/"+name+"/oidc/keys", map[string]any{}).problem(http.StatusNotFound, "no-keys")
		admin.do("POST", "connections/"+name+"/oidc/keys/next/sign", nil).problem(http.StatusNotFound, "no-keys")
		admin.do("DELETE", "connections/"+name+"/oidc/keys/next", nil).problem(http.StatusNotFound, "no-keys")
	}
	admin.do("GET", "connections/none/oidc", nil).want(http.StatusNotFound)
	admin.do("POST", "connections/keyed/oidc/keys", map[string]any{"overlap_days": 31}).want(http.StatusUnprocessableEntity)
	admin.do("POST", "connections/keyed/oidc/keys", map[string]any{"overlap_days": -1}).want(http.StatusUnprocessableEntity)
	viewer := h.signIn(h.acme, "viewer", "viewer")
	viewer.do("POST", "connections/keyed/oidc/keys", map[string]any{}).want(http.StatusForbidden)
	viewer.do("POST", "connections/keyed/oidc/keys/next/sign", nil).want(http.StatusForbidden)
	viewer.do("DELETE", "connections/keyed/oidc/keys/next", nil).want(http.StatusForbidden)
	if len(h.oidc.prepared) != 0 {
		t.Fatalf("prepared %q", h.oidc.prepared)
	}
	admin.do("POST", "connections/keyed/oidc/keys", map[string]any{}).want(http.StatusOK)
	admin.do("POST", "connections/keyed/oidc/keys", map[string]any{"overlap_days": 0}).want(http.StatusOK)
	admin.do("POST", "connections/keyed/oidc/keys/next/sign", nil).want(http.StatusOK)
	admin.do("DELETE", "connections/keyed/oidc/keys/next", nil).want(http.StatusOK)
	if p := h.oidc.prepared; len(p) != 4 || p[2] != "keyed signs by admin@acme.example" || p[3] != "keyed is taken back by admin@acme.example" || p[0] != "keyed 24h0m0s by admin@acme.example" || p[1] != "keyed 0s by admin@acme.example" {
		t.Errorf("prepared %q", p)
	}
}
