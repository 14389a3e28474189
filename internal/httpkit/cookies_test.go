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
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", header)
		if value, count := ReadCookie(r, SessionCookie); value != want.value || count != want.count {
			t.Errorf("%q: got %q, %d", header, value, count)
		}
	}
}
