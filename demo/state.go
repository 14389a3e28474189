package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// state is what the demo's own parts keep over a restart: where they listened,
// and the keys by which the gateway knows its identity providers.
type state struct {
	AppPort      int    `json:"app_port"`
	OIDCPort     int    `json:"oidc_port"`
	SAMLPort     int    `json:"saml_port"`
	ClientSecret string `json:"client_secret"`
	OIDCKey      []byte `json:"oidc_key"`         // PKCS #8
	SAMLKey      []byte `json:"saml_key"`         // PKCS #8
	SAMLCert     []byte `json:"saml_certificate"` // DER

	path            string
	oidcKey         *ecdsa.PrivateKey
	samlKey         *rsa.PrivateKey
	samlCertificate *x509.Certificate
}

const certificateLife = 10 * 365 * 24 * time.Hour

// loadState reads the demo's state, or makes a new one if there is none.
func loadState(data string) (*state, error) {
	s := &state{path: filepath.Join(data, "demo.json")}
	text, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = s.create()
	case err == nil:
		err = s.parse(text)
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %s: %w", s.path, err)
	}
	return s, nil
}

func (s *state) parse(text []byte) error {
	if err := json.Unmarshal(text, s); err != nil {
		return err
	}
	oidcKey, err := x509.ParsePKCS8PrivateKey(s.OIDCKey)
	if err != nil {
		return err
	}
	samlKey, err := x509.ParsePKCS8PrivateKey(s.SAMLKey)
	if err != nil {
		return err
	}
	var okOIDC, okSAML bool
	s.oidcKey, okOIDC = oidcKey.(*ecdsa.PrivateKey)
	s.samlKey, okSAML = samlKey.(*rsa.PrivateKey)
	if !okOIDC || !okSAML {
		return errors.New("a key is of another kind")
	}
	s.samlCertificate, err = x509.ParseCertificate(s.SAMLCert)
	return err
}

func (s *state) create() (err error) {
	s.ClientSecret = rand.Text()
	if s.oidcKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	if s.OIDCKey, err = x509.MarshalPKCS8PrivateKey(s.oidcKey); err != nil {
		return err
	}
	if s.samlKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	if s.SAMLKey, err = x509.MarshalPKCS8PrivateKey(s.samlKey); err != nil {
		return err
	}
	now := time.Now()
	certificate := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Gatehouse demo SAML identity provider"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife)}
	if s.SAMLCert, err = x509.CreateCertificate(rand.Reader, certificate, certificate, &s.samlKey.PublicKey, s.samlKey); err != nil {
		return err
	}
	s.samlCertificate, err = x509.ParseCertificate(s.SAMLCert)
	return err
}

// save writes the state for the next start.
func (s *state) save() error {
	text, err := json.Marshal(s) // #nosec G117 -- the demo's own secrets, into its own 0600 file
	if err == nil {
		err = os.WriteFile(s.path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
