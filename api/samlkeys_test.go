package api

import (
	"context"
	"net/http"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// samlKeys is what the wiring says of SAML connections.
type samlKeys struct{ prepared, changed []string }

func (k *samlKeys) FinishKey(_ context.Context, cause audit.Cause, _ identity.TenantID, c tenants.Connection) error {
	k.changed = append(k.changed, "finish "+c.Name+" by "+cause.Actor.Name)
	return nil
}

func (k *samlKeys) TakeBackKey(_ context.Context, cause audit.Cause, _ identity.TenantID, c tenants.Connection) error {
	k.changed = append(k.changed, "take back "+c.Name+" by "+cause.Actor.Name)
	return keyring.ErrNonePrepared
}

func (k *samlKeys) State(_ context.Context, _ identity.TenantID, c tenants.Connection) (SAMLState, error) {
	return SAMLState{Keys: []SAMLKey{{State: "signing", SHA256: string(c.ID)}}, Problem: "none"}, nil
}

func (k *samlKeys) PrepareKey(_ context.Context, cause audit.Cause, _ identity.TenantID, c tenants.Connection, overlap time.Duration) error {
	k.prepared = append(k.prepared, c.Name+" "+overlap.String()+" by "+cause.Actor.Name)
	return nil
}

func TestKeysOfSAMLConnections(t *testing.T) {
	h := newHouse(t)
	admin := h.signIn(h.acme, "admin", "admin")
	admin.do("PUT", "connections/idp", oidcBody).want(http.StatusOK)
	admin.do("PUT", "connections/corp", map[string]any{"type": "saml", "idp_metadata": map[string]any{"url": "https://idp.example/metadata"}}).want(http.StatusOK)
	admin.do("GET", "connections/corp/saml", nil).want(http.StatusOK)
	admin.do("GET", "connections/idp/saml", nil).problem(http.StatusNotFound, "not-saml")
	admin.do("GET", "connections/none/saml", nil).want(http.StatusNotFound)
	admin.do("POST", "connections/idp/saml/keys", map[string]any{}).problem(http.StatusNotFound, "not-saml")
	admin.do("POST", "connections/corp/saml/keys", map[string]any{"overlap_days": 366}).want(http.StatusUnprocessableEntity)
	admin.do("POST", "connections/corp/saml/keys", map[string]any{"overlap_days": -1}).want(http.StatusUnprocessableEntity)
	if len(h.saml.prepared) != 0 {
		t.Fatalf("prepared %q", h.saml.prepared)
	}
	admin.do("POST", "connections/corp/saml/keys", map[string]any{}).want(http.StatusOK)
	admin.do("POST", "connections/corp/saml/keys", map[string]any{"overlap_days": 0}).want(http.StatusOK)
	if p := h.saml.prepared; len(p) != 2 || p[0] != "corp 720h0m0s by admin@acme.example" || p[1] != "corp 0s by admin@acme.example" {
		t.Errorf("prepared %q", p)
	}
	admin.do("POST", "connections/idp/saml/keys/next/sign", nil).problem(http.StatusNotFound, "not-saml")
	admin.do("DELETE", "connections/none/saml/keys/next", nil).want(http.StatusNotFound)
	viewer := h.signIn(h.acme, "viewer", "viewer")
	viewer.do("POST", "connections/corp/saml/keys/next/sign", nil).want(http.StatusForbidden)
	viewer.do("DELETE", "connections/corp/saml/keys/next", nil).want(http.StatusForbidden)
	if len(h.saml.changed) != 0 {
		t.Fatalf("changed %q", h.saml.changed)
	}
	admin.do("POST", "connections/corp/saml/keys/next/sign", nil).want(http.StatusOK)
	admin.do("DELETE", "connections/corp/saml/keys/next", nil).problem(http.StatusConflict, "no-key-prepared")
	if c := h.saml.changed; len(c) != 2 || c[0] != "finish corp by admin@acme.example" || c[1] != "take back corp by admin@acme.example" {
		t.Errorf("changed %q", c)
	}
}
