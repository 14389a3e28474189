package authn_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/authn/setup"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// kept notes what of our answers a browser could keep, or tell to where it goes on.
type kept struct {
	next http.RoundTripper
	w    *world
	mu   sync.Mutex
	seen []string // "303 /.gatehouse/login"
	bad  []string
}

func (k *kept) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := k.next.RoundTrip(r)
	if err != nil || "https://"+r.URL.Host != k.w.url || !strings.HasPrefix(r.URL.Path, "/.gatehouse/") {
		return resp, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	what := resp.Status[:3] + " " + r.Method + " " + r.URL.Path
	k.seen = append(k.seen, what)
	h := resp.Header
	if !slices.Equal(h["Cache-Control"], []string{"no-store"}) || !slices.Equal(h["Referrer-Policy"], []string{"no-referrer"}) {
		k.bad = append(k.bad, what)
	}
	return resp, nil
}

// Addresses of ours carry links, steps and codes: nothing that answers at them is
// kept, and no page or redirect tells them to where the browser goes on.
func TestNoAddressIsToldOrKept(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	b, s := w.browser(), w.browser()
	all := &kept{next: b.Transport, w: w}
	b.Transport, s.Transport = all, all
	_, done := b.enrolApp(b.open("/reports"))
	done.has(t, http.StatusOK, "Your recovery codes")
	b.open("/.gatehouse/devices").has(t, http.StatusOK)
	b.open("/.gatehouse/mfa?return_to=/reports").has(t, http.StatusOK)
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK)
	b.open("/.gatehouse/oidc/idp/callback?state=guessed&code=c0de").has(t, http.StatusForbidden)
	w.connections.put(tenants.Connection{Name: "other", Type: tenants.OIDC, Enabled: true, OIDC: idp.connection().OIDC})
	b.open("/.gatehouse/login?return_to=/reports").has(t, http.StatusOK)

	_, path := w.link(t, setup.Terms{})
	s.begin(path).has(t, http.StatusOK, "Which identity provider do you have?")
	s.enter(idp).has(t, http.StatusOK)
	s.post(setup.Path+"/test", url.Values{"provider": {"keycloak"}}).has(t, http.StatusOK)

	if len(all.bad) > 0 {
		t.Errorf("told or kept: %q", all.bad)
	}
	for _, want := range []string{"303 GET /.gatehouse/login", "303 GET /.gatehouse/oidc/idp/callback", "200 GET /.gatehouse/mfa", "200 POST /.gatehouse/mfa", "200 GET /.gatehouse/devices",
		"403 GET /.gatehouse/oidc/idp/callback", "200 GET /.gatehouse/login", "200 GET /.gatehouse/setup", "303 POST /.gatehouse/setup/begin", "303 POST /.gatehouse/setup/save", "200 POST /.gatehouse/setup/test"} {
		if !slices.Contains(all.seen, want) {
			t.Errorf("%s was not looked at, of %q", want, all.seen)
		}
	}
	if b.cookie(httpkit.SessionCookie) != "" {
		t.Error("still signed in")
	}
}
