package authn_test

import (
	"net/http"
	"testing"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// A sign-in that waits for a factor ends with the identity by which it was begun: nothing
// is set up in the account of whom it is not any more.
func TestNoFactorIsSetUpByAnIdentityThatIsUnlinked(t *testing.T) {
	byTimeless(t, func(t *testing.T, w *world, idp timeless, b *browser) {
		ann := w.user(t)
		thief := w.browser()
		thief.open("/")
		offered := thief.open(addFirst)
		offered.has(t, http.StatusOK, "Add an authenticator app")
		key := offered.find(t, keyOnPage)
		held, err := w.directory.Identities(t.Context(), acme, ann)
		check(t, err)
		for _, i := range held {
			_, err := w.directory.Unlink(t.Context(), audit.SystemCause(), acme, ann, i.Connection, i.Subject)
			check(t, err)
		}
		before := thief.cookie(httpkit.SessionCookie)
		thief.post(factors, form(offered, "code", w.digits(key), "name", "phone")).has(t, http.StatusForbidden, "took this way of signing in from your account")
		if n := w.factorsOf(t, ann); n != 0 || thief.cookie(httpkit.SessionCookie) != before || len(w.journal.all(audit.FactorAdded)) > 0 {
			t.Errorf("%d factors were set up", n)
		}
	})
}

// A factor that is shown because the policy asks for it says nothing of when the person
// authenticated at the provider: only in a sign-in that had to be fresh does it stand in.
func TestAFactorOfAnOrdinarySignInIsNoRecentAuthentication(t *testing.T) {
	byTimeless(t, func(t *testing.T, w *world, idp timeless, _ *browser) {
		w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
		b := w.browser()
		asked := b.open("/reports")
		offered := b.open(asked.url.String() + "&add=totp")
		b.post(factors, form(offered, "code", w.digits(offered.find(t, keyOnPage)), "name", "phone")).has(t, http.StatusOK, "Your recovery codes")
		if p := b.live().Principal(); !p.AuthTime.IsZero() || p.FactorTime.IsZero() {
			t.Errorf("signed in as %+v", p)
		}
	})
}

// A provider that does not say which claims it has may have auth_time, and is held to it.
func TestAProviderThatListsNoClaimsIsHeldToAuthTime(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	idp.front = map[string]http.HandlerFunc{"/.well-known/openid-configuration": func(answer http.ResponseWriter, _ *http.Request) {
		settings := idp.settings()
		delete(settings, "claims_supported")
		reply(answer, settings)
	}}
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK, "app / for ann@acme.example")
	b.open(addFirst).has(t, http.StatusForbidden)
	if got := w.journal.lastRefusal(t); got != "authentication-undated" {
		t.Errorf("recorded as %q", got)
	}
}
