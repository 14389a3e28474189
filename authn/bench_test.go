package authn_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

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
