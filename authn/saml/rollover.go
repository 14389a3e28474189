package saml

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/tenants"
)

const (
	// Overlap is how long both certificates are published before the new key signs,
	// unless an admin says otherwise: providers read our metadata daily, or have to
	// be told by hand.
	Overlap = 30 * 24 * time.Hour
	// MaxOverlap is the longest that an admin may say.
	MaxOverlap = 365 * 24 * time.Hour
	// rollBefore is how long before the end of its certificate a key is replaced
	// without anybody asking.
	rollBefore = 120 * 24 * time.Hour
)

// Key is one of our keys towards an identity provider, as far as it is for others
// to see.
type Key struct {
	keyring.Key
	Certificate *x509.Certificate
}

// Keys gives our keys of a connection, newest first.
func (p *Protocol) Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) ([]Key, error) {
	keys, err := p.keys.All(ctx, tenant, c.ID)
	if err != nil {
		return nil, err
	}
	all := make([]Key, len(keys))
	for i, key := range keys {
		certificate, err := x509.ParseCertificate(key.Public)
		if err != nil {
			return nil, fmt.Errorf("saml: read certificate: %w", err)
		}
		all[i] = Key{Key: key, Certificate: certificate}
	}
	return all, nil
}

// PrepareKey makes a connection's next key. It is published at once, and signs
// once the overlap is over; until then the one before it does.
func (p *Protocol) PrepareKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) ([]Key, error) {
	if err := p.keys.Roll(ctx, p.journal, cause, tenant, c, overlap); err != nil {
		return nil, err
	}
	return p.Keys(ctx, tenant, c)
}

// FinishKey ends the overlap now: the prepared key signs, and is shown alone.
func (p *Protocol) FinishKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	return p.keys.SignNow(ctx, p.journal, cause, tenant, c)
}

// TakeBackKey lets go of the prepared key; the one that signs goes on.
func (p *Protocol) TakeBackKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	return p.keys.GiveUp(ctx, p.journal, cause, tenant, c)
}

// tend prepares the next key of a connection well before the certificate of the
// one that signs ends. Connections that have none yet are left alone.
func (p *Protocol) tend(ctx context.Context, tenant identity.TenantID, c tenants.Connection) error {
	keys, err := p.keys.Kept(ctx, tenant, c.ID)
	if err != nil || len(keys) == 0 || keys[0].State == keyring.Prepared {
		return err
	}
	certificate, err := x509.ParseCertificate(keys[0].Public)
	if err != nil {
		return fmt.Errorf("saml: read certificate: %w", err)
	}
	if p.now().Add(rollBefore).Before(certificate.NotAfter) {
		return nil
	}
	return p.keys.Roll(ctx, p.journal, audit.SystemCause(), tenant, c, Overlap)
}
