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

	"gatehouse/audit"
	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// MaxOverlap is how long an admin may have the next key wait: less than it takes until
// the one after that is made by itself, which would drive out the one that signs.
const MaxOverlap = 30 * 24 * time.Hour

// ourKeys are what we sign with towards providers. One that fetches them daily
// misses neither a new key nor the one before.
var ourKeys = keyring.Kind{
	Table: "oidc_keys", Column: "public_key", Purpose: "authn.oidc-key.",
	Public: func(private *rsa.PrivateKey, _ time.Time) ([]byte, error) {
		return x509.MarshalPKIXPublicKey(private.Public())
	},
	Name: func(public []byte) (detail, name string) { return "key", keyID(public) },
	Kept: 2, MaxOverlap: MaxOverlap,
	Life: 90 * 24 * time.Hour, Ahead: 24 * time.Hour, Behind: 24 * time.Hour,
}

// keysType is RFC 7517 §8.5.2.
const keysType = "application/jwk-set+json"

// keyID names a key by its digest.
func keyID(public []byte) string {
	sum := sha256.Sum256(public)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Key is one of our keys towards a provider, as far as it is for others to see.
type Key struct {
	keyring.Key
	JWK jose.JSONWebKey
}

// OwnKeys gives our keys of a connection, newest first; a NotFound fault where it needs
// none.
func (p *Protocol) OwnKeys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) ([]Key, error) {
	if err := byKey(c); err != nil {
		return nil, err
	}
	keys, err := p.keys.All(ctx, tenant, c.ID)
	if err != nil {
		return nil, err
	}
	all := make([]Key, len(keys))
	for i, key := range keys {
		public, err := x509.ParsePKIXPublicKey(key.Public)
		if err != nil {
			return nil, fmt.Errorf("oidc: read signing key: %w", err)
		}
		all[i] = Key{Key: key, JWK: jose.JSONWebKey{Key: crypto.PublicKey(public), KeyID: keyID(key.Public), Use: "sig"}}
	}
	return all, nil
}

func byKey(c tenants.Connection) error {
	if c.OIDC == nil || c.OIDC.ClientAuth != tenants.PrivateKeyJWT {
		return fault.New(fault.NotFound, "no-keys", "There is no connection of this name that has keys.")
	}
	return nil
}

// PrepareKey makes a connection's next key, before its time. It is published at once,
// and signs once the overlap is over; until then the one before it does.
func (p *Protocol) PrepareKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) error {
	if err := byKey(c); err != nil {
		return err
	}
	return p.keys.Roll(ctx, p.journal, cause, tenant, c, overlap)
}

// FinishKey ends the overlap now: the prepared key signs, and the one before it goes.
func (p *Protocol) FinishKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	if err := byKey(c); err != nil {
		return err
	}
	return p.keys.SignNow(ctx, p.journal, cause, tenant, c)
}

// TakeBackKey lets go of the prepared key; the one that signs goes on.
func (p *Protocol) TakeBackKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	if err := byKey(c); err != nil {
		return err
	}
	return p.keys.GiveUp(ctx, p.journal, cause, tenant, c)
}

// Keys implements [authn.KeyPublisher]: a JWK Set (RFC 7517 §5).
func (p *Protocol) Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (document []byte, mediaType string, err error) {
	keys, err := p.OwnKeys(ctx, tenant, c)
	if err != nil {
		return nil, "", err
	}
	var set jose.JSONWebKeySet
	for _, key := range slices.Backward(keys) {
		if key.Published {
			set.Keys = append(set.Keys, key.JWK)
		}
	}
	document, err = json.Marshal(set)
	return document, keysType, err
}
