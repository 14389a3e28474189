package saml

import (
	"context"

	"gatehouse/identity"
	"gatehouse/tenants"
)

// Entity implements [authn.EntityNamer]: the entity id in the provider's metadata
// (SAML metadata §2.3.2).
func (p *Protocol) Entity(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (string, error) {
	idp, err := p.provider(ctx, tenant, c)
	if err != nil {
		return "", err
	}
	return idp.metadata.EntityID, nil
}
