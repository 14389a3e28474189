package authn_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// timeless is a provider that has no way to say when people authenticated.
type timeless struct {
	connection tenants.Connection
	// mallory has it answer for somebody else than Ann from now on.
	mallory func()
	// asked is the last request that people were sent to it with.
	asked func() url.Values
}

// timelessOIDC is an OpenID provider without the claim auth_time.
func timelessOIDC(t testing.TB) timeless {
	idp := newIssuer(t)
	idp.lacksAuthTime()
	return timeless{connection: idp.connection(), asked: idp.lastAsked, mallory: func() {
		idp.mu.Lock()
		defer idp.mu.Unlock()
		idp.claims = func(c jwt.MapClaims) {
			c["sub"], c["email"], c["name"] = "subject-2", "mallory@acme.example", "Mallory"
		}
	}}
}

// lacksAuthTime has the issuer's settings not name the claim.
func (i *issuer) lacksAuthTime() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.front = map[string]http.HandlerFunc{"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) {
		settings := i.settings()
		settings["claims_supported"] = []string{"sub", "email"}
		reply(w, settings)
	}}
}

// timelessOAuth2 is a provider of GitHub's shape.
func timelessOAuth2(t testing.TB) timeless {
	hub := oauth2test.New(t)
	return timeless{connection: hub.Connection(), asked: hub.Asked, mallory: func() {
		mallory := oauth2test.Ann()
		mallory.ID, mallory.Login, mallory.Name, mallory.Emails = "66", "mallory", "Mallory", nil
		hub.SignIn(mallory)
	}}
}

// byTimeless runs a test with each kind of provider, and a browser of Ann's who is
// signed in by it.
func byTimeless(t *testing.T, test func(t *testing.T, w *world, idp timeless, b *browser)) {
	for name, made := range map[string]func(testing.TB) timeless{"oidc": timelessOIDC, "oauth2": timelessOAuth2} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), made(t)
			w.connections.put(idp.connection)
			b := w.browser()
			b.open("/").has(t, http.StatusOK, "app / for ann@acme.example")
			test(t, w, idp, b)
		})
	}
}

const (
	toVault  = factors + "?return_to=%2Fvault"
	addFirst = factors + "?add=totp&return_to=%2Fvault"
)

// copied is a browser with a copy of this one's session, and nothing else of it.
func (b *browser) copied() *browser {
	b.t.Helper()
	thief := b.w.browser()
	thief.holds(b.cookie(httpkit.SessionCookie))
	return thief
}

func (w *world) factorsOf(t testing.TB, user identity.UserID) int {
	t.Helper()
	held, err := w.factors.Held(t.Context(), acme, user)
	check(t, err)
	return len(held.Factors)
}

// Whoever has no second factor, is asked for one by a route and signs in by a provider
// that cannot say when, sets it up in a sign-in that is made for that.
func TestTheFirstFactorIsSetUpInASignInOfItsOwn(t *testing.T) {
	byTimeless(t, func(t *testing.T, w *world, idp timeless, b *browser) {
		first := b.live()
		chosen := b.open(toVault)
		chosen.has(t, http.StatusOK, "Set up a second factor")
		offered := b.open(chosen.url.String() + "&add=totp")
		offered.has(t, http.StatusOK, "Add an authenticator app")
		if idp.connection.Type == tenants.OIDC && (idp.asked().Get("prompt") != "login" || idp.asked().Get("max_age") != "900") {
			t.Errorf("asked for %v", idp.asked())
		}
		// Until there is a factor, there is the session of before, and it proves as little.
		if !first.Current() || b.live() != first || offered.url.Query().Get("step") == "" {
			t.Error("the session is another one")
		}
		key := offered.find(t, keyOnPage)
		b.post(factors, form(offered, "code", "000000", "name", "phone")).has(t, http.StatusForbidden, "That did not work")
		b.post(factors, form(offered, "code", w.digits(key), "name", "phone")).has(t, http.StatusOK, "Your recovery codes", `href="/vault"`)
		if p := b.live().Principal(); first.Current() || time.Since(p.FactorTime) > time.Minute || p.AuthTime != p.FactorTime || !slices.Contains(p.AMR, "mfa") {
			t.Errorf("signed in as %+v, and the old session goes on: %t", p, first.Current())
		}
		done := w.journal.all(audit.SignInSucceeded)
		if len(done) != 2 || done[1].Details["second_factor"] != "totp" || len(w.journal.all(audit.FactorAdded)) != 1 {
			t.Errorf("recorded as %+v", done)
		}
		// That is recent enough for what asks for that, and for further factors.
		b.open(again).has(t, http.StatusOK, "app /sensitive")
		b.open(factors+"?add=passkey").has(t, http.StatusOK, "Add a passkey")
	})
}

