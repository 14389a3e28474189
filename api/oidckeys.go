package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// OIDC tells by which keys OpenID providers know us (private_key_jwt).
type OIDC interface {
	// Keys gives our keys of a connection, newest first; a NotFound fault where it needs
	// none.
	Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) ([]OIDCKey, error)
	// PrepareKey makes our next key, which signs once the overlap is over.
	PrepareKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) error
	// FinishKey has it sign now, and TakeBackKey lets go of it.
	FinishKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error
	TakeBackKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error
}

// OIDCState is how an OpenID Connect connection with private_key_jwt stands.
type OIDCState struct {
	Keys []OIDCKey `json:"keys" doc:"Our keys, newest first. What is published of them is at /.gatehouse/oidc/{name}/jwks.json"`
}

// OIDCKey is one of our keys.
type OIDCKey struct {
	State     string            `json:"state" enum:"prepared,signing,retired" doc:"prepared: published, and signs from signs_at on. signing: signs, and is published. retired: signs no more"`
	Published bool              `json:"published" doc:"Whether it is in the JWK Set; one that has retired stays there for a day"`
	SignsAt   time.Time         `json:"signs_at"`
	KeyID     string            `json:"kid"`
	JWK       map[string]string `json:"jwk" doc:"The public key (RFC 7517), for a provider that takes one instead of an address"`
	PublicKey string            `json:"public_key" doc:"The same in PEM"`
}

func (a *API) registerOIDC() {
	register(a, operation{id: "get-connection-oidc", method: http.MethodGet, path: "/connections/{name}/oidc", tag: "Connections", needs: reads("connections"),
		summary: "Show the keys by which an OpenID provider knows us"}, a.getOIDC)
	register(a, operation{id: "prepare-oidc-key", method: http.MethodPost, path: "/connections/{name}/oidc/keys", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Prepare our next key of an OpenID Connect connection: it is published at once beside the one that signs, and takes its place when the overlap is over"}, a.prepareOIDCKey)
	register(a, operation{id: "finish-oidc-key", method: http.MethodPost, path: "/connections/{name}/oidc/keys/next/sign", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Have the prepared key of an OpenID Connect connection sign now: a provider that does not know it yet refuses us until it does"},
		changeKey(a.oidcConnection, func() keyChange { return a.cfg.OIDC.FinishKey }, a.showOIDC))
	register(a, operation{id: "take-back-oidc-key", method: http.MethodDelete, path: "/connections/{name}/oidc/keys/next", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Let go of the prepared key of an OpenID Connect connection: the one that signs goes on"},
		changeKey(a.oidcConnection, func() keyChange { return a.cfg.OIDC.TakeBackKey }, a.showOIDC))
}

func (a *API) oidcConnection(ctx context.Context, c *call, name string) (tenants.Connection, error) {
	found, err := a.cfg.Connections.Connection(ctx, c.tenant(), name)
	if err == nil && (found.Type != tenants.OIDC || found.OIDC.ClientAuth != tenants.PrivateKeyJWT) {
		return tenants.Connection{}, fault.New(fault.NotFound, "no-keys", "The connection is not one by OpenID Connect with private_key_jwt.")
	}
	return found, err
}

func (a *API) getOIDC(ctx context.Context, c *call, in *ByName) (*bodyOutput[OIDCState], error) {
	found, err := a.oidcConnection(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	return a.showOIDC(ctx, c, found)
}

func (a *API) showOIDC(ctx context.Context, c *call, found tenants.Connection) (*bodyOutput[OIDCState], error) {
	keys, err := a.cfg.OIDC.Keys(ctx, c.tenant(), found)
	return &bodyOutput[OIDCState]{OIDCState{keys}}, err
}

func (a *API) prepareOIDCKey(ctx context.Context, c *call, in *struct {
	ByName
	Body struct {
		Overlap *int `json:"overlap_days,omitempty" minimum:"0" maximum:"30" doc:"How long both are published before the new one signs; absent: 1. 0 signs with it at once, and a provider that does not know it yet refuses us until it does"`
	}
}) (*bodyOutput[OIDCState], error) {
	found, err := a.oidcConnection(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	days := 1
	if in.Body.Overlap != nil {
		days = *in.Body.Overlap
	}
	if err := a.cfg.OIDC.PrepareKey(ctx, c.cause, c.tenant(), found, time.Duration(days)*24*time.Hour); err != nil {
		return nil, err
	}
	return a.showOIDC(ctx, c, found)
}
