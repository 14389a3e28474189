package assertion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrInvalid is in the chain of every error about an assertion that must not
// be believed; other errors are about fetching keys.
var ErrInvalid = errors.New("assertion: not valid")

// Limits of fetching a key set.
const (
	fetchTimeout  = 10 * time.Second
	fetchInterval = 10 * time.Second // at most one attempt in this time
	maxDocument   = 256 << 10
)

// Options say where a [Verifier] has its keys from: exactly one of Keys and URL.
type Options struct {
	// Keys is a key set that never changes: for tests and air-gapped apps.
	Keys *KeySet
	// URL is the gate's /.gatehouse/jwks.json. It is fetched at the first use, and
	// again when an assertion names a key that is not known.
	URL string
	// Client fetches URL; nil: one with a time limit of its own.
	Client *http.Client
	// Leeway allows for clocks that differ; at most a minute makes sense.
	Leeway time.Duration
}

// Verifier checks assertions. It is safe for concurrent use.
type Verifier struct {
	url    string
	client *http.Client
	parser *jwt.Parser

	mu   sync.RWMutex
	keys *KeySet

	fetching sync.Mutex
	tried    time.Time
}

// NewVerifier makes a verifier; it fetches nothing yet.
func NewVerifier(o Options) (*Verifier, error) {
	if (o.Keys == nil) == (o.URL == "") {
		return nil, errors.New("assertion: a verifier needs either keys or a URL")
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: fetchTimeout}
	}
	return &Verifier{url: o.URL, client: o.Client, keys: o.Keys, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodES256.Alg()}),
		jwt.WithAudience(Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(o.Leeway),
		jwt.WithStrictDecoding(),
	)}, nil
}

// Expected is what an assertion must say beyond being genuine and in time.
type Expected struct {
	// Issuer is the [Origin] of the host that the request came to:
	// "https://acme.example.com". Required, so that one tenant's assertion is never
	// taken for another's.
	Issuer string
	// Tenant, if set, is the tenant's name.
	Tenant string
}

// Verify checks a token and returns what it says.
func (v *Verifier) Verify(ctx context.Context, token string, want Expected) (Claims, error) {
	if want.Issuer == "" {
		return Claims{}, errors.New("assertion: no issuer to expect")
	}
	if token == "" || len(token) > MaxSize {
		return Claims{}, fmt.Errorf("%w: it is missing or too large", ErrInvalid)
	}
	var fetchErr error
	wire := new(Wire)
	_, err := v.parser.ParseWithClaims(token, wire, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, err := v.key(ctx, kid)
		fetchErr = err
		return key, err
	})
	switch {
	case fetchErr != nil && !errors.Is(fetchErr, ErrInvalid):
		return Claims{}, fetchErr
	case err != nil:
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case wire.Issuer != want.Issuer:
		return Claims{}, fmt.Errorf("%w: it was issued for another host", ErrInvalid)
	case want.Tenant != "" && wire.Tenant != want.Tenant:
		return Claims{}, fmt.Errorf("%w: it was issued for another tenant", ErrInvalid)
	}
	return wire.claims(), nil
}

// Request verifies the assertion of a request that came through the gate. The
// host of the request must be the one that it was issued for; two assertions
// are as bad as none.
func (v *Verifier) Request(r *http.Request) (Claims, error) {
	lines := r.Header[http.CanonicalHeaderKey(Header)]
	if len(lines) != 1 {
		return Claims{}, fmt.Errorf("%w: the request holds %d of them", ErrInvalid, len(lines))
	}
	return v.Verify(r.Context(), lines[0], Expected{Issuer: Origin(r.Host)})
}

func (v *Verifier) key(ctx context.Context, kid string) (any, error) {
	if key := v.known(kid); key != nil {
		return key, nil
	}
	if v.url != "" {
		if err := v.refresh(ctx); err != nil {
			return nil, err
		}
		if key := v.known(kid); key != nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: its key is not known", ErrInvalid)
}

func (v *Verifier) known(kid string) any {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.keys == nil {
		return nil
	}
	if key := v.keys.keys[kid]; key != nil {
		return key
	}
	return nil
}

// refresh fetches the key set, not more often than fetchInterval: an unknown
// key id is something that anybody can send.
func (v *Verifier) refresh(ctx context.Context) error {
	v.fetching.Lock()
	defer v.fetching.Unlock()
	if time.Since(v.tried) < fetchInterval {
		v.mu.RLock()
		defer v.mu.RUnlock()
		if v.keys == nil {
			return errors.New("assertion: the keys could not be fetched a moment ago")
		}
		return nil
	}
	v.tried = time.Now()
	keys, err := v.fetch(ctx)
	if err != nil {
		return fmt.Errorf("assertion: fetch the keys: %w", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys = keys
	return nil
}

func (v *Verifier) fetch(ctx context.Context) (*KeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := v.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // read to its end or given up
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	document, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(document) > maxDocument {
		return nil, errors.New("the key set is too large")
	}
	return ParseKeySet(document)
}