// A second factor stands in for the time that the provider cannot say.
func TestASecondFactorProvesARecentSignIn(t *testing.T) {
	byTimeless(t, func(t *testing.T, w *world, _ timeless, b *browser) {
		key, done := b.enrolApp(b.open(again))
		done.has(t, http.StatusOK, "Your recovery codes", `href="/sensitive"`)
		later := w.browser()
		later.open("/").has(t, http.StatusOK, "app /")
		if p := later.live().Principal(); !p.AuthTime.IsZero() || !p.FactorTime.IsZero() {
			t.Errorf("an ordinary sign-in proves %+v", p)
		}
		session := later.cookie(httpkit.SessionCookie)
		asked := later.open(again)
		asked.has(t, http.StatusOK, "Show your second factor")
		later.post(factors, form(asked, "kind", "totp", "code", "000000")).has(t, http.StatusForbidden, "That did not work")
		// It cannot be had by adding another one instead.
		later.post(factors, form(asked, "do", "enrol", "kind", "totp", "code", "000000", "name", "x", "kept", "x")).has(t, http.StatusBadRequest)
		later.open(asked.url.String()+"&add=totp").has(t, http.StatusOK, "Show your second factor")
		if later.cookie(httpkit.SessionCookie) != session {
			t.Fatal("the session is another one")
		}
		later.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app /sensitive")
		if p := later.live().Principal(); time.Since(p.AuthTime) > time.Minute || p.FactorTime != p.AuthTime {
			t.Errorf("afterwards: %+v", p)
		}
		later.open(again).has(t, http.StatusOK, "app /sensitive")
		// And not for ever.
		w.connections.set(tenants.SessionSettings{ReauthAge: tenants.Duration(time.Second)}) // the clock is half a minute ahead
		later.open(again).has(t, http.StatusOK, "Show your second factor")
	})
}

// A session that somebody has got hold of leads to no factor: not by itself, and not by
// an answer of the provider about somebody else.
func TestACopiedSessionSetsUpNoFirstFactor(t *testing.T) {
	byTimeless(t, func(t *testing.T, w *world, idp timeless, b *browser) {
		ann := w.user(t)
		thief := b.copied()
		idp.mallory() // Ann's account at the provider is not the thief's to use
		offered := thief.open(addFirst)
		offered.has(t, http.StatusOK, "Add an authenticator app")
		key := offered.find(t, keyOnPage)
		// What was offered in Mallory's sign-in, taken up with Ann's session.
		fields := form(offered, "code", w.digits(key), "name", "phone")
		fields.Del("step")
		thief.post(factors, fields)
		if n := w.factorsOf(t, ann); n != 0 || !b.live().Current() {
			t.Fatalf("Ann has %d factors", n)
		}
		thief.post(factors, form(offered, "code", w.digits(key), "name", "phone")).has(t, http.StatusOK, "Your recovery codes")
		if mallory := w.user(t); mallory == ann || w.factorsOf(t, ann) != 0 || w.factorsOf(t, mallory) != 1 || thief.live().Principal().User != mallory {
			t.Error("Mallory has set up a factor of Ann's")
		}
	})
}

// The answer to a sign-in that another browser has begun sets up nothing, and neither
// does its step.
func TestAFirstFactorIsOfTheBrowserThatBeganIt(t *testing.T) {
	byTimeless(t, func(t *testing.T, w *world, _ timeless, b *browser) {
		ann, thief := w.user(t), b.copied()
		var toProvider string
		thief.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if toProvider = r.URL.String(); r.URL.Host != mustParse(t, w.url).Host {
				return http.ErrUseLastResponse
			}
			return nil
		}
		thief.open(addFirst)
		// Ann follows the thief's link: her provider answers for her, in her browser.
		b.open(toProvider).has(t, http.StatusForbidden, "another browser")
		if got := w.journal.lastRefusal(t); got != "other-browser" {
			t.Errorf("refused for %s", got)
		}
		// The thief, with her session, follows hers.
		offered := b.open(addFirst)
		offered.has(t, http.StatusOK, "Add an authenticator app")
		thief.CheckRedirect = nil
		thief.open(offered.url.String()).has(t, http.StatusForbidden, "another browser")
		key := offered.find(t, keyOnPage)
		thief.post(factors, form(offered, "code", w.digits(key), "name", "phone")).has(t, http.StatusForbidden, "another browser")
		if n := w.factorsOf(t, ann); n != 0 {
			t.Fatalf("%d factors", n)
		}
		// When she has finished, the copy of her session is worth nothing, and another old
		// one leads to what she has set up.
		older := w.browser()
		older.open("/").has(t, http.StatusOK, "app /")
		stolen := b.copied()
		b.post(factors, form(offered, "code", w.digits(key), "name", "phone")).has(t, http.StatusOK, "Your recovery codes")
		if _, err := w.sessions.Find(t.Context(), acme, stolen.cookie(httpkit.SessionCookie)); err == nil {
			t.Error("the copied session goes on")
		}
		older.open(addFirst).has(t, http.StatusOK, "Show your second factor")
		if n := w.factorsOf(t, ann); n != 1 {
			t.Errorf("%d factors", n)
		}
	})
}

// Where the provider can say when, an answer that does not is refused: what was asked
// may have been taken out of the address on its way through the browser.
func TestAProviderThatCanSayWhenHasTo(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK, "app /")
	for _, target := range []string{addFirst, again} {
		b.open(target).has(t, http.StatusForbidden, "does not say when you signed in")
		if got := w.journal.lastRefusal(t); got != "authentication-undated" {
			t.Errorf("%s: refused for %s", target, got)
		}
	}
}

// A provider that cannot say when, and says something all the same, is held to it.
func TestAProviderThatSaysWhenIsHeldToIt(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	idp.lacksAuthTime()
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK, "app /")
	for _, at := range []any{"now", 0, time.Now().UnixMilli(), time.Now().Add(time.Hour).Unix()} {
		idp.saysAt(at)
		b.open(addFirst).has(t, http.StatusForbidden, "does not say when you signed in")
	}
	idp.saysAt(time.Now().Add(-time.Hour).Unix())
	b.open(addFirst).has(t, http.StatusForbidden, "answered with an earlier one")
	if got := w.journal.lastRefusal(t); got != "authentication-too-old" {
		t.Errorf("refused for %s", got)
	}
}

func mustParse(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	check(t, err)
	return u
}
