package saml

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const (
	// keyBits is what every identity provider takes; few take anything but RSA.
	keyBits = 2048
	// keyLife is long: providers that look at it stop believing us when it is over.
	keyLife = 20 * 365 * 24 * time.Hour
	// createTime bounds the making of a key.
	createTime = 15 * time.Second
	// firstGeneration is the key that a connection begins with.
	firstGeneration = 1
	// keyPurpose keeps what is sealed here apart from every other use of the key,
	// and the keys of connections apart from one another.
	keyPurpose = "authn.saml-key."
)

// signingKey is what we sign with towards one identity provider.
type signingKey struct {
	private     *rsa.PrivateKey
	certificate []byte // DER
}

// keyring keeps a signing key for each connection. They are made when first
// asked for, since most connections never need one before their metadata is
// read.
type keyring struct {
	stores authn.Stores
	keys   authn.Keys
	now    func() time.Time
	// making lets one key be made at a time: that takes a processor for a good
	// part of a second, and metadata is there for anybody to ask for.
	making chan struct{}
}

func newKeyring(stores authn.Stores, keys authn.Keys, now func() time.Time) *keyring {
	return &keyring{stores: stores, keys: keys, now: now, making: make(chan struct{}, 1)}
}

// keyRow is the newest row of a connection in saml_keys.
type keyRow struct{ certificate, sealed []byte }

// certificate gives the certificate of a connection's key, in DER.
func (k *keyring) certificate(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) ([]byte, error) {
	row, err := k.row(ctx, tenant, connection)
	return row.certificate, err
}

// signing gives a connection's key.
func (k *keyring) signing(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (*signingKey, error) {
	row, err := k.row(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	plain, err := k.keys.Open(ctx, tenant, keyPurpose+string(connection), row.sealed)
	if err != nil {
		return nil, fmt.Errorf("saml: open signing key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("saml: read signing key: %w", err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("saml: the signing key is a %T", parsed)
	}
	return &signingKey{private: private, certificate: row.certificate}, nil
}

// row reads the newest key, made now if there is none. Whoever is first makes
// it, on all nodes: the others find theirs kept already, and take that.
func (k *keyring) row(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (keyRow, error) {
	row, err := k.read(ctx, tenant, connection)
	if !errors.Is(err, store.ErrNoRows) {
		return row, outOfReach(err)
	}
	select {
	case k.making <- struct{}{}:
		defer func() { <-k.making }()
	case <-ctx.Done():
		return keyRow{}, ctx.Err()
	}
	if row, err = k.read(ctx, tenant, connection); !errors.Is(err, store.ErrNoRows) {
		return row, outOfReach(err) // made while this one waited
	}
	// Whoever asks and leaves must not have it made again and again.
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	defer cancel()
	if err := k.create(lasting, tenant, connection); err != nil {
		return keyRow{}, outOfReach(err)
	}
	row, err = k.read(ctx, tenant, connection)
	if errors.Is(err, store.ErrNoRows) {
		return keyRow{}, fault.New(fault.NotFound, "no-connection", "There is no such connection any more.")
	}
	return row, outOfReach(err)
}

func (k *keyring) read(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (row keyRow, err error) {
	err = k.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		row, err = store.One(ctx, tx, func(s store.Row) (row keyRow, err error) {
			err = s.Scan(&row.certificate, &row.sealed)
			return row, err
		}, `SELECT certificate, private_key FROM saml_keys WHERE connection_id = $1 ORDER BY generation DESC LIMIT 1`, string(connection))
		return err
	})
	return row, err
}

// create makes a connection's first key and keeps it, unless there is one by then
// or the connection is gone.
func (k *keyring) create(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) error {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("saml: make signing key: %w", err)
	}
	now := k.now()
	certificate, err := selfSigned(private, now)
	if err != nil {
		return err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("saml: write signing key: %w", err)
	}
	sealed, err := k.keys.Seal(ctx, tenant, keyPurpose+string(connection), plain)
	if err != nil {
		return fmt.Errorf("saml: seal signing key: %w", err)
	}
	return k.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO saml_keys (connection_id, generation, certificate, private_key, created_at)
			SELECT id, $2, $3, $4, $5 FROM connections WHERE id = $1 ON CONFLICT (connection_id, generation) DO NOTHING`,
			string(connection), firstGeneration, certificate, sealed, store.Millis(now))
		return err
	})
}

// selfSigned makes the certificate in which the metadata shows a key. Providers
// take the key out of it; its names mean nothing.
func selfSigned(private *rsa.PrivateKey, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // RFC 5280 §4.1.2.2
	if err != nil {
		return nil, fmt.Errorf("saml: make certificate: %w", err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Gatehouse SAML signing"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(keyLife), KeyUsage: x509.KeyUsageDigitalSignature}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, fmt.Errorf("saml: make certificate: %w", err)
	}
	return certificate, nil
}

func outOfReach(err error) error {
	return fault.OutOfReach(err, "store-unavailable", "Signing in and out is not possible right now. Try again in a moment.")
}
