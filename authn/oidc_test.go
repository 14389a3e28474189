package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

func TestSignInByOIDC(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()

	b.open("/reports?year=2026&q=a%2Fb").has(t, http.StatusOK, "app /reports?year=2026&q=a%2Fb for ann@acme.example called Ann")
	first := b.cookie(httpkit.SessionCookie)
	for _, name := range []string{httpkit.SessionCookie, httpkit.DeviceCookie} {
		if len(b.cookie(name)) != 43 {
			t.Errorf("cookie %s is not a token: %q", name, b.cookie(name))
		}
	}
	if n := len(w.journal.all(audit.SignInSucceeded)); n != 1 {
		t.Errorf("%d sign-ins in the journal", n)
	}
	if n := len(w.journal.all(audit.DeviceNew)); n != 1 {
		t.Errorf("%d new devices in the journal", n)
	}
	if len(w.grants.given) != 1 || !strings.HasSuffix(w.grants.given[0], " member") {
		t.Errorf("default role: %v", w.grants.given)
	}
	live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
	check(t, err)
	if len(live) != 1 || live[0].IDPSession != "idp-session" || live[0].IDPSubject != "subject-1" {
		t.Errorf("session: %+v", live)
	}

	// Whoever is signed in is not asked again.
	b.open("/.gatehouse/login?return_to=/x").has(t, http.StatusOK, "app /x")
	if b.cookie(httpkit.SessionCookie) != first {
		t.Error("the session changed")
	}

	// Sign-out here and at the provider, with the hint and back again.
	b.open("/.gatehouse/logout").has(t, http.StatusOK, `<form method="post" action="/.gatehouse/logout">`)
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK, "You are signed out")
	if idp.signedOut.Get("client_id") != clientID || strings.Count(idp.signedOut.Get("id_token_hint"), ".") != 2 {
		t.Errorf("the provider was told %v", idp.signedOut)
	}
	if b.cookie(httpkit.SessionCookie) != "" {
		t.Error("the session cookie is still there")
	}
	if n := len(w.journal.all(audit.SignedOut)); n != 1 {
		t.Errorf("%d sign-outs in the journal", n)
	}
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK, "You are signed out")

	// The same browser is the same device; a second sign-in gives no second role.
	b.open("/again").has(t, http.StatusOK, "app /again")
	if n := len(w.journal.all(audit.DeviceNew)); n != 1 || len(w.grants.given) != 1 {
		t.Errorf("%d new devices, %d roles given", n, len(w.grants.given))
	}
}

func TestSignInReplacesTheBrowsersSession(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	old := b.cookie(httpkit.SessionCookie)
	// A flow that was begun in another tab is finished while signed in.
	_, err := w.sessions.Find(t.Context(), acme, old)
	check(t, err)
	state := w.beginElsewhere(t, b)
	b.open("/.gatehouse/oidc/idp/callback?"+state.Encode()).has(t, http.StatusOK)
	if b.cookie(httpkit.SessionCookie) == old {
		t.Fatal("the session's token is the old one")
	}
	if _, err := w.sessions.Find(t.Context(), acme, old); err == nil {
		t.Error("the old session is still alive")
	}
}

// beginElsewhere begins a sign-in as an anonymous tab of the same browser would
// (its session cookie set aside) and returns the answer of the provider.
func (w *world) beginElsewhere(t *testing.T, b *browser) url.Values {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, w.url+"/.gatehouse/login", nil)
	req.AddCookie(&http.Cookie{Name: httpkit.FlowCookie, Value: b.cookie(httpkit.FlowCookie)})
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, w.passed(req))
	if rec.Code != http.StatusSeeOther {
		t.Fatalf("login: %d %s", rec.Code, rec.Body)
	}
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := noFollow.Get(rec.Header().Get("Location"))
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	back, err := url.Parse(resp.Header.Get("Location"))
	check(t, err)
	return back.Query()
}

