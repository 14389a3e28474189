package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/saml"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// samlKeys shows the API how SAML connections stand.
type samlKeys struct{ protocol *saml.Protocol }

func (k samlKeys) State(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (api.SAMLState, error) {
	keys, err := k.protocol.Keys(ctx, tenant, c)
	if err != nil {
		return api.SAMLState{}, err
	}
	state := api.SAMLState{Keys: []api.SAMLKey{}}
	for _, key := range keys {
		state.Keys = append(state.Keys, api.SAMLKey{State: string(key.State), SignsAt: key.SignsAt.UTC(), SHA256: fingerprint(key.Certificate),
			NotAfter: key.Certificate.NotAfter.UTC(), Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: key.Certificate.Raw}))})
	}
	standing, err := k.protocol.Standing(ctx, tenant, c)
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
		state.Problem = refusal.Message
		return state, nil
	} else if err != nil {
		return api.SAMLState{}, err
	}
	state.Provider = &api.SAMLProvider{EntityID: standing.Entity, Certificates: []api.SAMLCertificate{}}
	if !standing.Until.IsZero() {
		until := standing.Until.UTC()
		state.Provider.ValidUntil = &until
	}
	for _, certificate := range standing.Certificates {
		state.Provider.Certificates = append(state.Provider.Certificates, certificateOf(certificate))
	}
	if standing.Pinned != nil {
		pinned := certificateOf(standing.Pinned)
		state.Provider.MetadataCert = &pinned
	}
	return state, nil
}

func (k samlKeys) PrepareKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) error {
	_, err := k.protocol.PrepareKey(ctx, cause, tenant, c, overlap)
	return err
}

func (k samlKeys) FinishKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	return k.protocol.FinishKey(ctx, cause, tenant, c)
}

func (k samlKeys) TakeBackKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	return k.protocol.TakeBackKey(ctx, cause, tenant, c)
}

func certificateOf(c *x509.Certificate) api.SAMLCertificate {
	return api.SAMLCertificate{SHA256: fingerprint(c), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC()}
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// endingProviders gives the tenants one of whose SAML providers is about to be of no
// use.
func (g *Gateway) endingProviders() (all []subject) {
	for _, e := range g.rooms.samlWatch.Ending() {
		if t, there := g.rooms.tenants.ByID(e.Tenant); there {
			all = append(all, subject{Tenant: e.Tenant, Name: t.Name, detail: e.Why})
		}
	}
	return all
}
