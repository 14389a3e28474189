package authn_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// TestP7_TenThousandFailedSignIns at a provider that hangs and then is gone: whoever
// is signed in goes on, the page says what is wrong, and nothing grows.
func TestP7_TenThousandFailedSignIns(t *testing.T) {
	const each, atOnce = 5000, 64
	w, idp := newWorld(t), newIssuer(t)
	w.egress.Timeout = 2 * time.Second
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	idp.mu.Lock()
	idp.front = map[string]http.HandlerFunc{atDiscovery: hangs}
	idp.mu.Unlock()
	c := idp.connection()
	c.DisplayName = "changed" // another version of it, of which nothing is known
	w.connections.put(c)

	var most, failed atomic.Int64
	fail := func(n int) {
		// Each from a network of its own, so that none is refused before.
		ip := netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)})
		r := httptest.NewRequest(http.MethodGet, w.url+"/.gatehouse/login?connection=idp", nil)
		r = r.WithContext(httpkit.WithRequest(context.Background(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
			ClientIP: ip, Tenant: acme, TenantName: "acme", Origin: w.url}))
		r.Header.Set("Accept", "text/html")
		answer := httptest.NewRecorder()
		w.Handler().ServeHTTP(answer, r)
		if answer.Code == http.StatusBadGateway && strings.Contains(answer.Body.String(), "cannot be reached right now") {
			failed.Add(1)
		}
		if now := int64(runtime.NumGoroutine()); now > most.Load() {
			most.Store(now)
		}
	}
	before, heap := runtime.NumGoroutine(), heapNow()
	for round, down := range []func(){func() {}, idp.CloseClientConnections} {
		down()
		if round == 1 {
			_ = idp.Listener.Close()
		}
		var all sync.WaitGroup
		var next atomic.Int64
		for range atOnce {
			all.Go(func() {
				for n := next.Add(1); n <= each; n = next.Add(1) {
					fail(round*each + int(n))
				}
			})
		}
		b.open("/still").has(t, http.StatusOK, "app /still for ann@acme.example")
		all.Wait()
		w.advance(time.Minute) // it is asked anew
	}
	if n := failed.Load(); n != 2*each {
		t.Errorf("%d of %d were told that the provider cannot be reached", n, 2*each)
	}
	if grown := most.Load() - int64(before); grown > 2*atOnce {
		t.Errorf("%d goroutines more", grown)
	}
	w.journal.mu.Lock()
	w.journal.events = nil // which are in a file otherwise
	w.journal.mu.Unlock()
	if grown := heapNow() - heap; grown > 16<<20 {
		t.Errorf("%d bytes more", grown)
	}
	b.open("/still").has(t, http.StatusOK, "app /still for ann@acme.example")
}

func heapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) // #nosec G115 -- no heap is that large
}

// BenchmarkOIDCCallback handles an authorisation response: the step, the code
// redeemed at a provider on loopback (which works here as well), the id token
// verified, person, device and session written.
func BenchmarkOIDCCallback(b *testing.B) {
	w, idp := newWorld(b), newIssuer(b)
	w.connections.put(idp.connection())
	user := w.browser()
	user.open("/").has(b, http.StatusOK)
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		from := func(target string) *http.Request {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.AddCookie(&http.Cookie{Name: httpkit.FlowCookie, Value: user.cookie(httpkit.FlowCookie)})
			r.AddCookie(&http.Cookie{Name: httpkit.DeviceCookie, Value: user.cookie(httpkit.DeviceCookie)})
			return r.WithContext(httpkit.WithRequest(b.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
				ClientIP: netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), Tenant: acme, TenantName: "acme", Origin: w.url}))
		}
		login := httptest.NewRecorder()
		w.Handler().ServeHTTP(login, from(w.url+"/.gatehouse/login"))
		answer, err := noFollow.Get(login.Header().Get("Location"))
		check(b, err)
		_ = answer.Body.Close()
		callback := from(answer.Header.Get("Location"))
		b.StartTimer()
		done := httptest.NewRecorder()
		w.Handler().ServeHTTP(done, callback)
		if done.Code != http.StatusSeeOther {
			b.Fatalf("%d: %s", done.Code, done.Body)
		}
	}
}
