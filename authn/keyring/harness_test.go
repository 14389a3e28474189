package keyring_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

const (
	acme   identity.TenantID     = "ten_acme"
	globex identity.TenantID     = "ten_globex"
	idp    identity.ConnectionID = "con_idp"
	other  identity.ConnectionID = "con_other"

	day = 24 * time.Hour
)

// aging are keys that are replaced by their age, and lasting those that are not.
var (
	aging   = keyring.Kind{Table: "oidc_keys", Column: "public_key", Purpose: "aging.", Public: public, Kept: 2, Life: 90 * day, Ahead: day, Behind: 2 * day}
	lasting = keyring.Kind{Table: "saml_keys", Column: "certificate", Purpose: "lasting.", Public: public, Kept: 3}
)

func public(private *rsa.PrivateKey, _ time.Time) ([]byte, error) {
	return x509.MarshalPKIXPublicKey(private.Public())
}

// house is the room over a real store, as two nodes see it.
type house struct {
	t     *testing.T
	nodes [2]*store.DB
	keys  *keys.Ring

	mu sync.Mutex
	at time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	h.must(err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	h.must(err)
	h.keys = keys.NewRing(kek, vault)
	for _, id := range []identity.TenantID{identity.Platform, acme, globex} {
		h.must(h.keys.Create(t.Context(), id))
	}
	url := postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db"))
	h.nodes[0] = h.open(url)
	h.nodes[1] = h.nodes[0]
	if !strings.HasPrefix(url, "sqlite:") {
		h.nodes[1] = h.open(url)
	}
	for _, id := range []identity.TenantID{acme, globex} {
		h.must(h.nodes[0].Create(t.Context(), id))
		for _, connection := range []identity.ConnectionID{idp, other} {
			h.exec(id, `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at) VALUES ($1, $1, 'oidc', '{}', TRUE, 1, 0, 0)`, connection)
		}
	}
	return h
}

func (h *house) open(url string) *store.DB {
	h.t.Helper()
	db, err := store.Open(h.t.Context(), url, store.Options{Keys: h.keys, Environment: "test"})
	h.must(err)
	h.t.Cleanup(func() { h.must(db.Close()) })
	return db
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) exec(tenant identity.TenantID, query string, args ...any) {
	h.t.Helper()
	h.must(h.nodes[0].Tenant(tenant).Write(h.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(h.t.Context(), query, args...)
		return err
	}))
}

// sealed gives the private keys of a connection as they are kept, oldest first.
func (h *house) sealed(kind keyring.Kind, connection identity.ConnectionID) (all [][]byte) {
	h.t.Helper()
	h.must(h.nodes[0].Tenant(acme).Read(h.t.Context(), func(tx *store.Tx) (err error) {
		all, err = store.All(h.t.Context(), tx, store.Scalar[[]byte],
			`SELECT private_key FROM `+kind.Table+` WHERE connection_id = $1 ORDER BY generation`, string(connection))
		return err
	}))
	return all
}

// ring is a node's; each has its own.
func (h *house) ring(node int, kind keyring.Kind) *keyring.Ring {
	return keyring.New(kind, h.nodes[node], h.keys, h.clock)
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

func (h *house) all(r *keyring.Ring) []keyring.Key {
	h.t.Helper()
	all, err := r.All(h.t.Context(), acme, idp)
	h.must(err)
	return all
}

// signs gives the key that signs, which has to be that of the public part.
func (h *house) signs(r *keyring.Ring) keyring.Key {
	h.t.Helper()
	key, private, err := r.Signing(h.t.Context(), acme, idp)
	h.must(err)
	if shown, err := public(private, time.Time{}); err != nil || !bytes.Equal(shown, key.Public) {
		h.t.Fatalf("it signs with another key than it shows: %v", err)
	}
	return key
}

// states are those of keys, newest first, with a star where it is published.
func states(all []keyring.Key) string {
	var words []string
	for _, key := range all {
		word := string(key.State)
		if key.Published {
			word += "*"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func noRecord(context.Context, keyring.Key) error { return nil }

// meeting is a kind whose keys are kept once as many nodes have made one.
func meeting(kind keyring.Kind, nodes int) keyring.Kind {
	var all sync.WaitGroup
	all.Add(nodes)
	kind.Public = func(private *rsa.PrivateKey, now time.Time) ([]byte, error) {
		all.Done()
		all.Wait()
		return public(private, now)
	}
	return kind
}

// lost is a store that is not there.
type lost struct{}

func (lost) Tenant(identity.TenantID) store.Tenant { return store.Tenant{} }

// keyless are a tenant's keys that cannot be had.
type keyless struct{}

var errKeyless = fault.New(fault.Unavailable, "key-unavailable", "Not now.")

func (keyless) Seal(context.Context, identity.TenantID, string, []byte) ([]byte, error) {
	return nil, fmt.Errorf("seal: %w", errKeyless)
}

func (keyless) Open(context.Context, identity.TenantID, string, []byte) ([]byte, error) {
	return nil, fmt.Errorf("open: %w", errKeyless)
}
