package mint

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"gatehouse/assertion"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// purpose separates these seals from all others under the platform's key.
const purpose = "assertion-signing-key"

// maxKeys bounds what is loaded; a healthy store holds two or three.
const maxKeys = 16

var errForeignKey = errors.New("the stored signing key is not what its id says")

// row is a signing key as stored.
type row struct {
	kid    string
	sealed []byte
	made   int64
}

func scanRow(r store.Row) (row, error) {
	var k row
	err := r.Scan(&k.kid, &k.sealed, &k.made)
	return k, err
}

// tidy makes a key when the newest is old, and deletes those that stopped
// signing longer ago than any assertion of theirs can live. The check and the
// change are one transaction, so that of several nodes one makes the key.
func (m *Minter) tidy(ctx context.Context, now time.Time) error {
	if r := m.ring.Load(); r != nil {
		age := now.Sub(r.newest)
		if superseded := r.count > 1 && age >= lead+overlap; age < rotateAfter && !superseded {
			return nil // nothing is due, and a transaction that writes is not for free
		}
	}
	kid, sealed, err := m.make(ctx)
	if err != nil {
		return err
	}
	err = m.config.System.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO signing_keys (kid, sealed, created_at)
			SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE created_at > $4)`,
			kid, sealed, store.Millis(now), store.Millis(now.Add(-rotateAfter)))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM signing_keys WHERE created_at <
			(SELECT max(newer.created_at) FROM signing_keys newer WHERE newer.created_at < $1)`,
			store.Millis(now.Add(-lead-overlap)))
		return err
	})
	if err != nil {
		return fmt.Errorf("rotate signing keys: %w", err)
	}
	return nil
}

// make gives a fresh key, sealed.
func (m *Minter) make(ctx context.Context) (kid string, sealed []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", nil, fmt.Errorf("make a signing key: %w", err)
	}
	jwk, err := assertion.NewJWK(&key.PublicKey)
	if err != nil {
		return "", nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", nil, fmt.Errorf("encode a signing key: %w", err)
	}
	defer clear(der)
	sealed, err = m.config.Keys.Seal(ctx, identity.Platform, purpose, der)
	if err != nil {
		return "", nil, fmt.Errorf("seal a signing key: %w", err)
	}
	return jwk.ID, sealed, nil
}

// load opens the stored keys, oldest first.
func (m *Minter) load(ctx context.Context) ([]*signingKey, error) {
	var rows []row
	err := m.config.System.Read(ctx, func(tx *store.Tx) error {
		var err error
		rows, err = store.All(ctx, tx, scanRow,
			`SELECT kid, sealed, created_at FROM signing_keys ORDER BY created_at, kid LIMIT $1`, maxKeys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	keys := make([]*signingKey, 0, len(rows))
	for _, r := range rows {
		k, err := m.open(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", r.kid, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (m *Minter) open(ctx context.Context, r row) (*signingKey, error) {
	der, err := m.config.Keys.Open(ctx, identity.Platform, purpose, r.sealed)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errForeignKey // the parser's words could quote the key
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errForeignKey
	}
	jwk, err := assertion.NewJWK(&key.PublicKey)
	if err != nil || jwk.ID != r.kid {
		return nil, errForeignKey
	}
	return &signingKey{kid: r.kid, key: key, made: store.Time(r.made)}, nil
}
