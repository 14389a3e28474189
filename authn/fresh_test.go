package authn_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// saysAt has the issuer say in the id token when the person authenticated; nil:
// nothing. What was asked of it is forgotten.
func (i *issuer) saysAt(at any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = nil
	i.claims = func(c jwt.MapClaims) {
		if at != nil {
			c["auth_time"] = at
		}
	}
}

func (i *issuer) lastAsked() url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// authenticated is when the person behind the browser's session has, as far as is
// known.
func (b *browser) authenticated() time.Time {
	b.t.Helper()
	live, err := b.w.sessions.Find(b.t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(b.t, err)
	return live.Principal().AuthTime
}

const again = "/.gatehouse/login?fresh=yes&return_to=/sensitive"

func TestAFreshSignInByOIDC(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	other := idp.connection()
	other.Name = "other"
	b := w.browser()
	b.open("/.gatehouse/login?connection=idp").has(t, http.StatusOK, "app /")
	w.connections.put(other) // there is a choice now, but not for who is signed in
	if q := idp.lastAsked(); q.Has("max_age") || q.Has("prompt") || !b.authenticated().IsZero() {
		t.Errorf("an ordinary sign-in asks for %v, and tells of %v", q, b.authenticated())
	}
	first := b.cookie(httpkit.SessionCookie)

	idp.saysAt(time.Now().Unix())
	b.open(again).has(t, http.StatusOK, "app /sensitive for ann@acme.example")
	if q := idp.lastAsked(); q.Get("max_age") != "900" || q.Get("prompt") != "login" {
		t.Errorf("asked for %v", q)
	}
	if age := time.Since(b.authenticated()); age > time.Minute || b.cookie(httpkit.SessionCookie) == first {
		t.Errorf("authenticated %v ago, in the old session: %t", age, b.cookie(httpkit.SessionCookie) == first)
	}
	if live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive}); err != nil || len(live) != 1 {
		t.Errorf("%d sessions, %v", len(live), err)
	}
	// Nobody is asked twice.
	idp.saysAt(nil)
	b.open(again).has(t, http.StatusOK, "app /sensitive")
	if q := idp.lastAsked(); q != nil {
		t.Errorf("asked once more for %v", q)
	}
	w.connections.set(tenants.SessionSettings{ReauthAge: tenants.Duration(5 * time.Minute)})
	earlier := w.browser()
	idp.saysAt(time.Now().Add(-6 * time.Minute).Unix())
	earlier.open("/.gatehouse/login?connection=idp").has(t, http.StatusOK, "app /")
	idp.saysAt(time.Now().Unix())
	earlier.open(again).has(t, http.StatusOK, "app /sensitive")
	if q := idp.lastAsked(); q.Get("max_age") != "300" {
		t.Errorf("asked for %v", q)
	}
	// Whoever is not signed in chooses, and what was asked for stays.
	w.browser().open(again).has(t, http.StatusOK, "/.gatehouse/login?connection=idp&amp;fresh=yes&amp;return_to=%2Fsensitive")
}

// An answer that does not prove what was asked for leaves everything as it was,
// and leads nowhere but to a page that says so.
func TestAFreshSignInHasToBeFresh(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	idp.userinfo = map[string]any{"sub": "subject-1", "email": "ann@acme.example", "auth_time": time.Now().Unix()}
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	first := b.cookie(httpkit.SessionCookie)
	for name, try := range map[string]struct {
		at   any
		want authn.Reason
	}{
		"old":             {time.Now().Add(-16 * time.Minute).Unix(), "authentication-too-old"},
		"just too old":    {time.Now().Add(-15*time.Minute - time.Second).Unix(), "authentication-too-old"},
		"not said":        {nil, "authentication-undated"},
		"zero":            {0, "authentication-undated"},
		"negative":        {-time.Now().Unix(), "authentication-undated"},
		"in milliseconds": {time.Now().UnixMilli(), "authentication-undated"},
		"in the future":   {time.Now().Add(time.Hour).Unix(), "authentication-undated"},
		"text":            {"now", "authentication-undated"},
	} {
		idp.saysAt(try.at)
		page := b.open(again)
		page.has(t, http.StatusForbidden, "This needs a new sign-in")
		if got := w.journal.lastRefusal(t); got != try.want || b.cookie(httpkit.SessionCookie) != first {
			t.Errorf("%s: recorded as %q, and the session was replaced: %t", name, got, b.cookie(httpkit.SessionCookie) != first)
		}
	}
	// Nor does the userinfo endpoint tell about the id token.
	idp.mu.Lock()
	idp.claims = func(c jwt.MapClaims) { delete(c, "email") }
	idp.mu.Unlock()
	b.open(again).has(t, http.StatusForbidden)
	if got := w.journal.lastRefusal(t); got != "authentication-undated" {
		t.Errorf("by userinfo: %q", got)
	}
	if !b.authenticated().IsZero() {
		t.Errorf("authenticated at %v", b.authenticated())
	}
	// The connection is gone: nowhere to go, and not round for ever.
	w.connections.remove("idp")
	b.open(again).has(t, http.StatusForbidden)
	if got := w.journal.lastRefusal(t); got != "connection-unknown" {
		t.Errorf("without the connection: %q", got)
	}
}

func TestAFreshSignInBySAML(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	answer := func(f flight, at time.Time) page {
		f.message.Authenticated = at
		doc := f.message.Document(t)
		ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		return b.postFromElsewhere(f.acs, f.form(bytesOf(t, doc)))
	}
	f := b.samlFlight()
	if f.force != "" {
		t.Errorf("an ordinary sign-in has ForceAuthn=%q", f.force)
	}
	old := time.Now().Add(-20 * time.Minute)
	answer(f, old).has(t, http.StatusOK, "app /reports")
	if got := b.authenticated(); got.Unix() != old.Unix() {
		t.Errorf("authenticated at %v, not %v", got, old)
	}
	first := b.cookie(httpkit.SessionCookie)
	f = b.samlFlightBy(again)
	if f.force != "true" {
		t.Errorf("ForceAuthn=%q", f.force)
	}
	answer(f, old).has(t, http.StatusForbidden, "answered with an earlier one")
	if got := w.journal.lastRefusal(t); got != "authentication-too-old" || b.cookie(httpkit.SessionCookie) != first {
		t.Errorf("recorded as %q", got)
	}
	answer(b.samlFlightBy(again), time.Now()).has(t, http.StatusOK, "app /sensitive for gil@globex.example")
	if age := time.Since(b.authenticated()); age > time.Minute {
		t.Errorf("authenticated %v ago", age)
	}
}