// turnsAway tries to sign in at a provider that attacks: there is a page, a record
// with this reason, and no session. It gives the page.
func (w *world) turnsAway(t *testing.T, attack func(*issuer), want authn.Reason) page {
	t.Helper()
	idp := newIssuer(t)
	attack(idp)
	w.connections.put(idp.connection())
	b := w.browser()
	b.t = t
	p := b.open("/")
	if p.status != http.StatusForbidden && p.status != http.StatusBadGateway {
		t.Fatalf("status %d: %s", p.status, p.body)
	}
	p.has(t, p.status, "You are not signed in", "<dt>Event</dt>", "Sign in again")
	if got := w.journal.lastRefusal(t); got != want {
		t.Errorf("reason %q, want %q: %+v", got, want, w.journal.all(audit.SignInRefused))
	}
	if b.cookie(httpkit.SessionCookie) != "" || len(w.journal.all(audit.SignInSucceeded)) != 0 {
		t.Error("there is a session")
	}
	return p
}

func TestHostileIDTokensAreRefused(t *testing.T) {
	w := newWorld(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	claim := func(name string, value any) func(*issuer) {
		return func(i *issuer) { i.claims = func(c jwt.MapClaims) { c[name] = value } }
	}
	sign := func(method jwt.SigningMethod, key any) func(*issuer) {
		return func(i *issuer) {
			i.sign = func(c jwt.MapClaims) (string, error) { return i.signed(method, key, c) }
		}
	}
	answer := func(name, value string) func(*issuer) {
		return func(i *issuer) {
			i.answer = func(v url.Values) {
				if v.Del(name); value != "" {
					v.Set(name, value)
				}
			}
		}
	}
	raw := func(s string) func(*issuer) {
		return func(i *issuer) { i.sign = func(jwt.MapClaims) (string, error) { return s, nil } }
	}
	for name, c := range map[string]struct {
		attack func(*issuer)
		want   authn.Reason
	}{
		"wrong issuer":             {claim("iss", "https://evil.example"), authn.WrongIssuer},
		"wrong audience":           {claim("aud", "another"), authn.WrongAudience},
		"several audiences":        {claim("aud", []string{clientID, "another"}), authn.WrongAudience},
		"made for another user":    {claim("azp", "another"), authn.WrongAudience},
		"wrong nonce":              {claim("nonce", "stale"), authn.WrongNonce},
		"no nonce":                 {claim("nonce", nil), authn.WrongNonce},
		"expired":                  {claim("exp", time.Now().Add(-2*time.Minute).Unix()), authn.Expired},
		"never expires":            {claim("exp", nil), authn.Expired},
		"issued in the future":     {claim("iat", time.Now().Add(time.Hour).Unix()), authn.NotYetValid},
		"not valid yet":            {claim("nbf", time.Now().Add(3*time.Minute).Unix()), authn.NotYetValid},
		"no subject":               {claim("sub", ""), authn.SubjectUnusable},
		"algorithm none":           {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), authn.WrongAlgorithm},
		"algorithm HS256":          {sign(jwt.SigningMethodHS256, []byte(clientSecret)), authn.WrongAlgorithm},
		"another key":              {sign(jwt.SigningMethodES256, other), authn.WrongKey},
		"not a token":              {raw("x.y"), authn.Malformed},
		"encrypted":                {raw("a.b.c.d.e"), authn.Malformed},
		"huge":                     {raw(strings.Repeat("a", 70_000)), authn.TooLarge},
		"missing":                  {raw(""), authn.SignatureMissing},
		"access token of another":  {claim("at_hash", "bm90IGl0"), authn.SignatureInvalid},
		"answer of another issuer": {answer("iss", "https://evil.example"), authn.WrongIssuer},
		"answer without its name":  {answer("iss", ""), authn.WrongIssuer},
		"refused by the provider":  {answer("error", "access_denied"), authn.ProviderRefused},
		"no code":                  {answer("code", ""), authn.Malformed},
		"another code":             {answer("code", "guess"), authn.CodeRejected},
		"provider broken": {func(i *issuer) {
			i.token = func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusInternalServerError); return true }
		}, authn.ProviderUnreachable},
		"answer too large": {func(i *issuer) {
			i.token = func(w http.ResponseWriter) bool { _, _ = w.Write(make([]byte, 2<<20)); return true }
		}, authn.ProviderUnreachable},
		"userinfo about another": {func(i *issuer) {
			claim("email", nil)(i)
			i.userinfo = map[string]any{"sub": "somebody-else", "email": "boss@acme.example"}
		}, authn.SubjectUnusable},
	} {
		t.Run(name, func(t *testing.T) {
			w.turnsAway(t, c.attack, c.want)
		})
	}
}

