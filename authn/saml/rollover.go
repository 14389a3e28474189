package saml

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/internal/fault"
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
	if overlap < 0 || overlap > MaxOverlap {
		return nil, fault.New(fault.Invalid, "bad-overlap", "The overlap of two keys is at most a year.")
	}
	keys, err := p.keys.All(ctx, tenant, c.ID)
	if err != nil {
		return nil, err
	}
	if err := p.prepare(ctx, cause, tenant, c, keys, overlap); err != nil {
		return nil, err
	}
	return p.Keys(ctx, tenant, c)
}

// FinishKey ends the overlap now: the prepared key signs, and is shown alone.
func (p *Protocol) FinishKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	keys, err := p.keys.Kept(ctx, tenant, c.ID)
	if err != nil {
		return err
	}
	return p.keys.Finish(ctx, tenant, c.ID, keys, p.record(cause, tenant, c, "key-finished"))
}

// TakeBackKey lets go of the prepared key; the one that signs goes on.
func (p *Protocol) TakeBackKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	keys, err := p.keys.Kept(ctx, tenant, c.ID)
	if err != nil {
		return err
	}
	return p.keys.TakeBack(ctx, tenant, c.ID, keys, p.record(cause, tenant, c, "key-taken-back"))
}

func (p *Protocol) prepare(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, keys []keyring.Key, overlap time.Duration) error {
	return p.keys.Prepare(ctx, tenant, c.ID, keys, p.now().Add(overlap), p.record(cause, tenant, c, "key-prepared"))
}

// record gives the way to tell of a change of one of our keys.
func (p *Protocol) record(cause audit.Cause, tenant identity.TenantID, c tenants.Connection, change string) func(context.Context, keyring.Key) error {
	return func(ctx context.Context, key keyring.Key) error {
		sum := sha256.Sum256(key.Public)
		e := cause.Event(tenant, audit.ConnectionChanged, audit.Success)
		e.Connection, e.Target = c.ID, audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
		e.Details = map[string]string{"change": change, "type": string(c.Type), "certificate": hex.EncodeToString(sum[:])}
		if change != "key-taken-back" {
			e.Details["signs_at"] = stamp(key.SignsAt)
		}
		_, err := p.journal.Commit(ctx, e)
		return err
	}
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
	return p.prepare(ctx, audit.SystemCause(), tenant, c, keys, Overlap)
}
