package oidc

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// ourKeys are what we sign with towards providers. One that fetches them daily
// misses neither a new key nor the one before.
var ourKeys = keyring.Kind{
	Table: "oidc_keys", Column: "public_key", Purpose: "authn.oidc-key.",
	Public: func(private *rsa.PrivateKey, _ time.Time) ([]byte, error) {
		return x509.MarshalPKIXPublicKey(private.Public())
	},
	Kept: 2,
	Life: 90 * 24 * time.Hour, Ahead: 24 * time.Hour, Behind: 24 * time.Hour,
}

// keysType is RFC 7517 §8.5.2.
const keysType = "application/jwk-set+json"

// keyID names a key by its digest.
func keyID(key keyring.Key) string {
	sum := sha256.Sum256(key.Public)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Keys implements [authn.KeyPublisher]: a JWK Set (RFC 7517 §5).
func (p *Protocol) Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (document []byte, mediaType string, err error) {
	if c.OIDC == nil || c.OIDC.ClientAuth != tenants.PrivateKeyJWT {
		return nil, "", fault.New(fault.NotFound, "no-keys", "There is no connection of this name that has keys.")
	}
	keys, err := p.keys.All(ctx, tenant, c.ID)
	if err != nil {
		return nil, "", err
	}
	var set jose.JSONWebKeySet
	for _, key := range slices.Backward(keys) {
		if !key.Published {
			continue
		}
		public, err := x509.ParsePKIXPublicKey(key.Public)
		if err != nil {
			return nil, "", fmt.Errorf("oidc: read signing key: %w", err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: crypto.PublicKey(public), KeyID: keyID(key), Use: "sig"})
	}
	document, err = json.Marshal(set)
	return document, keysType, err
}
