package authn_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// given is what a provider was told to forget.
type given struct {
	form       url.Values
	user, pass string
}

// revocable has the issuer take tokens back, once it may.
func (i *issuer) revocable(may <-chan struct{}) <-chan given {
	got := make(chan given, 8)
	settings := i.settings()
	settings["revocation_endpoint"] = i.URL + "/revoke"
	i.mu.Lock()
	defer i.mu.Unlock()
	i.front = map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) { reply(w, settings) },
		"/revoke": func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			g := given{form: r.PostForm}
			g.user, g.pass, _ = r.BasicAuth()
			got <- g
			<-may
		},
	}
	return got
}

func next(t *testing.T, got <-chan given) given {
	t.Helper()
	select {
	case g := <-got:
		return g
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing was given back")
	}
	return given{}
}

// Whoever signs out leaves no grant at the provider, and waits for nothing; nor does
// somebody who tries a connection leave one.
func TestASignOutGivesTheRefreshTokenBack(t *testing.T) {
	for name, auth := range map[string]tenants.ClientAuth{"in the header": tenants.ClientAuthChosen, "in the form": tenants.ClientSecretPost} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c := idp.rechecked()
			may := make(chan struct{})
			got := idp.revocable(may)
			w.connections.put(c)
			b := w.browser()
			b.open("/").has(t, http.StatusOK, "app /")
			c.OIDC.ClientAuth = auth // as the token endpoint of this issuer does not take it
			w.connections.mu.Lock()
			kept := w.connections.byName["idp"]
			kept.OIDC = c.OIDC
			w.connections.byName["idp"] = kept
			w.connections.mu.Unlock()

			b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			b.post("/.gatehouse/logout", nil).has(t, http.StatusSeeOther) // though the provider has not answered
			g := next(t, got)
			if g.form.Get("token") != "refresh-1" || g.form.Get("token_type_hint") != "refresh_token" || w.kept() != 0 || b.cookie(httpkit.SessionCookie) != "" {
				t.Errorf("given back: %v; %d are kept", g.form, w.kept())
			}
			user, pass := g.form.Get("client_id"), g.form.Get("client_secret")
			if auth == tenants.ClientAuthChosen {
				user, pass = g.user, g.pass
				pass, _ = url.QueryUnescape(pass)
			}
			if user != clientID || pass != clientSecret || (g.user == "") != (g.form.Get("client_id") != "") {
				t.Errorf("shown as %q with %q", g.user, g.form)
			}
			close(may)
		})
	}
	w, idp := newWorld(t), newIssuer(t)
	may := make(chan struct{})
	close(may)
	c := idp.rechecked()
	got := idp.revocable(may)
	w.connections.put(c)
	w.browser().open(w.trial(t, "idp")).has(t, http.StatusOK, "The connection idp works")
	if g := next(t, got); g.form.Get("token") != "refresh-1" {
		t.Errorf("given back after a test: %v", g.form)
	}
	// One who has gone on is asked about, and what they have stays.
	b := w.browser()
	b.open("/").has(t, http.StatusOK, "app /")
	if w.kept() != 1 || len(got) != 0 {
		t.Errorf("%d are kept, %d given back", w.kept(), len(got))
	}
}
