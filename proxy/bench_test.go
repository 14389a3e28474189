package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"gatehouse/internal/httpkit"
	"gatehouse/proxy/upstream"
)

// BenchmarkGate is a request through everything: TLS, session, decision,
// journal and the app, over one kept connection. Client and app are in the
// same process and cost the same in both benchmarks.
func BenchmarkGate(b *testing.B) {
	app, err := upstream.New(upstream.Config{URLs: []string{benchApp(b)}})
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, func(c *Config) { c.App = app })
	p := w.signIn("mia")
	c, err := tls.Dial("tcp", w.addr, w.tlsConfig("http/1.1"))
	w.must(err)
	benchRequests(b, c, fmt.Sprintf("Cookie: %s=%s\r\n", httpkit.SessionCookie, p.token))
}

// BenchmarkReverseProxy is the same way through net/http's own proxy, with
// nothing decided or recorded.
func BenchmarkReverseProxy(b *testing.B) {
	target, err := url.Parse(benchApp(b))
	if err != nil {
		b.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	server := httptest.NewTLSServer(proxy)
	b.Cleanup(server.Close)
	c, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		b.Fatal(err)
	}
	benchRequests(b, c, "Cookie: theme=dark\r\n")
}

func benchApp(b *testing.B) string {
	body := []byte(strings.Repeat("x", 1024))
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	b.Cleanup(app.Close)
	return app.URL
}

func benchRequests(b *testing.B, c net.Conn, cookie string) {
	b.Helper()
	b.Cleanup(func() { _ = c.Close() })
	request := []byte("GET /api/alerts?page=2 HTTP/1.1\r\nHost: acme.test\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nUser-Agent: bench/1.0\r\n" + cookie + "\r\n")
	br := bufio.NewReader(c)
	once := func() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		answer, err := http.ReadResponse(br, nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			b.Fatal(answer, err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			b.Fatal(err)
		}
	}
	once()
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}
