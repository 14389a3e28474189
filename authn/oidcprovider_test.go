package authn_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/oidc/oidcprovidertest"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

var action = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)

// submit sends the form of a page.
func (b *browser) submit(p page, more url.Values) page {
	b.t.Helper()
	found := action.FindStringSubmatch(p.body)
	if found == nil {
		b.t.Fatalf("%s has no form: %s", p.url, p.body)
	}
	to, err := p.url.Parse(found[1])
	check(b.t, err)
	fields := hiddenFields(p)
	for name, values := range more {
		fields[name] = values
	}
	return b.post(to.String(), fields)
}

// atOIDCProvider signs in there, and allows what is asked.
func (b *browser) atOIDCProvider(p page) page {
	b.t.Helper()
	p.has(b.t, http.StatusOK, `name="login"`)
	p = b.submit(p, url.Values{"login": {"nora"}, "password": {"any"}})
	if strings.Contains(p.body, `value="consent"`) {
		p = b.submit(p, nil)
	}
	return p
}

// TestOIDCProvider signs in, asks again, and signs out at a certified provider that
// wants PKCE and a signed assertion, rotates refresh tokens and its key, and whose
// clock goes otherwise.
func TestOIDCProvider(t *testing.T) {
	w := newWorld(t)
	idp := oidcprovidertest.Start(t, oidcprovidertest.Client{ID: "gatehouse", AuthMethod: "private_key_jwt", JWKS: w.url + "/.gatehouse/oidc/node/jwks.json",
		RedirectURIs: []string{w.url + "/.gatehouse/oidc/node/callback"}, SignedOutURIs: []string{w.url + "/.gatehouse/logout"}})
	w.connections.put(tenants.Connection{Name: "node", Type: tenants.OIDC, Enabled: true, OIDC: &tenants.OIDCSpec{Issuer: idp.URL, ClientID: "gatehouse",
		ClientAuth: tenants.PrivateKeyJWT, Prompt: []string{"consent"}, Recheck: tenants.Duration(time.Hour)}})
	b := w.browser()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("refused: %+v", w.journal.all(audit.SignInRefused))
		}
	})
	b.atOIDCProvider(b.open("/reports")).has(t, http.StatusOK, "app /reports for nora@acme.example called Nora")

	t.Run("another key", func(t *testing.T) {
		idp.Control(t, oidcprovidertest.Control{Rotate: true})
		b := w.browser()
		b.atOIDCProvider(b.open("/")).has(t, http.StatusOK, "for nora@acme.example")
	})
	t.Run("a clock that goes otherwise", func(t *testing.T) {
		for ahead, want := range map[time.Duration]authn.Reason{45 * time.Second: "", -45 * time.Second: "", 10 * time.Minute: authn.NotYetValid} {
			idp.Control(t, oidcprovidertest.Control{Ahead: ahead.Milliseconds()})
			b := w.browser()
			p := b.atOIDCProvider(b.open("/"))
			if want == "" {
				p.has(t, http.StatusOK, "for nora@acme.example")
				continue
			}
			p.has(t, http.StatusForbidden, "You are not signed in")
			// Either side may be the first to see it: the assertion is from the past there.
			if got := w.journal.lastRefusal(t); got != want && got != authn.CodeRejected {
				t.Errorf("%v: reason %q, want %q", ahead, got, want)
			}
		}
		idp.Control(t, oidcprovidertest.Control{})
	})
	t.Run("asked again", func(t *testing.T) {
		w.rechecking()
		for hours := range 2 {
			ahead := time.Duration(hours+1) * time.Hour
			idp.Control(t, oidcprovidertest.Control{Ahead: ahead.Milliseconds()})
			w.advance(time.Hour)
			soon(t, "a refresh", func() bool { return w.held() == 0 && w.checked(ahead-time.Hour/2) })
		}
		if failed := w.journal.all(audit.SessionRechecked); len(failed) != 0 || !b.signedIn() || w.kept() == 0 {
			t.Errorf("failed: %+v, signed in %t", failed, b.signedIn())
		}
	})
	t.Run("signed out", func(t *testing.T) {
		other := w.browser()
		other.atOIDCProvider(other.open("/")).has(t, http.StatusOK)
		p := other.post("/.gatehouse/logout", nil)
		other.submit(p, url.Values{"logout": {"yes"}}).has(t, http.StatusOK, "You are signed out")
		if other.cookie(httpkit.SessionCookie) != "" {
			t.Error("the session cookie is still there")
		}
	})
	t.Run("gone", func(t *testing.T) {
		idp.Control(t, oidcprovidertest.Control{Ahead: (3 * time.Hour).Milliseconds(), Gone: true})
		w.advance(time.Hour)
		soon(t, "the end of the session", func() bool { return !b.signedIn() })
		soon(t, "the end of all of them", func() bool { return w.kept() == 0 })
	})
}
