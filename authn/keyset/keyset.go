// Package keyset is the public keys by which an identity provider, or another
// party that a connection trusts, signs its tokens.
//
// It exists so that go-oidc's remote keys are asked for within bounds, whatever
// the token is for, and so that a token that nobody could verify is told from
// one that is not good. It must not know what a token says, and must not fetch
// but by the client that it is given.
package keyset

import (
	"context"
	"errors"
	"net/http"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

// Algorithms are the signatures that are accepted, all of them asymmetric: with
// HS256 whoever knows the client secret, or a public key taken for one, could
// sign; "none" is no signature (RFC 8725 §3.1).
var Algorithms = []string{
	gooidc.RS256, gooidc.RS384, gooidc.RS512, gooidc.PS256, gooidc.PS384, gooidc.PS512,
	gooidc.ES256, gooidc.ES384, gooidc.ES512, gooidc.EdDSA,
}

// fetches is how often in a row keys are fetched; then it is once a second,
// which misses no key for longer.
const fetches = 5

// ErrTooOften is why keys that were fetched just now are not fetched again.
var ErrTooOften = errors.New("keyset: the keys were fetched just now")

// Fetch gives the keys that are published at an address, once they could be
// fetched. They are fetched anew whenever a token is signed with none that is known,
// which anybody can bring about, and so seldom; while that fails, those that are
// known stay good. Keys that are too short for their algorithm are none. They may be
// asked for as long as they are kept: ctx bounds the first fetch, and gives its values
// to the others.
func Fetch(ctx context.Context, client *http.Client, address string) (gooidc.KeySet, error) {
	bounded := *client
	bounded.Transport = seldom{strong{client.Transport}, rate.NewLimiter(rate.Every(time.Second), fetches)}
	keys := Asked{KeySet: gooidc.NewRemoteKeySet(gooidc.ClientContext(context.WithoutCancel(ctx), &bounded), address)}
	if _, err := keys.VerifySignature(ctx, nobodys); keys.Unfetched {
		return nil, err
	}
	return keys.KeySet, nil
}

// nobodys is a token of no known key, {"alg":"ES256"}.{}: whoever is asked for its
// key must look at what is published.
const nobodys = "eyJhbGciOiJFUzI1NiJ9.e30.AA"

// seldom bounds how often its address is asked.
type seldom struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// RoundTrip implements [http.RoundTripper].
func (s seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	if !s.limit.Allow() {
		return nil, ErrTooOften
	}
	return s.next.RoundTrip(r)
}

// Asked are keys that are asked for one token. They note whether they could not
// be fetched: go-oidc's verifier keeps no more than the words of it.
type Asked struct {
	gooidc.KeySet
	Unfetched bool
}

// VerifySignature implements [gooidc.KeySet]. What a remote key set wraps is the
// failure of a fetch; a signature that is not good has no cause.
func (k *Asked) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, raw)
	k.Unfetched = errors.Unwrap(err) != nil
	return payload, err
}
