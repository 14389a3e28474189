package assertion

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// maxKeys bounds a key set; the gate publishes two or three.
const maxKeys = 32

// KeySet is a set of public keys by their ids. It is immutable.
type KeySet struct{ keys map[string]*ecdsa.PublicKey }

// JWK is one public key as published (RFC 7517 §4, RFC 7518 §6.2.1).
type JWK struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	ID        string `json:"kid"`
	X         string `json:"x"`
	Y         string `json:"y"`
}

// NewJWK describes a P-256 key; its id is the key's thumbprint (RFC 7638), so
// that the same key has the same id everywhere.
func NewJWK(key *ecdsa.PublicKey) (JWK, error) {
	if key.Curve != elliptic.P256() {
		return JWK{}, errors.New("assertion: the key is not on P-256")
	}
	point, err := key.Bytes() // 4, X, Y (SEC 1 §2.3.3)
	if err != nil {
		return JWK{}, fmt.Errorf("assertion: %w", err)
	}
	const size = 32
	k := JWK{Type: "EC", Curve: "P-256", Use: "sig", Algorithm: "ES256",
		X: base64.RawURLEncoding.EncodeToString(point[1 : 1+size]),
		Y: base64.RawURLEncoding.EncodeToString(point[1+size:])}
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + k.X + `","y":"` + k.Y + `"}`))
	k.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	return k, nil
}

// ParseKeySet reads a JWK set (RFC 7517 §5). Keys of other kinds are passed
// over, as §5 asks; a set without one for ES256 is an error.
func ParseKeySet(document []byte) (*KeySet, error) {
	var set struct {
		Keys []JWK `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("assertion: key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("assertion: the key set holds more than %d keys", maxKeys)
	}
	s := &KeySet{keys: map[string]*ecdsa.PublicKey{}}
	for _, k := range set.Keys {
		if k.Type != "EC" || k.Curve != "P-256" || k.ID == "" || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != "ES256" {
			continue
		}
		key, err := k.public()
		if err != nil {
			return nil, err
		}
		if _, twice := s.keys[k.ID]; twice {
			return nil, fmt.Errorf("assertion: two keys are called %q", k.ID)
		}
		s.keys[k.ID] = key
	}
	if len(s.keys) == 0 {
		return nil, errors.New("assertion: the key set holds no key for ES256")
	}
	return s, nil
}

func (k JWK) public() (*ecdsa.PublicKey, error) {
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if err := errors.Join(errX, errY); err != nil {
		return nil, fmt.Errorf("assertion: key %q: %w", k.ID, err)
	}
	// Both coordinates have the curve's full size (RFC 7518 §6.2.1.2), and the
	// point must be on the curve, which the parser checks.
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil || len(x) != len(y) {
		return nil, fmt.Errorf("assertion: key %q is not a point of P-256", k.ID)
	}
	return key, nil
}
