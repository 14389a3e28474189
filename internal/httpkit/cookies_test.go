package httpkit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCookiesAreBoundToTheHost(t *testing.T) {
	w := httptest.NewRecorder()
	SetSessionCookie(w, "s")
	SetDeviceCookie(w, "d")
	SetFlowCookie(w, "f")
	ClearCookie(w, SessionCookie)
	ClearCookie(w, FlowCookie)
	want := []struct {
		sameSite http.SameSite
		maxAge   int
	}{{http.SameSiteLaxMode, 0}, {http.SameSiteLaxMode, 400 * 86400}, {http.SameSiteNoneMode, 3600},
		{http.SameSiteLaxMode, -1}, {http.SameSiteNoneMode, -1}}
	for i, c := range w.Result().Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" {
			t.Errorf("cookie is not bound to the host: %v", c)
		}
		if c.SameSite != want[i].sameSite || c.MaxAge != want[i].maxAge {
			t.Errorf("%s: SameSite %v, Max-Age %d", c.Name, c.SameSite, c.MaxAge)
		}
	}
}

func TestReadCookieNeverChooses(t *testing.T) {
	for header, want := range map[string]struct {
		value string
		count int
	}{
		"":                   {"", 0},
		SessionCookie + "=a": {"a", 1},
		FlowCookie + "=a":    {"", 0},
		SessionCookie + "=a; " + SessionCookie + "=b": {"", 2},
		SessionCookie + "=a; " + SessionCookie + "=a": {"", 2},
		"a=1;\t" + SessionCookie + " = a ; b=2":       {"a", 1},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", header)
		if value, count := ReadCookie(r, SessionCookie); value != want.value || count != want.count {
			t.Errorf("%q: got %q, %d", header, value, count)
		}
	}
}

// A neighbouring host may set a cookie whose name only looks like ours: browsers
// see no __Host- prefix in it.
func TestP3_ACookieInDisguiseIsNotOurs(t *testing.T) {
	for _, around := range []string{"\u2000", "\u00a0", "\u0085", "\u3000", "\v", "\f", "\x85", "\xa0", "\ufeff", ","} {
		for _, name := range []string{around + SessionCookie, SessionCookie + around} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Cookie", name+"=planted; "+SessionCookie+"=a")
			if value, count := ReadCookie(r, SessionCookie); value != "a" || count != 1 {
				t.Errorf("beside %q: got %q, %d", name, value, count)
			}
			if !LikeOurs(name + "=planted") {
				t.Errorf("%q would reach the app", name)
			}
		}
	}
	for cookie, want := range map[string]bool{
		SessionCookie + "=a": true, DeviceCookie + "=a; Path=/": true, " \t" + SessionCookie: true, "=" + SessionCookie + "=a": true,
		"__hOST-GATEHOUSE=a": true, "x" + SessionCookie + "y=a": true,
		"": false, "=": false, "a": false, "a=" + SessionCookie: false, "__Host-gate=a": false, "gatehouse=a": false, "__Host-gatehous\u017fe": false,
	} {
		if LikeOurs(cookie) != want {
			t.Errorf("%q: %v", cookie, !want)
		}
	}
}

func TestReadCookieAllocatesNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "theme=dark; "+SessionCookie+"=a")
	if n := testing.AllocsPerRun(100, func() { ReadCookie(r, SessionCookie) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
