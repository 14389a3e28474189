package gateway

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"time"

	"gatehouse/api"
	"gatehouse/audit"
	"gatehouse/authn/oidc"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// oidcKeys shows the API the keys by which OpenID providers know us.
type oidcKeys struct{ protocol *oidc.Protocol }

func (k oidcKeys) Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) ([]api.OIDCKey, error) {
	keys, err := k.protocol.OwnKeys(ctx, tenant, c)
	if err != nil {
		return nil, err
	}
	shown := []api.OIDCKey{}
	for _, key := range keys {
		one := api.OIDCKey{State: string(key.State), Published: key.Published, SignsAt: key.SignsAt.UTC(), KeyID: key.JWK.KeyID,
			PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.Public}))}
		text, err := json.Marshal(key.JWK)
		if err == nil {
			err = json.Unmarshal(text, &one.JWK)
		}
		if err != nil {
			return nil, fmt.Errorf("gateway: show a key: %w", err)
		}
		shown = append(shown, one)
	}
	return shown, nil
}

func (k oidcKeys) PrepareKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) error {
	return k.protocol.PrepareKey(ctx, cause, tenant, c, overlap)
}

func (k oidcKeys) FinishKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	return k.protocol.FinishKey(ctx, cause, tenant, c)
}

func (k oidcKeys) TakeBackKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	return k.protocol.TakeBackKey(ctx, cause, tenant, c)
}
