// Package mint signs assertions and keeps the keys for it: made, sealed in the
// store, published, changed for new ones, forgotten.
//
// It exists apart from its parent because apps import the parent, and have no
// use for a store. It must not decide what an assertion says, and no private
// key may leave it.
package mint

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/assertion"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// How long things last. A key signs from lead after it was made, when every
// verifier has had the time to learn of it, until a newer one does, and stays
// published for overlap after that.
const (
	lifetime    = 5 * time.Minute // of an assertion
	rotateAfter = 30 * 24 * time.Hour
	lead        = time.Hour
	overlap     = time.Hour
	lookEvery   = time.Minute
)

// Keys seals the private keys for the store.
type Keys interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// Config is what a [Minter] is made of.
type Config struct {
	System store.System
	Keys   Keys
	Log    *slog.Logger // nil: slog.Default()
}

// Minter signs assertions. It is safe for concurrent use.
type Minter struct {
	config Config
	ring   atomic.Pointer[ring]
}

// ring is the keys at one moment.
type ring struct {
	signer   *signingKey
	document []byte // the published set
	newest   time.Time
	count    int
}

type signingKey struct {
	kid  string
	key  *ecdsa.PrivateKey
	made time.Time
}

// New loads the keys, or makes the first one.
func New(ctx context.Context, c Config) (*Minter, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	m := &Minter{config: c}
	if err := m.refresh(ctx); err != nil {
		return nil, fmt.Errorf("mint: %w", err)
	}
	return m, nil
}

// Mint signs claims; ID, IssuedAt and Expires are filled here. Claims that make
// more than [assertion.MaxSize] bytes are an error.
func (m *Minter) Mint(c assertion.Claims) (token string, expires time.Time, err error) {
	signer := m.ring.Load().signer
	c.IssuedAt = time.Now().Truncate(time.Second)
	c.Expires = c.IssuedAt.Add(lifetime)
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand aborts the program instead
	c.ID = base64.RawURLEncoding.EncodeToString(id[:])
	t := jwt.NewWithClaims(jwt.SigningMethodES256, c.ToWire())
	t.Header["kid"] = signer.kid
	token, err = t.SignedString(signer.key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("mint: sign: %w", err)
	}
	if len(token) > assertion.MaxSize {
		return "", time.Time{}, fmt.Errorf("mint: %d bytes are more than a verifier takes", len(token))
	}
	return token, c.Expires, nil
}

// JWKS is the published key set (RFC 7517 §5), to be served as it is.
func (m *Minter) JWKS() []byte { return m.ring.Load().document }

// ServeHTTP answers with the key set: the handler of /.gatehouse/jwks.json.
func (m *Minter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	document := m.JWKS()
	h := w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Content-Length", strconv.Itoa(len(document)))
	h.Set("Cache-Control", "public, max-age=300") // well below lead
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(document) // the client may be gone; nothing is left to tell it
}

// Run learns of keys that other nodes made and rotates, until ctx ends. A
// store that is away costs nothing but the rotation.
func (m *Minter) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := m.refresh(ctx); err != nil && ctx.Err() == nil {
				m.config.Log.WarnContext(ctx, "signing keys not refreshed", "error", err)
			}
		}
	}
}

// refresh loads the keys, makes one if none is young enough, and forgets the
// ones that are long out of use.
func (m *Minter) refresh(ctx context.Context) error {
	now := time.Now()
	if err := m.tidy(ctx, now); err != nil {
		return err
	}
	keys, err := m.load(ctx)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return errors.New("no signing key in the store")
	}
	made, err := newRing(keys, now)
	if err != nil {
		return err
	}
	m.ring.Store(made)
	return nil
}

// newRing takes keys from the oldest to the newest.
func newRing(keys []*signingKey, now time.Time) (*ring, error) {
	r := &ring{signer: keys[0], count: len(keys)}
	var set struct {
		Keys []assertion.JWK `json:"keys"`
	}
	for _, k := range keys {
		jwk, err := assertion.NewJWK(&k.key.PublicKey)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, jwk)
		if now.Sub(k.made) >= lead {
			r.signer = k
		}
		r.newest = k.made
	}
	var err error
	r.document, err = json.Marshal(set)
	return r, err
}
