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
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/proxy/upstream"
)

// BenchmarkGate is a request through everything: TLS, session, decision,
// journal and the app, over kept connections. Client and app are in the
// same process and cost the same in both benchmarks.
func BenchmarkGate(b *testing.B) {
	app, err := upstream.New(upstream.Config{URLs: []string{benchApp(b)}})
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, func(c *Config) { c.App = app })
	p := w.signIn("mia")
	dial := func() (net.Conn, error) { return tls.Dial("tcp", w.addr, w.tlsConfig("http/1.1")) }
	benchRequests(b, dial, fmt.Sprintf("Cookie: %s=%s\r\n", httpkit.SessionCookie, p.token))
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
	dial := func() (net.Conn, error) {
		return tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	benchRequests(b, dial, "Cookie: theme=dark\r\n")
}

func benchApp(b *testing.B) string {
	body := []byte(strings.Repeat("x", 1024))
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	b.Cleanup(app.Close)
	return app.URL
}

// connections are how many clients ask at once, per processor.
const connections = 16

func benchRequests(b *testing.B, dial func() (net.Conn, error), cookie string) {
	b.Helper()
	request := []byte("GET /api/alerts?page=2 HTTP/1.1\r\nHost: acme.test\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nUser-Agent: bench/1.0\r\n" + cookie + "\r\n")
	b.ReportAllocs()
	b.SetParallelism(connections)
	before := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		c, err := dial()
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		br := bufio.NewReader(c)
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			answer, err := http.ReadResponse(br, nil)
			if err != nil || answer.StatusCode != http.StatusOK {
				b.Error(answer, err)
				return
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// BenchmarkSessionless is the place that a request without a session takes and
// leaves: by all processors at once, in one tenant and in many.
func BenchmarkSessionless(b *testing.B) {
	for _, tenants := range []int{1, 100} {
		b.Run(fmt.Sprint("tenants=", tenants), func(b *testing.B) {
			var l sessionless
			var n atomic.Uint64
			b.ReportAllocs()
			before := cpuTime(b)
			b.RunParallel(func(pb *testing.PB) {
				tenant := identity.TenantID(fmt.Sprint("ten_", n.Add(1)%uint64(tenants)))
				for pb.Next() {
					l.enter(tenant, "tok_1", &stream{})()
				}
			})
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what the process has used so far: wall time says little on a busy
// machine.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
