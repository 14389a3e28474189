package proxy

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certLook is how often the files are looked at for a change, at most.
const certLook = 5 * time.Second

// CertFiles is a certificate chain and its key in PEM files, read again when
// one of them changes. A pair that does not fit, as in the middle of a renewal,
// leaves the last good one in place.
type CertFiles struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamp  [2]fileStamp
	looked time.Time
	told   string // what was wrong with the files when last looked at
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// OpenCertFiles reads the pair; log may be nil.
func OpenCertFiles(certFile, keyFile string, log *slog.Logger) (*CertFiles, error) {
	if log == nil {
		log = slog.Default()
	}
	c := &CertFiles{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// GetCertificate answers every server name with the pair.
func (c *CertFiles) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= certLook {
		c.look()
	}
	return c.pair, nil
}

// look reads the pair again if it changed, and tells once of what it cannot use.
func (c *CertFiles) look() {
	switch err := c.read(); {
	case err == nil:
		c.told = ""
	case err.Error() != c.told:
		c.told = err.Error()
		c.log.Warn("the certificate files changed and cannot be used; the last good ones are", "error", err)
	}
}

// read loads the pair if a file has changed since it was loaded.
func (c *CertFiles) read() error {
	c.looked = time.Now()
	var stamp [2]fileStamp
	for i, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("proxy: certificate: %w", err)
		}
		stamp[i] = fileStamp{info.ModTime(), info.Size()}
	}
	if c.pair != nil && stamp == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("proxy: certificate %s: %w", c.certFile, err)
	}
	c.pair, c.stamp = &pair, stamp
	return nil
}

// CertSet serves several certificates: the first that fits what the client
// asks for, else the first of all, whose mismatch the client will name.
type CertSet []*CertFiles

// GetCertificate is for [tls.Config].
func (s *CertSet) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	for _, files := range *s {
		pair, err := files.GetCertificate(hello)
		if err == nil && hello.SupportsCertificate(pair) == nil {
			return pair, nil
		}
	}
	return (*s)[0].GetCertificate(hello)
}
