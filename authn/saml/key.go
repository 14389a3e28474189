package saml

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"time"

	"gatehouse/audit"
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
	// keptKeys is how many a connection has: one to come, one that signs, and one of
	// before.
	keptKeys = 3
	// keyPurpose keeps what is sealed here apart from every other use of the key,
	// and the keys of connections apart from one another.
	keyPurpose = "authn.saml-key."
)

// signingKey is what we sign with towards one identity provider.
type signingKey struct {
	private     *rsa.PrivateKey
	certificate []byte // DER
}

// Key is one of our keys towards an identity provider, as far as it is for others
// to see.
type Key struct {
	Certificate *x509.Certificate
	// SignsAt is from when on it signs; the newest whose time has come does.
	SignsAt time.Time
	// State is what it is for at this moment.
	State KeyState
}

// KeyState is what a key is for.
type KeyState string

const (
	// KeyPrepared is published, so that the provider knows it when it comes to sign.
	KeyPrepared KeyState = "prepared"
	// KeySigning signs. There is one.
	KeySigning KeyState = "signing"
	// KeyRetired signs no more, and still decrypts what was encrypted for it.
	KeyRetired KeyState = "retired"
)

// keyring keeps the keys of each connection. The first is made when it is asked
// for, since most connections never need one before their metadata is read.
type keyring struct {
	stores  authn.Stores
	keys    authn.Keys
	journal audit.Recorder
	now     func() time.Time
	// making lets one key be made at a time: that takes a processor for a good
	// part of a second, and metadata is there for anybody to ask for.
	making chan struct{}
}

func newKeyring(c Config) *keyring {
	return &keyring{stores: c.Store, keys: c.Keys, journal: c.Journal, now: c.Now, making: make(chan struct{}, 1)}
}

// keyRow is a row of a connection in saml_keys.
type keyRow struct {
	generation          int64
	certificate, sealed []byte
	signsAt             time.Time
}

// published gives the certificates that the provider has to know, in DER: that of
// the key which signs, and of the one to come.
func (k *keyring) published(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) ([][]byte, error) {
	rows, err := k.rows(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	certificates := [][]byte{}
	for _, row := range slices.Backward(rows[:k.signs(rows)+1]) {
		certificates = append(certificates, row.certificate)
	}
	return certificates, nil
}

// signs finds the row of the key that signs, among all, newest first.
func (k *keyring) signs(rows []keyRow) int {
	now := k.now()
	if i := slices.IndexFunc(rows, func(r keyRow) bool { return !r.signsAt.After(now) }); i >= 0 {
		return i
	}
	return len(rows) - 1
}

// signing gives the key that signs.
func (k *keyring) signing(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (*signingKey, error) {
	rows, err := k.rows(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	row := rows[k.signs(rows)]
	private, err := k.open(ctx, tenant, connection, row)
	if err != nil {
		return nil, err
	}
	return &signingKey{private: private, certificate: row.certificate}, nil
}

// opening gives the keys that assertions may be encrypted for, those of before
// too: a provider may not have heard of the newest yet.
func (k *keyring) opening(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) ([]*rsa.PrivateKey, error) {
	rows, err := k.rows(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	var all []*rsa.PrivateKey
	for _, row := range rows {
		private, err := k.open(ctx, tenant, connection, row)
		if err != nil {
			return nil, err
		}
		all = append(all, private)
	}
	return all, nil
}

func (k *keyring) open(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, row keyRow) (*rsa.PrivateKey, error) {
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
	return private, nil
}

// rows reads the keys, newest first, the first made now if there is none. Whoever
// is first makes it, on all nodes: the others find theirs kept already, and take
// that.
func (k *keyring) rows(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) ([]keyRow, error) {
	rows, err := k.read(ctx, tenant, connection)
	if err != nil || len(rows) > 0 {
		return rows, outOfReach(err)
	}
	select {
	case k.making <- struct{}{}:
		defer func() { <-k.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if rows, err = k.read(ctx, tenant, connection); err != nil || len(rows) > 0 {
		return rows, outOfReach(err) // made while this one waited
	}
	// Whoever asks and leaves must not have it made again and again.
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	defer cancel()
	made, err := k.make(lasting, tenant, connection, firstGeneration, k.now())
	if err == nil {
		_, err = k.keep(lasting, tenant, connection, made)
	}
	if err != nil {
		return nil, outOfReach(err)
	}
	rows, err = k.read(ctx, tenant, connection)
	if err == nil && len(rows) == 0 {
		return nil, fault.New(fault.NotFound, "no-connection", "There is no such connection any more.")
	}
	return rows, outOfReach(err)
}

func (k *keyring) read(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (rows []keyRow, err error) {
	err = k.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = store.All(ctx, tx, func(s store.Row) (row keyRow, err error) {
			var signsAt int64
			err = s.Scan(&row.generation, &row.certificate, &row.sealed, &signsAt)
			row.signsAt = time.UnixMilli(signsAt)
			return row, err
		}, `SELECT generation, certificate, private_key, signs_at FROM saml_keys WHERE connection_id = $1 ORDER BY generation DESC LIMIT $2`,
			string(connection), keptKeys)
		return err
	})
	return rows, err
}

// make makes a key.
func (k *keyring) make(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, generation int64, signsAt time.Time) (keyRow, error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return keyRow{}, fmt.Errorf("saml: make signing key: %w", err)
	}
	row := keyRow{generation: generation, signsAt: signsAt}
	if row.certificate, err = selfSigned(private, k.now()); err != nil {
		return keyRow{}, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return keyRow{}, fmt.Errorf("saml: write signing key: %w", err)
	}
	if row.sealed, err = k.keys.Seal(ctx, tenant, keyPurpose+string(connection), plain); err != nil {
		return keyRow{}, fmt.Errorf("saml: seal signing key: %w", err)
	}
	return row, nil
}

// keep keeps a key, unless there is one of its generation by then or the
// connection is gone, and lets go of those that are too old to be of use.
func (k *keyring) keep(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, made keyRow) (kept bool, err error) {
	err = k.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO saml_keys (connection_id, generation, certificate, private_key, created_at, signs_at)
			SELECT id, $2, $3, $4, $5, $6 FROM connections WHERE id = $1 ON CONFLICT (connection_id, generation) DO NOTHING`,
			string(connection), made.generation, made.certificate, made.sealed, store.Millis(k.now()), store.Millis(made.signsAt))
		kept = n > 0
		if err != nil || !kept {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM saml_keys WHERE connection_id = $1 AND generation <= $2`, string(connection), made.generation-keptKeys)
		return err
	})
	return kept, err
}

// selfSigned makes the certificate in which the metadata shows a key. Providers
// take the key out of it; its names mean nothing.
func selfSigned(private *rsa.PrivateKey, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // RFC 5280 §4.1.2.2
	if err != nil {
		return nil, fmt.Errorf("saml: make certificate: %w", err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Gatehouse SAML"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(keyLife), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, fmt.Errorf("saml: make certificate: %w", err)
	}
	return certificate, nil
}

func outOfReach(err error) error {
	return fault.OutOfReach(err, "store-unavailable", "Signing in and out is not possible right now. Try again in a moment.")
}
