package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/proxy/ca"
)

func TestPlainHTTPIsSentToTLS(t *testing.T) {
	h := redirect(8443)
	tests := map[string]struct {
		request  string
		status   int
		location string
	}{
		"path and query": {"GET /a%20b?c=d HTTP/1.1\r\nHost: acme.test\r\n\r\n", 308, "https://acme.test:8443/a%20b?c=d"},
		"a port":         {"POST / HTTP/1.1\r\nHost: ACME.test:80\r\nContent-Length: 0\r\n\r\n", 308, "https://acme.test:8443/"},
		"IPv6":           {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 308, "https://[::1]:8443/"},
		"another site":   {"GET //evil.test/ HTTP/1.1\r\nHost: acme.test\r\n\r\n", 400, ""},
		"absolute-form":  {"GET http://evil.test/ HTTP/1.1\r\nHost: acme.test\r\n\r\n", 400, ""},
		"a user":         {"GET / HTTP/1.1\r\nHost: acme.test@evil.test\r\n\r\n", 400, ""},
		"no host":        {"GET / HTTP/1.1\r\n\r\n", 400, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(test.request)))
			if err != nil {
				t.Fatal(err)
			}
			delete(r.Header, "Host")
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != test.status || rec.Header().Get("Location") != test.location {
				t.Errorf("%d %q", rec.Code, rec.Header().Get("Location"))
			}
		})
	}
}

// Whoever stands in front may pass another port on.
func TestPlainHTTPIsSentToThePortOfBrowsers(t *testing.T) {
	w := newWorld(t, nil)
	certs, err := ca.Open(t.TempDir(), func(string) bool { return true })
	w.must(err)
	for _, port := range []int{0, 443, 9443} {
		s, err := Listen(t.Context(), ServerConfig{Gate: w.gate, Terms: Terms{Certificates: certs}, HTTPS: "127.0.0.1:0", HTTP: "127.0.0.1:0", Port: port})
		w.must(err)
		_, own, err := net.SplitHostPort(s.Addr().String())
		w.must(err)
		want := map[int]string{0: "https://acme.test:" + own + "/", 443: "https://acme.test/", 9443: "https://acme.test:9443/"}[port]
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Host = "acme.test"
		s.redirects.Handler.ServeHTTP(rec, r)
		if got := rec.Header().Get("Location"); got != want {
			t.Errorf("port %d leads to %q, not to %q", port, got, want)
		}
		w.must(s.Close())
	}
}

func TestOldTLSIsRefusedAndSessionsResume(t *testing.T) {
	w := newWorld(t, nil)
	old := w.tlsConfig()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	weak := w.tlsConfig()
	weak.MaxVersion, weak.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	unknown := w.tlsConfig()
	unknown.ServerName = "nobody.test"
	for name, config := range map[string]*tls.Config{"TLS 1.1": old, "CBC": weak, "an unknown name": unknown} {
		if c, err := tls.Dial("tcp", w.addr, config); err == nil {
			_ = c.Close()
			t.Errorf("%s is served", name)
		}
	}
	again := w.tlsConfig("http/1.1")
	again.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, resumed := range []bool{false, true} {
		c, err := tls.Dial("tcp", w.addr, again)
		w.must(err)
		_, err = io.WriteString(c, "GET /public/x HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n\r\n")
		w.must(err)
		_, err = io.Copy(io.Discard, c) // the ticket comes with the answer
		w.must(err)
		if got := c.ConnectionState().DidResume; got != resumed {
			t.Errorf("resumed: %t", got)
		}
		_ = c.Close()
	}
}

func TestALargeHeaderIsRefused(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.HeaderBytes = 4096 })
	for _, http2 := range []bool{false, true} {
		answer, err := w.client(http2).Do(w.request(http.MethodGet, "https://acme.test/public/x", nil, nil, "X-Large", strings.Repeat("x", 6000)))
		w.must(err)
		if answer.StatusCode < 400 || answer.StatusCode > 499 {
			t.Errorf("HTTP/2 %t: %d", http2, answer.StatusCode)
		}
	}
	if got := w.app.take(); len(got) != 0 {
		t.Errorf("the app saw %+v", got)
	}
}

func TestCertFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	authority, err := ca.Open(filepath.Join(dir, "ca"), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	put := func(host string) {
		cert, err := authority.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
			if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("a.test")
	synctest.Test(t, func(t *testing.T) {
		files, err := OpenCertFiles(certFile, keyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		name := func() string {
			cert, err := files.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return cert.Leaf.Subject.CommonName
		}
		put("much-longer-name.test")
		time.Sleep(certLook)
		if got := name(); got != "much-longer-name.test" {
			t.Errorf("after the change: %s", got)
		}
		if err := os.WriteFile(keyFile, []byte("half a key"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(certLook)
		if got := name(); got != "much-longer-name.test" {
			t.Errorf("with a broken key: %s", got)
		}
		put("b.test")
		time.Sleep(certLook)
		if got := name(); got != "b.test" {
			t.Errorf("once mended: %s", got)
		}
	})
	if _, err := OpenCertFiles(filepath.Join(dir, "none"), keyFile, nil); err == nil {
		t.Error("a missing file passes")
	}
}

func TestListenSaysWhatIsMissingOrTaken(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := Listen(t.Context(), ServerConfig{HTTPS: "127.0.0.1:0"}); err == nil {
		t.Error("a server without a gate")
	}
	certs, err := ca.Open(t.TempDir(), func(string) bool { return true })
	w.must(err)
	if _, err := Listen(t.Context(), ServerConfig{Gate: w.gate, Terms: Terms{Certificates: certs}, HTTPS: w.addr}); err == nil {
		t.Error("the address is taken")
	}
	if _, err := Listen(t.Context(), ServerConfig{Gate: w.gate, Terms: Terms{Certificates: certs}, HTTPS: "127.0.0.1:0", HTTP: w.addr}); err == nil {
		t.Error("the plain address is taken")
	}
	unserved, err := Listen(t.Context(), ServerConfig{Gate: w.gate, Terms: Terms{Certificates: certs}, HTTPS: "127.0.0.1:0", HTTP: "127.0.0.1:0"})
	w.must(err)
	w.must(unserved.Close())
	for _, addr := range []net.Addr{unserved.Addr(), unserved.PlainAddr()} {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			_ = c.Close()
			t.Errorf("%s is still open", fmt.Sprint(addr))
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a gate without parts")
	}
}
