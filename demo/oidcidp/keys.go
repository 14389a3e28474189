package oidcidp

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// signingKey shows the private key to the library, publicKey its public half.
type signingKey struct {
	id  string
	key *ecdsa.PrivateKey
}

type publicKey signingKey

// newSigningKey names the key by its digest, so that a key kept over a restart
// keeps its name.
func newSigningKey(key *ecdsa.PrivateKey) (signingKey, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return signingKey{}, fmt.Errorf("oidc provider: key: %w", err)
	}
	sum := sha256.Sum256(der)
	return signingKey{hex.EncodeToString(sum[:8]), key}, nil
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) ID() string                                  { return k.id }

func (k publicKey) ID() string                         { return k.id }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.key.PublicKey }