func TestASignInWithoutTheProvidersKeysMayBeTriedAgain(t *testing.T) {
	for name, answer := range withoutKeys {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.connection())
			w.browser().open("/").has(t, http.StatusOK)
			idp.rollKey(t) // so that the known key does not do
			idp.answerKeys(answer)
			b := w.browser()
			b.open("/").has(t, http.StatusBadGateway, "You are not signed in", "cannot be reached right now")
			if got := w.journal.lastRefusal(t); got != authn.ProviderUnreachable || b.cookie(httpkit.SessionCookie) != "" {
				t.Errorf("reason %q, session %t", got, b.cookie(httpkit.SessionCookie) != "")
			}
			idp.answerKeys(nil)
			b.open("/").has(t, http.StatusOK, "for ann@acme.example")
		})
	}
}

// Keys that are known are good while no others are to be had, however long ago they
// were fetched; and a provider of which none were ever had is soon asked again.
func TestP7_KnownKeysStandIn(t *testing.T) {
	for name, answer := range withoutKeys {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			w.connections.put(idp.connection())
			idp.answerKeys(answer)
			b := w.browser()
			b.open("/").has(t, http.StatusBadGateway, "You are not signed in")
			if got := w.journal.lastRefusal(t); got != authn.ProviderUnreachable {
				t.Errorf("without keys: %q", got)
			}
			idp.answerKeys(nil)
			idp.ahead = 11 * time.Second
			w.advance(idp.ahead)
			b.open("/").has(t, http.StatusOK)
			idp.answerKeys(answer)
			idp.ahead = 12 * time.Hour
			w.advance(idp.ahead - 11*time.Second)
			w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example")
		})
	}
}

func TestUserinfoFillsASmallIDToken(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	idp.claims = func(c jwt.MapClaims) { delete(c, "email"); delete(c, "name") }
	idp.userinfo = map[string]any{"sub": "subject-1", "email": "ann@acme.example", "name": "Ann", "email_verified": "true", "SUB": "somebody-else"}
	w.browser().open("/").has(t, http.StatusOK, "for ann@acme.example called Ann")
}

// What somebody is let in by, is named by or belongs to is asked for as well, and
// nothing is where the id token says it all.
func TestUserinfoIsAskedForWhatIsMissing(t *testing.T) {
	for name, change := range map[string]func(*tenants.Connection){
		"admission":  func(c *tenants.Connection) { c.Admits.Groups = []string{"ops"} },
		"the groups": func(c *tenants.Connection) { c.OIDC.Claims.Groups = "roles"; c.Admits.Groups = []string{"ops"} },
		"a group rule": func(c *tenants.Connection) {
			c.GroupRules = []tenants.GroupRule{{Claim: "department", Values: []string{"it"}, Group: "it"}}
		},
		"the name": func(c *tenants.Connection) { c.OIDC.Claims.Name = "nickname" },
		"nothing":  func(*tenants.Connection) {},
		"nothing, rather": func(c *tenants.Connection) {
			c.GroupRules = []tenants.GroupRule{{Claim: "amr", Values: []string{"pwd"}, Group: "it"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c := idp.connection()
			change(&c)
			w.connections.put(c)
			idp.claims = func(c jwt.MapClaims) { delete(c, "groups"); c["amr"] = []string{"pwd"} }
			idp.userinfo = map[string]any{"sub": "subject-1", "email": "other@acme.example", "groups": []string{"ops"}, "roles": []string{"ops"}, "department": "it", "nickname": "Annie"}
			if strings.HasPrefix(name, "nothing") {
				idp.userinfo = map[string]any{"sub": "somebody else"}
			}
			called := "for ann@acme.example called "
			if name == "the name" {
				called += "Annie"
			}
			w.browser().open("/").has(t, http.StatusOK, called)
		})
	}
}

func TestAStepIsForOneUseOneBrowserOneConnection(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	other := idp.connection()
	other.Name = "other"
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	const callback = "/.gatehouse/oidc/idp/callback?"

	used := w.beginElsewhere(t, b)
	b.open(callback+used.Encode()).has(t, http.StatusOK)
	for _, c := range []struct {
		name string
		do   func() page
		want authn.Reason
	}{
		{"used twice", func() page { return b.open(callback + used.Encode()) }, "replayed"},
		{"never begun", func() page {
			return b.open(callback + url.Values{"code": {"c0de"}, "state": {strings.Repeat("A", 43)}, "iss": {idp.URL}}.Encode())
		}, "unsolicited"},
		{"no state", func() page { return b.open(callback + "code=c0de") }, "unsolicited"},
		{"two states", func() page { return b.open(callback + "code=c0de&state=a&state=b") }, "unsolicited"},
		{"other browser", func() page { return w.browser().open(callback + w.beginElsewhere(t, b).Encode()) }, "other-browser"},
		{"other connection", func() page {
			answer := w.beginElsewhere(t, b)
			w.connections.put(other)
			defer w.connections.remove("other")
			return b.open("/.gatehouse/oidc/other/callback?" + answer.Encode())
		}, "other-connection"},
		{"too late", func() page {
			answer := w.beginElsewhere(t, b)
			w.advance(11 * time.Minute)
			return b.open(callback + answer.Encode())
		}, "step-expired"},
		{"unknown connection", func() page { return b.open("/.gatehouse/oidc/nobody/callback?state=x") }, "connection-unknown"},
		{"a SAML address", func() page { return b.post("/.gatehouse/saml/idp/acs", url.Values{"RelayState": {"x"}}) }, "connection-unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.do().has(t, http.StatusForbidden, "You are not signed in")
			if got := w.journal.lastRefusal(t); got != c.want {
				t.Errorf("reason %q, want %q", got, c.want)
			}
		})
	}
}

