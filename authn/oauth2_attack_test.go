package authn_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// TestHostileOAuth2ProvidersSignNobodyIn: each attack ends on a page, with its own
// reason in the journal and no session, and the thief hears of nothing.
func TestHostileOAuth2ProvidersSignNobodyIn(t *testing.T) {
	w := newWorld(t)
	for name, attack := range oauth2test.Attacks() {
		t.Run(name, func(t *testing.T) {
			hub, thief := oauth2test.New(t), oauth2test.NewThief(t)
			attack.Do(hub, thief)
			connection := hub.Connection()
			if attack.Connection != nil {
				attack.Connection(connection.OAuth2)
			}
			w.connections.put(connection)
			b := w.browser()
			b.t = t
			p := b.open("/reports")
			if p.status != http.StatusForbidden && p.status != http.StatusBadGateway {
				t.Fatalf("status %d: %s", p.status, p.body)
			}
			p.has(t, p.status, "You are not signed in", "<dt>Event</dt>", "Sign in again")
			if got := w.journal.lastRefusal(t); got != attack.Want {
				t.Errorf("reason %q, want %q: %+v", got, attack.Want, w.journal.all(audit.SignInRefused))
			}
			if b.cookie(httpkit.SessionCookie) != "" || len(w.journal.all(audit.SignInSucceeded)) != 0 {
				t.Error("there is a session")
			}
			if n := thief.Heard.Load(); n != 0 {
				t.Errorf("%d requests went to the thief", n)
			}
			if strings.Contains(p.body, "<script>") {
				t.Error("what a stranger wrote stands in the page")
			}
		})
	}
}

// TestAnOAuth2StepIsForOneUseOneBrowserOneConnection: a state or code of one is
// good for no other, on any path.
func TestAnOAuth2StepIsForOneUseOneBrowserOneConnection(t *testing.T) {
	w, hub, idp := newWorld(t), oauth2test.New(t), newIssuer(t)
	w.connections.put(hub.Connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	const callback = "/.gatehouse/oauth2/hub/callback?"

	used := w.beginElsewhere(t, b)
	b.open(callback+used.Encode()).has(t, http.StatusOK)
	for _, c := range []struct {
		name string
		do   func() page
		want authn.Reason
	}{
		{"used twice", func() page { return b.open(callback + used.Encode()) }, "replayed"},
		{"a used code in a new sign-in", func() page {
			answer := w.beginElsewhere(t, b)
			answer.Set("code", used.Get("code"))
			return b.open(callback + answer.Encode())
		}, authn.CodeRejected},
		{"the code of another browser", func() page {
			victim := w.beginElsewhere(t, w.browser())
			answer := w.beginElsewhere(t, b)
			answer.Set("code", victim.Get("code"))
			return b.open(callback + answer.Encode())
		}, authn.CodeRejected},
		{"never begun", func() page {
			return b.open(callback + url.Values{"code": {"c0de"}, "state": {strings.Repeat("A", 43)}}.Encode())
		}, "unsolicited"},
		{"no state", func() page { return b.open(callback + "code=c0de") }, "unsolicited"},
		{"two states", func() page {
			answer := w.beginElsewhere(t, b)
			return b.open(callback + answer.Encode() + "&state=other")
		}, "unsolicited"},
		{"another browser", func() page { return w.browser().open(callback + w.beginElsewhere(t, b).Encode()) }, "other-browser"},
		{"a browser that is led here (login CSRF)", func() page {
			victim := w.browser()
			victim.open("/.gatehouse/logout").has(t, http.StatusOK)
			return victim.open(callback + w.beginElsewhere(t, w.browser()).Encode())
		}, "other-browser"},
		{"another connection", func() page {
			answer := w.beginElsewhere(t, b)
			other := hub.Connection()
			other.Name = "other"
			w.connections.put(other)
			defer w.connections.remove("other")
			return b.open("/.gatehouse/oauth2/other/callback?" + answer.Encode())
		}, "other-connection"},
		{"a connection of another protocol", func() page {
			answer := w.beginElsewhere(t, b)
			w.connections.put(idp.connection())
			defer w.connections.remove("idp")
			return b.open("/.gatehouse/oidc/idp/callback?" + answer.Encode())
		}, "other-connection"},
		{"the address of another protocol", func() page { return b.open("/.gatehouse/oidc/hub/callback?" + w.beginElsewhere(t, b).Encode()) }, "connection-unknown"},
		{"an address of SAML", func() page {
			return b.post("/.gatehouse/saml/hub/acs", url.Values{"RelayState": {w.beginElsewhere(t, b).Get("state")}})
		}, "connection-unknown"},
		{"a connection that is off", func() page {
			answer := w.beginElsewhere(t, b)
			off := hub.Connection()
			off.Enabled = false
			w.connections.put(off)
			defer w.connections.put(hub.Connection())
			return b.open(callback + answer.Encode())
		}, "connection-unknown"},
		{"too late", func() page {
			answer := w.beginElsewhere(t, b)
			w.advance(11 * time.Minute)
			return b.open(callback + answer.Encode())
		}, "step-expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.do().has(t, http.StatusForbidden, "You are not signed in")
			if got := w.journal.lastRefusal(t); got != c.want {
				t.Errorf("reason %q, want %q", got, c.want)
			}
		})
	}
}

// TestP3_AnAnswerOfOneTenantIsNoneOfAnother: the same browser, the same provider,
// and a connection of the same name.
func TestP3_AnAnswerOfOneTenantIsNoneOfAnother(t *testing.T) {
	const globex identity.TenantID = "ten_globex"
	w, hub := newWorld(t), oauth2test.New(t)
	check(t, w.keys.Create(t.Context(), globex))
	check(t, w.db.Create(t.Context(), globex))
	w.connections.put(hub.Connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	answer := w.beginElsewhere(t, b)

	w.connections.mu.Lock()
	w.connections.tenant.ID = globex
	w.connections.mu.Unlock()
	w.connections.put(hub.Connection())
	r := httptest.NewRequest(http.MethodGet, w.url+"/.gatehouse/oauth2/hub/callback?"+answer.Encode(), nil)
	for _, name := range []string{httpkit.FlowCookie, httpkit.DeviceCookie} {
		r.AddCookie(&http.Cookie{Name: name, Value: b.cookie(name)})
	}
	r = r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
		ClientIP: netip.MustParseAddr("203.0.113.7"), Tenant: globex, TenantName: "globex", Origin: w.url}))
	got := httptest.NewRecorder()
	before := len(hub.Calls())
	w.Handler().ServeHTTP(got, r)
	if reason := w.journal.lastRefusal(t); got.Code != http.StatusForbidden || reason != "unsolicited" || len(got.Result().Cookies()) != 0 {
		t.Errorf("%d, reason %q, cookies %v", got.Code, reason, got.Result().Cookies())
	}
	if len(hub.Calls()) != before {
		t.Error("the code was redeemed")
	}
}
