package ca

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func open(t *testing.T, dir string) *CA {
	t.Helper()
	c, err := Open(dir, func(host string) bool { return strings.HasSuffix(host, ".acme.test") || host == "127.0.0.1" })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLeavesAreForServedHostsAndVerify(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	roots := x509.NewCertPool()
	public, err := os.ReadFile(filepath.Join(dir, certFile))
	if err != nil || !roots.AppendCertsFromPEM(public) {
		t.Fatalf("root: %v", err)
	}
	for _, name := range []string{"www.acme.test", "WWW.Acme.test", "127.0.0.1", strings.Repeat("a", 63) + ".long.acme.test"} {
		cert, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "globex.test", "acme.test.evil.test", "*.acme.test.x"} {
		cert, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		if len(cert.Leaf.DNSNames) != 1 || cert.Leaf.DNSNames[0] != nobody {
			t.Errorf("signed for %q: %v", name, cert.Leaf.DNSNames)
		}
	}
}

func TestTheRootStaysAndItsKeyIsPrivate(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if again := open(t, dir); string(again.PEM()) != string(first.PEM()) {
		t.Error("another root after a restart")
	}
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info, err)
	}
	if public, err := os.ReadFile(filepath.Join(dir, certFile)); err != nil || strings.Contains(string(public), "PRIVATE") {
		t.Errorf("the public file: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, func(string) bool { return true }); err == nil {
		t.Error("a key that others can read is used")
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, func(string) bool { return true }); err == nil {
		t.Error("a broken key file is used")
	}
}

func TestLeavesAreKeptRenewedAndBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir)
		get := func(name string) *tls.Certificate {
			cert, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
			if err != nil {
				t.Fatal(err)
			}
			return cert
		}
		first := get("a.acme.test")
		if get("a.acme.test") != first {
			t.Error("signed twice")
		}
		time.Sleep(leafLife - renewLeft)
		if get("a.acme.test") == first {
			t.Error("not renewed in time")
		}
		for i := range 20 {
			get(fmt.Sprintf("h%d.acme.test", i))
		}
		if len(c.leaves) != c.recent.Len() || c.recent.Len() > maxLeaves {
			t.Errorf("%d leaves, %d in order", len(c.leaves), c.recent.Len())
		}
	})
}