func TestP1NoSignInWithoutItsRecord(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	answer := w.beginElsewhere(t, b)
	before := b.cookie(httpkit.SessionCookie)
	w.journal.fail(errors.New("disk full"))
	if p := b.open("/.gatehouse/oidc/idp/callback?" + answer.Encode()); p.status < 500 {
		t.Errorf("status %d without a journal", p.status)
	}
	if b.cookie(httpkit.SessionCookie) != before {
		t.Error("a session was handed out without a record")
	}
	if p := w.browser().open("/"); p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", p.status, p.header.Get("Retry-After"))
	}
}

func TestAnInterruptedFirstSignInStillGivesTheRole(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.grants.err = errors.New("interrupted")
	b := w.browser()
	if p := b.open("/"); p.status != http.StatusInternalServerError {
		t.Fatalf("status %d", p.status)
	}
	w.grants.err = nil
	b.open("/").has(t, http.StatusOK)
	if len(w.grants.given) != 1 {
		t.Errorf("roles given: %v", w.grants.given)
	}
}

func TestP1_ADefaultRoleThatIsGoneIsARefusalWithARecord(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.grants.err = fault.New(fault.NotFound, "role-not-found", "There is no such role.")
	b := w.browser()
	b.open("/").has(t, http.StatusForbidden, "You are not signed in", "not set up correctly")
	if got := w.journal.lastRefusal(t); got != "default-role-unusable" || b.cookie(httpkit.SessionCookie) != "" {
		t.Errorf("reason %q, session %t", got, b.cookie(httpkit.SessionCookie) != "")
	}
}

// The connection trusts another provider once the old one's answer has been
// verified, and before there is a session.
func TestP2_NoSessionByAConnectionThatHasChanged(t *testing.T) {
	w, idp, other := newWorld(t), newIssuer(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.grants.after = func() { w.connections.put(other.connection()) }
	b := w.browser()
	b.open("/").has(t, http.StatusForbidden, "You are not signed in", "was changed while you signed in")
	if got := w.journal.lastRefusal(t); got != "connection-changed" || b.cookie(httpkit.SessionCookie) != "" {
		t.Errorf("reason %q, session %t", got, b.cookie(httpkit.SessionCookie) != "")
	}
	w.grants.after = nil
	other.claims = func(c jwt.MapClaims) { c["email"] = "eve@acme.example" } // whom the new one calls as the old one called Ann
	b.open("/").has(t, http.StatusOK, "for eve@acme.example")
}

func TestInactivePeopleAreRefused(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	live, err := w.sessions.Find(t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(t, err)
	deactivate(t, w, live.Principal().User)
	p := b.open("/")
	p.has(t, http.StatusForbidden, "not active")
	if got := w.journal.lastRefusal(t); got != "person-inactive" {
		t.Errorf("reason %q", got)
	}
}

func deactivate(t *testing.T, w *world, id identity.UserID) {
	t.Helper()
	_, err := w.directory.UpdateUser(t.Context(), audit.SystemCause(), acme, id, 0, func(u *directory.User) error { u.Active = false; return nil })
	check(t, err)
}
