package saml

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"gatehouse/audit"
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

var errPrepared = fault.New(fault.Conflict, "key-prepared", "The next key of this connection is prepared already, and is not signing yet.")

// Keys gives our keys of a connection, newest first.
func (p *Protocol) Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) ([]Key, error) {
	rows, err := p.keys.rows(ctx, tenant, c.ID)
	if err != nil {
		return nil, err
	}
	signs := p.keys.signs(rows)
	all := make([]Key, len(rows))
	for i, row := range rows {
		certificate, err := x509.ParseCertificate(row.certificate)
		if err != nil {
			return nil, fmt.Errorf("saml: read certificate: %w", err)
		}
		all[i] = Key{Certificate: certificate, SignsAt: row.signsAt, State: KeySigning}
		switch {
		case i < signs:
			all[i].State = KeyPrepared
		case i > signs:
			all[i].State = KeyRetired
		}
	}
	return all, nil
}

// PrepareKey makes a connection's next key. It is published at once, and signs
// once the overlap is over; until then the one before it does.
func (p *Protocol) PrepareKey(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) ([]Key, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, fault.New(fault.Invalid, "bad-overlap", "The overlap of two keys is at most a year.")
	}
	rows, err := p.keys.rows(ctx, tenant, c.ID)
	if err != nil {
		return nil, err
	}
	if p.keys.signs(rows) > 0 {
		return nil, errPrepared
	}
	if err := p.keys.prepare(ctx, cause, tenant, c, rows[0].generation+1, overlap); err != nil {
		return nil, err
	}
	return p.Keys(ctx, tenant, c)
}

func (k *keyring) prepare(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, generation int64, overlap time.Duration) error {
	select {
	case k.making <- struct{}{}:
		defer func() { <-k.making }()
	case <-ctx.Done():
		return ctx.Err()
	}
	made, err := k.make(ctx, tenant, c.ID, generation, k.now().Add(overlap))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(made.certificate)
	e := cause.Event(tenant, audit.ConnectionChanged, audit.Success)
	e.Connection, e.Target = c.ID, audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
	e.Details = map[string]string{"change": "key-prepared", "type": string(c.Type), "certificate": hex.EncodeToString(sum[:]), "signs_at": stamp(made.signsAt)}
	if _, err := k.journal.Commit(ctx, e); err != nil { // P1
		return err
	}
	kept, err := k.keep(ctx, tenant, c.ID, made)
	if err == nil && !kept {
		return errPrepared // by another node, or the connection is gone
	}
	return outOfReach(err)
}

// tend prepares the next key of a connection well before the certificate of the
// one that signs ends. Connections that have none yet are left alone.
func (k *keyring) tend(ctx context.Context, tenant identity.TenantID, c tenants.Connection) error {
	rows, err := k.read(ctx, tenant, c.ID)
	if err != nil || len(rows) == 0 || k.signs(rows) > 0 {
		return outOfReach(err)
	}
	certificate, err := x509.ParseCertificate(rows[0].certificate)
	if err != nil {
		return fmt.Errorf("saml: read certificate: %w", err)
	}
	if k.now().Add(rollBefore).Before(certificate.NotAfter) {
		return nil
	}
	return k.prepare(ctx, audit.SystemCause(), tenant, c, rows[0].generation+1, Overlap)
}
