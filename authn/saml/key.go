package saml

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"time"

	"gatehouse/authn/keyring"
	"gatehouse/identity"
)

// ourKeys are what we sign with towards providers, and what they encrypt for: one to
// come, one that signs, and one of before. None is replaced by its age alone, since
// few providers take a new one by themselves ([Protocol.tend]).
var ourKeys = keyring.Kind{Table: "saml_keys", Column: "certificate", Purpose: "authn.saml-key.", Public: selfSigned, Kept: 3,
	Name: fingerprinted, MaxOverlap: MaxOverlap}

// fingerprinted names a key by the SHA-256 of its certificate.
func fingerprinted(certificate []byte) (detail, name string) {
	sum := sha256.Sum256(certificate)
	return "certificate", hex.EncodeToString(sum[:])
}

// keyLife is long: providers that look at it stop believing us when it is over.
const keyLife = 20 * 365 * 24 * time.Hour

// signingKey is what we sign with towards one identity provider.
type signingKey struct {
	private     *rsa.PrivateKey
	certificate []byte // DER
}

// signing gives the key that signs.
func (p *Protocol) signing(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (*signingKey, error) {
	key, private, err := p.keys.Signing(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	return &signingKey{private: private, certificate: key.Public}, nil
}

// published gives the certificates that the provider has to know, in DER: that of
// the key which signs, and of the one to come.
func (p *Protocol) published(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) ([][]byte, error) {
	keys, err := p.keys.All(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	certificates := [][]byte{}
	for _, key := range slices.Backward(keys) {
		if key.Published {
			certificates = append(certificates, key.Public)
		}
	}
	return certificates, nil
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
