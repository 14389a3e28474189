package oidc

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

const (
	// keyBits is RSA: every provider takes it.
	keyBits = 2048
	// createTime bounds the making of a key.
	createTime = 15 * time.Second
	// keyLife is how old a key gets before the next one is made. keyAhead is for how
	// long that is published before it signs, and keyBehind for how long the one before
	// is after that, so that a provider that fetches them now and then misses neither.
	keyLife   = 90 * 24 * time.Hour
	keyAhead  = 24 * time.Hour
	keyBehind = 24 * time.Hour
	// keyPurpose keeps what is sealed here apart from every other use of the key, and
	// the keys of connections apart from one another.
	keyPurpose = "authn.oidc-key."
	// keysType is RFC 7517 §8.5.2.
	keysType = "application/jwk-set+json"
)

// signingKey is what we sign with towards one identity provider.
type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

// keyring keeps the signing keys of connections. They are made when first asked for,
// and when the newest has grown old.
type keyring struct {
	stores authn.Stores
	keys   authn.Keys
	now    func() time.Time
	// making lets one key be made at a time: that takes a processor for a good part of
	// a second.
	making chan struct{}
}

func newKeyring(stores authn.Stores, keys authn.Keys, now func() time.Time) *keyring {
	return &keyring{stores: stores, keys: keys, now: now, making: make(chan struct{}, 1)}
}

// keyRow is a row of oidc_keys.
type keyRow struct {
	generation     int64
	public, sealed []byte
	created        time.Time
}

// signing gives the key to sign with.
func (k *keyring) signing(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (*signingKey, error) {
	rows, err := k.rows(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	row := signs(rows, k.now())
	plain, err := k.keys.Open(ctx, tenant, keyPurpose+string(connection), row.sealed)
	if err != nil {
		return nil, fmt.Errorf("oidc: open signing key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("oidc: read signing key: %w", err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("oidc: the signing key is a %T", parsed)
	}
	return &signingKey{id: row.id(), private: private}, nil
}

// id names a key by its digest.
func (r keyRow) id() string {
	sum := sha256.Sum256(r.public)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// signs is the newest of the keys, oldest first, that has been published for long
// enough. The first one of all has nothing to wait for.
func signs(rows []keyRow, now time.Time) keyRow {
	for i := len(rows) - 1; i > 0; i-- {
		if !now.Before(rows[i].created.Add(keyAhead)) {
			return rows[i]
		}
	}
	return rows[0]
}

// published are those keys that a provider may need, or will.
func published(rows []keyRow, now time.Time) (all []keyRow) {
	for i, row := range rows {
		if i == len(rows)-1 || now.Before(rows[i+1].created.Add(keyAhead+keyBehind)) {
			all = append(all, row)
		}
	}
	return all
}

// rows reads a connection's keys, the oldest first, after one was made if there is
// none, or none that is young enough. Whoever is first makes it, on all nodes: the
// others find theirs kept already, and take that.
func (k *keyring) rows(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) ([]keyRow, error) {
	rows, err := k.read(ctx, tenant, connection)
	if err != nil || !k.wanting(rows) {
		return rows, outOfReach(err)
	}
	select {
	case k.making <- struct{}{}:
		defer func() { <-k.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if rows, err = k.read(ctx, tenant, connection); err != nil || !k.wanting(rows) {
		return rows, outOfReach(err) // made while this one waited
	}
	// Whoever asks and leaves must not have it made again and again.
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	defer cancel()
	if err := k.create(lasting, tenant, connection, rows); err != nil {
		return nil, outOfReach(err)
	}
	if rows, err = k.read(ctx, tenant, connection); err == nil && len(rows) == 0 {
		return nil, errNoConnection
	}
	return rows, outOfReach(err)
}

func (k *keyring) wanting(rows []keyRow) bool {
	return len(rows) == 0 || !k.now().Before(rows[len(rows)-1].created.Add(keyLife))
}

func (k *keyring) read(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (rows []keyRow, err error) {
	err = k.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = store.All(ctx, tx, func(s store.Row) (row keyRow, err error) {
			var created int64
			err = s.Scan(&row.generation, &row.public, &row.sealed, &created)
			row.created = store.Time(created)
			return row, err
		}, `SELECT generation, public_key, private_key, created_at FROM oidc_keys WHERE connection_id = $1 ORDER BY generation LIMIT 10`, string(connection))
		return err
	})
	return rows, err
}

// create makes the key after these and keeps it, unless there is one by then or the
// connection is gone. Those before the last are of no use any more.
func (k *keyring) create(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, rows []keyRow) error {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("oidc: make signing key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return fmt.Errorf("oidc: write signing key: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("oidc: write signing key: %w", err)
	}
	sealed, err := k.keys.Seal(ctx, tenant, keyPurpose+string(connection), plain)
	if err != nil {
		return fmt.Errorf("oidc: seal signing key: %w", err)
	}
	var last int64
	if len(rows) > 0 {
		last = rows[len(rows)-1].generation
	}
	now := store.Millis(k.now())
	return k.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM oidc_keys WHERE connection_id = $1 AND generation < $2`, string(connection), last); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO oidc_keys (connection_id, generation, public_key, private_key, created_at)
			SELECT id, $2, $3, $4, $5 FROM connections WHERE id = $1 ON CONFLICT (connection_id, generation) DO NOTHING`,
			string(connection), last+1, public, sealed, now)
		return err
	})
}

var errNoConnection = fault.New(fault.NotFound, "no-keys", "There is no connection of this name that has keys.")

// Keys implements [authn.KeyPublisher]: a JWK Set (RFC 7517 §5).
func (p *Protocol) Keys(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (document []byte, mediaType string, err error) {
	if c.OIDC == nil || c.OIDC.ClientAuth != tenants.PrivateKeyJWT {
		return nil, "", errNoConnection
	}
	rows, err := p.keyring.rows(ctx, tenant, c.ID)
	if err != nil {
		return nil, "", err
	}
	var set jose.JSONWebKeySet
	for _, row := range published(rows, p.now()) {
		public, err := x509.ParsePKIXPublicKey(row.public)
		if err != nil {
			return nil, "", fmt.Errorf("oidc: read signing key: %w", err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: crypto.PublicKey(public), KeyID: row.id(), Use: "sig"})
	}
	document, err = json.Marshal(set)
	return document, keysType, err
}

func outOfReach(err error) error {
	return fault.OutOfReach(err, "store-unavailable", "Signing in is not possible right now. Try again in a moment.")
}
