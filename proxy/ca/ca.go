// Package ca is the internal certificate authority: a root in the data folder,
// and a short-lived certificate for each host that is served.
//
// It exists so that the demo, tests and closed networks have real TLS without
// anybody's help. It must not sign for a name that no tenant has, and the
// root's key must not leave its file.
package ca

import (
	"container/list"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"time"
)

// How long certificates last, and when a leaf is replaced.
const (
	rootLife  = 10 * 365 * 24 * time.Hour
	leafLife  = 30 * 24 * time.Hour
	renewLeft = 10 * 24 * time.Hour
	backdate  = time.Hour // for clients whose clock is behind
)

// maxLeaves bounds the certificates that are kept; the one unused for longest
// goes first and is made anew when it is asked for again.
const maxLeaves = 4096

// CA signs certificates for the hosts that serves allows.
type CA struct {
	root   *x509.Certificate
	key    *ecdsa.PrivateKey
	pem    []byte
	serves func(host string) bool

	mu     sync.Mutex
	leaves map[string]*list.Element // of *leaf
	recent *list.List
}

type leaf struct {
	host string
	cert *tls.Certificate
}

// Open loads the authority from a folder, or makes it there. serves says
// whether a host, in lower case, is one to sign for.
func Open(dir string, serves func(host string) bool) (*CA, error) {
	if serves == nil {
		return nil, errors.New("ca: nobody says which hosts are served")
	}
	c := &CA{serves: serves, leaves: map[string]*list.Element{}, recent: list.New()}
	if err := c.load(dir); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return c, nil
}

// PEM is the root's certificate, for clients to trust.
func (c *CA) PEM() []byte { return c.pem }

// nobody is the name on the certificate for handshakes that name no host of
// ours (RFC 6761 §6.4): no client takes it for the host it asked for, and one
// that goes on regardless is told in HTTP what is wrong (421).
const nobody = "unknown-host.invalid"

// GetCertificate gives the certificate for the handshake's server name. One
// that is not served gets no certificate of its own, so that strangers cannot
// have any number of them made.
func (c *CA) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if host == "" && hello.Conn != nil {
		// A literal address sends no name (RFC 6066 §3).
		host, _, _ = net.SplitHostPort(hello.Conn.LocalAddr().String())
	}
	if host == "" || !c.serves(host) {
		host = nobody
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.leaves[host]; ok {
		if l, ok := e.Value.(*leaf); ok && time.Until(l.cert.Leaf.NotAfter) > renewLeft {
			c.recent.MoveToFront(e)
			return l.cert, nil
		}
		c.forget(e)
	}
	cert, err := c.sign(host)
	if err != nil {
		return nil, fmt.Errorf("ca: sign for %q: %w", host, err)
	}
	c.leaves[host] = c.recent.PushFront(&leaf{host: host, cert: cert})
	if c.recent.Len() > maxLeaves {
		c.forget(c.recent.Back())
	}
	return cert, nil
}

func (c *CA) forget(e *list.Element) {
	if l, ok := c.recent.Remove(e).(*leaf); ok {
		delete(c.leaves, l.host)
	}
}

func (c *CA) sign(host string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(host) > 64 { // the upper bound of a common name (RFC 5280 appendix A)
		template.Subject = pkix.Name{}
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.root, &key.PublicKey, c.key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, c.root.Raw}, PrivateKey: key, Leaf: parsed}, nil
}

// serial is positive and has 126 random bits (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand aborts the program instead
	raw[0] = raw[0]&0x3f | 0x40
	return new(big.Int).SetBytes(raw[:])
}
