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

// SAML tells how both sides of a SAML connection are known to each other.
type SAML interface {
	// State gives our keys and what is known of the provider.
	State(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (SAMLState, error)
	// PrepareKey makes our next key, which signs once the overlap is over.
	PrepareKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) error
	// FinishKey has it sign now, and TakeBackKey lets go of it.
	FinishKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error
	TakeBackKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error
}

// SAMLState is how a SAML connection stands.
type SAMLState struct {
	Keys     []SAMLKey     `json:"keys" doc:"Our keys, newest first"`
	Provider *SAMLProvider `json:"provider,omitempty" doc:"The identity provider, as its metadata describes it; absent while that cannot be used"`
	Problem  string        `json:"problem,omitempty" doc:"Why the metadata cannot be used"`
}

// SAMLKey is one of our keys.
type SAMLKey struct {
	State       string    `json:"state" enum:"prepared,signing,retired" doc:"prepared: published, and signs from signs_at on. signing: signs, and is published. retired: signs no more, and still decrypts"`
	SignsAt     time.Time `json:"signs_at"`
	SHA256      string    `json:"sha256" doc:"Fingerprint of the certificate"`
	NotAfter    time.Time `json:"not_after"`
	Certificate string    `json:"certificate" doc:"PEM"`
}

// SAMLProvider is an identity provider.
type SAMLProvider struct {
	EntityID     string            `json:"entity_id"`
	ValidUntil   *time.Time        `json:"valid_until,omitempty" doc:"When its metadata ends; absent: it does not say"`
	Certificates []SAMLCertificate `json:"certificates" doc:"What it may sign with"`
	MetadataCert *SAMLCertificate  `json:"metadata_certificate,omitempty" doc:"What has signed its metadata, where that is pinned"`
}

// SAMLCertificate is a certificate of an identity provider.
type SAMLCertificate struct {
	SHA256    string    `json:"sha256"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

func (a *API) registerSAML() {
	register(a, operation{id: "get-connection-saml", method: http.MethodGet, path: "/connections/{name}/saml", tag: "Connections", needs: reads("connections"),
		summary: "Show the keys and certificates of both sides of a SAML connection"}, a.getSAML)
	register(a, operation{id: "prepare-saml-key", method: http.MethodPost, path: "/connections/{name}/saml/keys", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Prepare our next key of a SAML connection: it is published at once beside the one that signs, and takes its place when the overlap is over"}, a.prepareSAMLKey)
	register(a, operation{id: "finish-saml-key", method: http.MethodPost, path: "/connections/{name}/saml/keys/next/sign", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Have the prepared key of a SAML connection sign now: a provider that has not got our metadata since refuses what it signs"},
		changeKey(a.samlConnection, func() keyChange { return a.cfg.SAML.FinishKey }, a.showSAML))
	register(a, operation{id: "take-back-saml-key", method: http.MethodDelete, path: "/connections/{name}/saml/keys/next", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Let go of the prepared key of a SAML connection: the one that signs goes on, and what is encrypted for the other one is opened no more"},
		changeKey(a.samlConnection, func() keyChange { return a.cfg.SAML.TakeBackKey }, a.showSAML))
}

func (a *API) samlConnection(ctx context.Context, c *call, name string) (tenants.Connection, error) {
	found, err := a.cfg.Connections.Connection(ctx, c.tenant(), name)
	if err == nil && found.Type != tenants.SAML {
		return tenants.Connection{}, fault.New(fault.NotFound, "not-saml", "The connection is not a SAML connection.")
	}
	return found, err
}

func (a *API) getSAML(ctx context.Context, c *call, in *ByName) (*bodyOutput[SAMLState], error) {
	found, err := a.samlConnection(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	return a.showSAML(ctx, c, found)
}

func (a *API) showSAML(ctx context.Context, c *call, found tenants.Connection) (*bodyOutput[SAMLState], error) {
	state, err := a.cfg.SAML.State(ctx, c.tenant(), found)
	return &bodyOutput[SAMLState]{state}, err
}

func (a *API) prepareSAMLKey(ctx context.Context, c *call, in *struct {
	ByName
	Body struct {
		Overlap *int `json:"overlap_days,omitempty" minimum:"0" maximum:"365" doc:"How long both are published before the new one signs; absent: 30. 0 signs with it at once, and providers that have not read our metadata since refuse what it has signed"`
	}
}) (*bodyOutput[SAMLState], error) {
	found, err := a.samlConnection(ctx, c, in.Name)
	if err != nil {
		return nil, err
	}
	days := 30
	if in.Body.Overlap != nil {
		days = *in.Body.Overlap
	}
	if err := a.cfg.SAML.PrepareKey(ctx, c.cause, c.tenant(), found, time.Duration(days)*24*time.Hour); err != nil {
		return nil, err
	}
	return a.showSAML(ctx, c, found)
}

// keyChange is what can be done with a prepared key.
type keyChange func(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error

// changeKey does something with the prepared key of a connection, and shows what there is
// then. What it does is known only once the API is wired.
func changeKey[S any](find func(context.Context, *call, string) (tenants.Connection, error), change func() keyChange,
	show func(context.Context, *call, tenants.Connection) (*bodyOutput[S], error)) func(context.Context, *call, *ByName) (*bodyOutput[S], error) {
	return func(ctx context.Context, c *call, in *ByName) (*bodyOutput[S], error) {
		found, err := find(ctx, c, in.Name)
		if err == nil {
			err = change()(ctx, c.cause, c.tenant(), found)
		}
		if err != nil {
			return nil, err
		}
		return show(ctx, c, found)
	}
}
