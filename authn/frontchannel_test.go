package authn_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
)

func TestP2_FrontChannelLogoutEndsTheBrowsersOwnSession(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	other := idp.connection()
	other.Name = "other"
	w.connections.put(other)
	b, bystander := w.browser(), w.browser()
	for _, b := range []*browser{b, bystander} {
		b.open("/.gatehouse/login?connection=idp").has(t, http.StatusOK, "app /")
	}
	open := b.stream()
	address := func(connection string, q url.Values) string {
		return "/.gatehouse/oidc/" + connection + "/frontchannel-logout?" + q.Encode()
	}
	good := url.Values{"iss": {idp.URL}, "sid": {"idp-session"}}
	const framed = "frame-ancestors "
	for name, path := range map[string]string{
		"another issuer":     address("idp", url.Values{"iss": {"https://evil.example"}, "sid": {"idp-session"}}),
		"another session":    address("idp", url.Values{"iss": {idp.URL}, "sid": {"another"}}),
		"no session":         address("idp", url.Values{"iss": {idp.URL}}),
		"an empty session":   address("idp", url.Values{"iss": {idp.URL}, "sid": {""}}),
		"no issuer":          address("idp", url.Values{"sid": {"idp-session"}}),
		"two sessions":       address("idp", url.Values{"iss": {idp.URL}, "sid": {"idp-session", "another"}}),
		"another connection": address("other", good),
		"no connection":      address("nobody", good),
	} {
		p := b.open(path)
		p.has(t, http.StatusOK, "it no longer is")
		want := framed + idp.URL + ";"
		if name == "no connection" {
			want = framed + "'none';"
		}
		if policy := p.header.Get("Content-Security-Policy"); !b.signedIn() || open.cut.Load() || !strings.Contains(policy, want) {
			t.Errorf("%s: signed in %t, %s", name, b.signedIn(), policy)
		}
	}
	if n := len(w.journal.all(audit.SignOutRefused)); n != 7 {
		t.Errorf("%d refusals in the journal", n)
	}
	if resp, err := b.Head(w.url + address("idp", good)); err != nil || resp.Body.Close() != nil || !b.signedIn() {
		t.Errorf("HEAD: %v", err)
	}
	// A browser that sends no cookie in a frame is nobody.
	w.browser().open(address("idp", good)).has(t, http.StatusOK, "it no longer is")
	if !b.signedIn() || len(w.journal.all(audit.SessionsRevoked)) != 0 {
		t.Error("something was ended")
	}

	p := b.open(address("idp", good))
	p.has(t, http.StatusOK, "it no longer is")
	if p.header.Get("X-Frame-Options") != "" || p.header.Get("Cache-Control") != "no-store" || !strings.Contains(p.header.Get("Content-Security-Policy"), framed+idp.URL+";") {
		t.Errorf("%v", p.header)
	}
	if b.cookie(httpkit.SessionCookie) != "" || b.signedIn() || !open.cut.Load() || !bystander.signedIn() {
		t.Errorf("signed in %t, stream cut %t, the other browser %t", b.signedIn(), open.cut.Load(), bystander.signedIn())
	}
	if e := w.journal.all(audit.SessionsRevoked); len(e) != 1 || e[0].Reason != "signed-out-at-provider" || e[0].Target.Kind != "session" {
		t.Errorf("recorded as %+v", e)
	}
	if p := b.open("/.gatehouse/logout"); p.header.Get("X-Frame-Options") != "DENY" || !strings.Contains(p.header.Get("Content-Security-Policy"), framed+"'none'") {
		t.Errorf("other pages: %v", p.header)
	}
}

// An issuer's name must not become a policy of its own.
func TestFramesOfStrangeIssuers(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := idp.connection()
	c.OIDC.Issuer = "https://idp.example;frame-src"
	w.connections.put(c)
	p := w.browser().open("/.gatehouse/oidc/idp/frontchannel-logout")
	if policy := p.header.Get("Content-Security-Policy"); p.status != http.StatusOK || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "frame-src") {
		t.Errorf("%d %s", p.status, policy)
	}
}
