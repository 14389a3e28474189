package authn_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// meter tells what part of the time of a benchmark is the processor's, and what part
// is spent on waiting for the provider, which works on the same processor.
type meter struct {
	b        *testing.B
	begun    time.Duration // the processor's time when the clock was started
	cpu      time.Duration
	provider atomic.Int64 // nanoseconds
	next     http.RoundTripper
}

// start and stop are around what is measured.
func (m *meter) start() {
	m.b.StartTimer() // which itself takes a while
	m.begun = processor(m.b)
}

func (m *meter) stop() {
	m.cpu += processor(m.b) - m.begun
	m.b.StopTimer()
}

func (m *meter) report() {
	m.b.ReportMetric(float64(m.cpu.Nanoseconds())/float64(m.b.N), "cpu-ns/op")
	m.b.ReportMetric(float64(m.provider.Load())/float64(m.b.N), "provider-ns/op")
}

// RoundTrip notes how long the provider takes, to the last byte.
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	begun := time.Now()
	resp, err := m.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &metered{resp.Body, func() { m.provider.Add(int64(time.Since(begun))) }}
	return resp, nil
}

type metered struct {
	io.ReadCloser

	over func()
}

func (m *metered) Close() error {
	m.over()
	return m.ReadCloser.Close()
}

func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// knock handles one request of somebody whom this is not the first sign-in of, from a
// network of its own.
func (w *world) knock(user *browser, n int, method, target string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, name := range []string{httpkit.FlowCookie, httpkit.DeviceCookie} {
		r.AddCookie(&http.Cookie{Name: name, Value: user.cookie(name)})
	}
	r = r.WithContext(httpkit.WithRequest(context.Background(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
		ClientIP: netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), Tenant: acme, TenantName: "acme", Origin: w.url}))
	answer := httptest.NewRecorder()
	w.Handler().ServeHTTP(answer, r)
	return answer
}

// BenchmarkOIDCCallback handles an authorisation response: the step, the code
// redeemed at a provider on loopback (whose time is shown apart), the id token
// verified, person, device and session written.
func BenchmarkOIDCCallback(b *testing.B) {
	w, idp := newWorld(b), newIssuer(b)
	m := &meter{b: b, next: w.egress.Transport}
	w.egress.Transport = m
	w.connections.put(idp.connection())
	user := w.browser()
	user.open("/").has(b, http.StatusOK)
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	m.provider.Store(0)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		login := w.knock(user, n, http.MethodGet, w.url+"/.gatehouse/login", nil)
		answer, err := noFollow.Get(login.Header().Get("Location"))
		check(b, err)
		_ = answer.Body.Close()
		m.start()
		done := w.knock(user, n, http.MethodGet, answer.Header.Get("Location"), nil)
		m.stop()
		if done.Code != http.StatusSeeOther {
			b.Fatalf("%d: %s", done.Code, done.Body)
		}
		b.StartTimer()
	}
	m.report()
}

// BenchmarkSAMLCallback handles a response of a SAML provider, which is asked for
// nothing, and the request of our own that follows: what BenchmarkOIDCCallback is.
func BenchmarkSAMLCallback(b *testing.B) {
	w := newWorld(b)
	w.connections.put(samlConnection(ourKey()))
	m := &meter{b: b}
	user := w.browser()
	user.samlSignIn("adfs", "gil", "s0")
	user.post("/.gatehouse/logout", nil)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		f := user.samlFlight()
		f.message.NameID, f.message.Email = "gil", "gil.adfs@globex.example"
		form := f.form(honest(b, f))
		m.start()
		posted := w.knock(user, n, http.MethodPost, f.acs, form)
		done := w.knock(user, n, http.MethodGet, w.url+posted.Header().Get("Location"), nil)
		m.stop()
		if done.Code != http.StatusSeeOther {
			b.Fatalf("%d: %s", done.Code, done.Body)
		}
		b.StartTimer()
	}
	m.report()
}
