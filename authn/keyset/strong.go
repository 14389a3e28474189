package keyset

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// minRSA is how large keys are that count (RFC 7518 §3.3, §3.5).
const minRSA = 2048

// strong leaves out of the keys that come those that are too short to be believed: a
// token that is signed by one is signed by none.
type strong struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s strong) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body) // as far as the client lets it
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("keyset: read the keys: %w", err)
	}
	var keys jose.JSONWebKeySet
	if json.Unmarshal(body, &keys) == nil { // else whoever reads it says so
		before := len(keys.Keys)
		keys.Keys = slices.DeleteFunc(keys.Keys, func(k jose.JSONWebKey) bool { return short(k.Key) })
		if len(keys.Keys) < before {
			if body, err = json.Marshal(keys); err != nil {
				return nil, fmt.Errorf("keyset: leave out short keys: %w", err)
			}
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

func short(key any) bool {
	public, ok := key.(*rsa.PublicKey)
	return ok && public.N.BitLen() < minRSA
}
