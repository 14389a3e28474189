package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The two files of the authority: its certificate, for anybody to read, and
// certificate and key together, for nobody but us. The key's file is written
// first and whole, so that it alone decides whether there is an authority.
const (
	certFile = "ca.pem"
	keyFile  = "ca.key"
)

func (c *CA) load(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, keyFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = makeRoot(); err == nil {
			err = writeNew(path, raw, 0o600)
		}
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s may be read by others (mode %o); it must be 0600", path, mode)
	}
	if err := c.parse(raw); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	public := filepath.Join(dir, certFile)
	if have, err := os.ReadFile(public); err == nil && bytes.Equal(have, c.pem) {
		return nil
	}
	return writeNew(public, c.pem, 0o644)
}

func (c *CA) parse(raw []byte) error {
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			root, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return err
			}
			c.root, c.pem = root, pem.EncodeToMemory(block)
		case "PRIVATE KEY":
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return errors.New("the private key cannot be read") // the parser's words could quote it
			}
			key, ok := parsed.(*ecdsa.PrivateKey)
			if !ok {
				return errors.New("the private key is not ECDSA")
			}
			c.key = key
		}
	}
	if c.root == nil || c.key == nil || !c.key.PublicKey.Equal(c.root.PublicKey) {
		return errors.New("certificate and key are not there or do not belong together")
	}
	if time.Now().After(c.root.NotAfter) {
		return errors.New("the root has expired; move it away and a new one is made")
	}
	return nil
}

// makeRoot gives certificate and key of a new authority as PEM.
func makeRoot() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Gatehouse internal CA", Organization: []string{"Gatehouse"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), nil
}

// writeNew puts a file in place whole or not at all.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
