package authn_test

import (
	"html"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/pquerna/otp/totp"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const factors = "/.gatehouse/mfa"

var (
	keyOnPage     = regexp.MustCompile(`<code>([A-Z2-7]{32})</code>`)
	codesOnPage   = regexp.MustCompile(`<code>([a-z2-7-]{19})</code>`)
	optionsOnPage = regexp.MustCompile(`data-options="([^"]*)"`)
	idsOnPage     = regexp.MustCompile(`name="factor" value="([^"]*)"`)
)

func (p page) find(t testing.TB, what *regexp.Regexp) string {
	t.Helper()
	found := what.FindStringSubmatch(p.body)
	if found == nil {
		t.Fatalf("%s: there is no %s on the page:\n%s", p.url, what, p.body)
	}
	return html.UnescapeString(found[1])
}

// form is the page's fields, with others in their places.
func form(p page, more ...string) url.Values {
	fields := hiddenFields(p)
	for i := 0; i < len(more); i += 2 {
		fields.Set(more[i], more[i+1])
	}
	return fields
}

// digits is what an app with this key shows by the clock of the world.
func (w *world) digits(key string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(key, w.clock())
	check(w.t, err)
	return code
}

// enrolApp has a browser that is asked to set up a factor take an app, and gives the
// page that comes of it.
func (b *browser) enrolApp(p page) (key string, done page) {
	b.t.Helper()
	p.has(b.t, http.StatusOK, "Set up a second factor")
	offered := b.open(p.url.String() + "&add=totp")
	offered.has(b.t, http.StatusOK, "Add an authenticator app", "data:image/png;base64,")
	key = offered.find(b.t, keyOnPage)
	done = b.post(factors, form(offered, "code", b.w.digits(key), "name", "My phone"))
	b.w.advance(30 * time.Second)
	return key, done
}

// alwaysAsked has everybody show a second factor, and gives a browser of somebody who
// has set up an app, and its key.
func alwaysAsked(t *testing.T) (w *world, idp *issuer, key string, codes []string) {
	t.Helper()
	w, idp = newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	b := w.browser()
	key, done := b.enrolApp(b.open("/"))
	done.has(t, http.StatusOK, "Your recovery codes")
	for _, found := range codesOnPage.FindAllStringSubmatch(done.body, -1) {
		codes = append(codes, found[1])
	}
	return w, idp, key, codes
}

func (w *world) user(t *testing.T) identity.UserID {
	t.Helper()
	done := w.journal.all(audit.SignInSucceeded)
	if len(done) == 0 {
		t.Fatal("nobody has signed in")
	}
	return identity.UserID(done[len(done)-1].Actor.ID)
}

// Who has no second factor when one is asked for sets one up, on the way: there is
// no session before.
func TestASecondFactorIsSetUpAtTheFirstSignIn(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	b := w.browser()
	asked := b.open("/reports?x=1")
	asked.has(t, http.StatusOK, "Set up a second factor", "A passkey", "An authenticator app")
	if b.cookie(httpkit.SessionCookie) != "" || len(w.journal.all(audit.SignInSucceeded)) != 0 {
		t.Fatal("there is a session without the factor")
	}
	offered := b.open(asked.url.String() + "&add=totp")
	key := offered.find(t, keyOnPage)
	if csp := offered.header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src") || offered.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the page of the key: %v", offered.header)
	}
	wrong := b.post(factors, form(offered, "code", "000000", "name", "My phone"))
	wrong.has(t, http.StatusForbidden, "That did not work", `role="alert"`)
	if wrong.find(t, keyOnPage) != key {
		t.Error("after a slip of the finger it is another key")
	}
	b.post(factors, form(wrong, "code", w.digits(key), "name", " ")).has(t, http.StatusForbidden, "A name is one line")
	done := b.post(factors, form(wrong, "code", w.digits(key), "name", "My phone"))
	done.has(t, http.StatusOK, "Your recovery codes", `href="/reports?x=1"`)
	if n := len(codesOnPage.FindAllString(done.body, -1)); n != 10 {
		t.Errorf("%d codes", n)
	}
	b.open("/reports?x=1").has(t, http.StatusOK, "app /reports?x=1 for ann@acme.example")
	p := b.live().Principal()
	if !slices.Equal(p.AMR, []string{"pwd", "otp", "mfa"}) || time.Since(p.FactorTime) > time.Minute {
		t.Errorf("signed in as %+v", p)
	}
	var order []audit.Type
	for _, e := range w.journal.events {
		if e.Type == audit.FactorAdded || e.Type == audit.SignInSucceeded {
			order = append(order, e.Type)
			if e.Actor.ID != string(p.User) || e.Actor.Name != "ann@acme.example" {
				t.Errorf("%s is by %+v", e.Type, e.Actor)
			}
		}
	}
	signIn := w.journal.all(audit.SignInSucceeded)
	if !slices.Equal(order, []audit.Type{audit.FactorAdded, audit.SignInSucceeded}) || signIn[0].Details["second_factor"] != "totp" || signIn[0].Details["created"] != "true" {
		t.Errorf("recorded %v, %+v", order, signIn)
	}
	// What was sent is worth nothing any more.
	b.post(factors, form(wrong, "code", w.digits(key), "name", "My phone")).has(t, http.StatusForbidden, "was used already")
}

func TestASecondFactorIsShownAtSignIn(t *testing.T) {
	w, _, key, codes := alwaysAsked(t)
	b := w.browser()
	asked := b.open("/reports")
	asked.has(t, http.StatusOK, "Show your second factor", "six digits", "recovery code")
	// It is not added anew instead.
	b.open(asked.url.String()+"&add=totp").has(t, http.StatusOK, "Show your second factor")
	b.post(factors, form(asked, "do", "enrol", "kind", "totp", "code", "000000", "name", "x", "kept", "x")).has(t, http.StatusBadRequest)
	for _, wrong := range []string{"000000", "", "x", w.digits("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")} {
		b.post(factors, form(asked, "kind", "totp", "code", wrong)).has(t, http.StatusForbidden, "That did not work", "Show your second factor", "<dt>Event</dt>", "<dt>Request</dt><dd>req_")
	}
	refused := w.journal.all(audit.FactorRefused)
	if len(refused) != 4 || refused[0].Reason != "factor-wrong" || refused[0].Actor.ID != string(w.user(t)) || refused[0].Details["kind"] != "totp" || refused[0].Actor.Name != "ann@acme.example" {
		t.Errorf("recorded as %+v", refused)
	}
	if b.cookie(httpkit.SessionCookie) != "" {
		t.Fatal("there is a session")
	}
	code := w.digits(key)
	b.post(factors, form(asked, "kind", "totp", "code", code)).has(t, http.StatusOK, "app /reports")
	b.post(factors, form(asked, "kind", "totp", "code", code)).has(t, http.StatusForbidden, "was used already")

	other := w.browser()
	asked = other.open("/reports")
	other.post(factors, form(asked, "kind", "totp", "code", code)).has(t, http.StatusForbidden, "used already")
	other.post(factors, form(asked, "kind", "recovery-code", "code", codes[0])).has(t, http.StatusOK, "app /reports")
	if p := other.live().Principal(); !slices.Equal(p.AMR, []string{"pwd", "mfa"}) {
		t.Errorf("by a recovery code: %q", p.AMR)
	}
	third := w.browser()
	third.post(factors, form(third.open("/"), "kind", "recovery-code", "code", codes[0])).has(t, http.StatusForbidden, "That did not work")
}

// Several answers at once to one step are one session.
func TestAFactorStepMakesOneSession(t *testing.T) {
	w, _, _, codes := alwaysAsked(t)
	b := w.browser()
	asked := b.open("/reports")
	before := len(w.journal.all(audit.SignInSucceeded))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			resp, err := b.PostForm(w.url+factors, form(asked, "kind", "recovery-code", "code", codes[i]))
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
	if n := len(w.journal.all(audit.SignInSucceeded)) - before; n != 1 {
		t.Errorf("%d sign-ins", n)
	}
	if live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive}); err != nil || len(live) != 2 {
		t.Errorf("%d sessions, %v", len(live), err)
	}
}

// A step belongs to one browser and one tenant, and goes nowhere without the factor.
func TestAFactorStepCannotBeTakenOrSkipped(t *testing.T) {
	w, _, key, codes := alwaysAsked(t)
	b := w.browser()
	var callback string
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.Contains(r.URL.Path, "/callback") {
			callback = r.URL.String()
		}
		return nil
	}
	asked := b.open("/reports")
	step := asked.url.Query().Get("step")
	// Another browser, which has a step of its own.
	thief := w.browser()
	own := thief.open("/")
	thief.open(asked.url.String()).has(t, http.StatusForbidden, "another browser")
	thief.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusForbidden, "another browser")
	thief.post(factors, form(own, "step", step, "kind", "recovery-code", "code", codes[0])).has(t, http.StatusForbidden, "another browser")
	if got := w.journal.lastRefusal(t); got != "other-browser" {
		t.Errorf("refused for %s", got)
	}
	// Another tenant.
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, err := http.NewRequestWithContext(t.Context(), method, asked.url.String(), strings.NewReader(form(asked, "kind", "recovery-code", "code", codes[0]).Encode()))
		check(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Test-Tenant", "globex")
		b.read(b.Do(r)).has(t, http.StatusForbidden, "was not begun here")
	}
	// Other addresses, and the way here once more.
	for _, path := range []string{callback, "/.gatehouse/oidc/idp/callback?step=" + step, "/.gatehouse/saml/idp/acs?step=" + step, factors + "?step=", factors + "?step=" + strings.Repeat("A", 43), factors + "?step=x"} {
		if p := b.open(path); p.status != http.StatusForbidden && p.url.Path != factors {
			t.Errorf("%s: %d at %s", path, p.status, p.url)
		}
	}
	for _, fields := range []url.Values{
		form(asked, "do", ""), form(asked, "do", "codes"), form(asked, "do", "remove", "factor", "x"), form(asked, "do", "rename", "factor", "x", "name", "y"),
		form(asked, "kind", ""), form(asked, "kind", "passkey", "kept", "", "credential", "{}"), form(asked, "kind", "password", "code", "x"),
	} {
		if p := b.post(factors, fields); p.status < 400 {
			t.Errorf("%v: %d\n%s", fields, p.status, p.body)
		}
	}
	if b.cookie(httpkit.SessionCookie) != "" || thief.cookie(httpkit.SessionCookie) != "" {
		t.Fatal("there is a session")
	}
	if resp := b.sendFromElsewhere(w.url+factors, form(asked, "kind", "totp", "code", w.digits(key))); resp.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %d", resp.StatusCode)
	}
	large := form(asked, "kind", "totp", "code", strings.Repeat("1", 70<<10))
	b.post(factors, large).has(t, http.StatusRequestEntityTooLarge)
	// The right browser still may.
	b.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app /reports")
	// And not for ever.
	late := w.browser()
	asked = late.open("/")
	w.advance(11 * time.Minute)
	late.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusForbidden, "took too long")
}

// What happens between the provider's answer and the factor counts.
func TestP2_AFactorStepEndsWithWhatItRestsOn(t *testing.T) {
	for name, try := range map[string]struct {
		change func(t *testing.T, w *world, idp *issuer, user identity.UserID)
		reason authn.Reason
	}{
		"deactivated": {func(t *testing.T, w *world, _ *issuer, user identity.UserID) {
			w.connections.write(`UPDATE users SET active = FALSE WHERE id = $1`, user)
		}, "user-inactive"},
		"deleted": {func(t *testing.T, w *world, _ *issuer, user identity.UserID) {
			check(w.t, w.directory.DeleteUser(w.t.Context(), audit.SystemCause(), acme, user, 0))
		}, "unsolicited"},
		"signed out at the provider": {func(t *testing.T, w *world, idp *issuer, _ identity.UserID) {
			w.tellToken(t, idp.logoutToken(t, nil)).has(t, http.StatusOK)
		}, "signed-out-meanwhile"},
		"the connection is off": {func(t *testing.T, w *world, idp *issuer, _ identity.UserID) {
			off := idp.connection()
			off.Enabled = false
			w.connections.put(off)
		}, "connection-unknown"},
		"the connection is gone":    {func(t *testing.T, w *world, _ *issuer, _ identity.UserID) { w.connections.remove("idp") }, "connection-unknown"},
		"the connection is another": {func(t *testing.T, w *world, idp *issuer, _ identity.UserID) { w.connections.put(idp.connection()) }, "connection-changed"},
		"the network": {func(t *testing.T, w *world, _ *issuer, _ identity.UserID) {
			w.connections.set(tenants.SessionSettings{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		}, "network-not-allowed"},
		"suspended": {func(t *testing.T, w *world, _ *issuer, _ identity.UserID) { w.connections.setStatus(tenants.Suspended) }, "tenant-suspended"},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp, key, _ := alwaysAsked(t)
			b := w.browser()
			asked := b.open("/reports")
			try.change(t, w, idp, w.user(t))
			if p := b.post(factors, form(asked, "kind", "totp", "code", w.digits(key))); p.status != http.StatusForbidden || b.cookie(httpkit.SessionCookie) != "" {
				t.Errorf("%d\n%s", p.status, p.body)
			}
			if got := w.journal.lastRefusal(t); got != try.reason {
				t.Errorf("refused for %s", got)
			}
		})
	}
}

// An admin's reset that comes between the factor and the session prevents it.
func TestP2_AResetEndsASignInUnderWay(t *testing.T) {
	w, _, key, _ := alwaysAsked(t)
	user := w.user(t)
	b := w.browser()
	asked := b.open("/reports")
	before := len(w.journal.all(audit.SignInSucceeded))
	w.journal.on(audit.SignInSucceeded, func() {
		_, err := w.factors.Reset(t.Context(), audit.SystemCause(), acme, user)
		check(t, err)
	})
	b.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusForbidden, "took your second factors away")
	if b.cookie(httpkit.SessionCookie) != "" || w.journal.lastRefusal(t) != "factors-reset" || len(w.journal.all(audit.SignInSucceeded)) != before+1 {
		t.Error("it did not end")
	}
	live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
	if err != nil || len(live) != 1 { // the one before, which the admin ends
		t.Errorf("%d sessions, %v", len(live), err)
	}
	b.open("/").has(t, http.StatusOK, "Set up a second factor")
}

// Who is asked follows from the tenant's policy and what the provider says.
func TestWhoIsAskedForASecondFactor(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	now := time.Now().Unix()
	never, unless, all := tenants.SecondFactor{}, tenants.SecondFactor{Policy: tenants.FactorUnlessProvider, ACRValues: []string{"urn:mfa"}}, tenants.SecondFactor{Policy: tenants.FactorAlways}
	for _, try := range []struct {
		amr      []string
		acr      string
		provider bool
	}{
		{nil, "", false}, {[]string{"pwd"}, "", false}, {[]string{"mfa"}, "", true}, {[]string{"pwd", "mfa"}, "", true}, {[]string{"pwd", "otp"}, "", true},
		{[]string{"hwk"}, "", false}, {[]string{"hwk", "user"}, "", false}, {[]string{"hwk", "pin"}, "", true}, {[]string{"swk", "face"}, "", true},
		{[]string{"pwd", "kba", "pin"}, "", false}, {[]string{"otp", "sms"}, "", false}, {[]string{"pwd", "geo", "rba", "user", "mca", "wia"}, "", false},
		{[]string{"pwd", "MFA"}, "", false}, {[]string{"pwd", "sms"}, "", true}, {[]string{"fpt", "pin"}, "", true},
		{[]string{"pwd"}, "urn:mfa", true}, {[]string{"pwd"}, "urn:MFA", false}, {nil, "urn:mfa urn:x", false}, {nil, "mfa", false},
	} {
		idp.mu.Lock()
		idp.claims = func(c jwt.MapClaims) {
			delete(c, "amr")
			if c["auth_time"] = now; try.amr != nil {
				c["amr"] = try.amr
			}
			if try.acr != "" {
				c["acr"] = try.acr
			}
		}
		idp.mu.Unlock()
		for _, policy := range []struct {
			set   tenants.SecondFactor
			asked bool
		}{{never, false}, {unless, !try.provider}, {all, true}} {
			w.connections.setFactor(policy.set)
			b := w.browser()
			p := b.open("/")
			if asked := p.url.Path == factors; asked != policy.asked || p.status != http.StatusOK {
				t.Errorf("%q, amr %q, acr %q: asked %t, %d", policy.set.Policy, try.amr, try.acr, asked, p.status)
			}
			if policy.asked {
				continue
			}
			// What the provider showed counts from when the person authenticated there.
			shown := b.live().Principal().FactorTime
			wanted := try.provider && (try.acr == "" || policy.set.ACRValues != nil)
			if (shown.Unix() == now) != wanted || !wanted && !shown.IsZero() {
				t.Errorf("%q, amr %q, acr %q: shown at %v", policy.set.Policy, try.amr, try.acr, shown)
			}
		}
	}
}

// A factor that a route asks for makes a new session of the one that there is.
func TestSteppingUp(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	authenticated := time.Now().Add(-time.Hour).Truncate(time.Second)
	idp.saysAt(authenticated.Unix())
	b.open("/").has(t, http.StatusOK, "app /")
	first := b.live()
	stepUp := factors + "?return_to=" + url.QueryEscape("/vault?x=1&y=2")
	if r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/vault?x=1&y=2", nil); err != nil || w.FactorURL(r) != stepUp {
		t.Errorf("sent to %s, %v", w.FactorURL(r), err)
	}
	// Whoever has none sets one up, once they have authenticated anew.
	chosen := b.open(stepUp)
	chosen.has(t, http.StatusOK, "Set up a second factor")
	idp.saysAt(time.Now().Unix())
	offered := b.open(chosen.url.String() + "&add=totp")
	offered.has(t, http.StatusOK, "Add an authenticator app")
	if q := idp.lastAsked(); q.Get("max_age") != "900" {
		t.Errorf("asked for %v", q)
	}
	key := offered.find(t, keyOnPage)
	b.post(factors, form(offered, "code", w.digits(key), "name", "phone")).has(t, http.StatusOK, "Your recovery codes", `href="/vault?x=1&amp;y=2"`)
	if first.Current() {
		t.Error("the session before goes on")
	}
	second := b.live()
	if p := second.Principal(); time.Since(p.FactorTime) > time.Minute || !slices.Equal(p.AMR, []string{"pwd", "otp", "mfa"}) {
		t.Errorf("stepped up to %+v", p)
	}

	w.advance(time.Minute)
	asked := b.open(stepUp)
	asked.has(t, http.StatusOK, "Show your second factor")
	b.post(factors, form(asked, "kind", "totp", "code", "000000")).has(t, http.StatusForbidden, "That did not work", `name="return_to" value="/vault?x=1&amp;y=2"`)
	if !second.Current() || b.live() != second {
		t.Error("a wrong code has changed the session")
	}
	stream := b.stream()
	b.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app /vault?x=1&y=2")
	third := b.live()
	was, is := second.Session(), third.Session()
	if second.Current() || !stream.cut.Load() || is.ID == was.ID || is.CreatedAt != was.CreatedAt || is.AuthAt != was.AuthAt || is.Device != was.Device {
		t.Errorf("%+v\nbecame %+v", was, is)
	}
	if up := w.journal.all(audit.SessionSteppedUp); len(up) != 2 || up[1].Actor.ID != string(is.User) || up[1].Details["replaced"] != string(was.ID) || up[1].Details["second_factor"] != "totp" {
		t.Errorf("recorded as %+v", up)
	}
	for _, back := range []string{"https://evil.test/", "//evil.test", "/.gatehouse/login?x"} {
		w.advance(30 * time.Second)
		asked := b.open(factors + "?return_to=" + url.QueryEscape(back))
		b.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app / for")
	}
	// A session that is over is not stepped up.
	w.advance(30 * time.Second)
	asked = b.open(stepUp)
	_, err := w.sessions.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{User: is.User}, "admin")
	check(t, err)
	b.post(factors, form(asked, "kind", "totp", "code", w.digits(key)))
	if n := len(w.journal.all(audit.SessionSteppedUp)); n != 5 {
		t.Errorf("%d were stepped up", n)
	}
}

// The page on which people change their factors asks for more than a session.
func TestPeopleChangeTheirFactors(t *testing.T) {
	w, _, key, _ := alwaysAsked(t)
	b := w.browser()
	b.post(factors, form(b.open("/"), "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app /")
	list := b.open(factors)
	list.has(t, http.StatusOK, "Your second factors", "My phone", "Recovery codes that you have left: 10.", "the last one stays")
	id := list.find(t, idsOnPage)
	b.post(factors, url.Values{"do": {"rename"}, "factor": {id}, "name": {"Old <phone>"}}).has(t, http.StatusOK, "Old &lt;phone&gt;")
	b.post(factors, url.Values{"do": {"rename"}, "factor": {id}, "name": {""}}).has(t, http.StatusBadRequest, "A name is one line")
	b.post(factors, url.Values{"do": {"remove"}, "factor": {id}}).has(t, http.StatusConflict, "the last one stays")
	b.post(factors, url.Values{"do": {"codes"}}).has(t, http.StatusOK, "Your recovery codes")
	w.advance(30 * time.Second)
	offered := b.open(factors + "?add=totp")
	offered.has(t, http.StatusOK, "Add an authenticator app")
	second := offered.find(t, keyOnPage)
	b.post(factors, form(offered, "code", w.digits(second), "name", "New phone")).has(t, http.StatusOK, "New phone", "Old &lt;phone&gt;")
	b.post(factors, url.Values{"do": {"remove"}, "factor": {id}}).has(t, http.StatusOK, "New phone", "the last one stays")
	if len(w.journal.all(audit.FactorAdded)) != 2 || len(w.journal.all(audit.FactorRenamed)) != 1 || len(w.journal.all(audit.FactorRemoved)) != 1 || len(w.journal.all(audit.RecoveryCodesMade)) != 2 {
		t.Error("not all of it is in the journal")
	}
	w.browser().open(factors).has(t, http.StatusOK, "Show your second factor") // which is the way in
	// A factor that was shown long ago is not enough, and nothing has changed.
	w.advance(20 * time.Minute)
	left := b.open(factors).find(t, idsOnPage)
	for name, p := range map[string]page{
		"add": b.open(factors + "?add=totp"), "remove": b.post(factors, url.Values{"do": {"remove"}, "factor": {left}}),
		"codes": b.post(factors, url.Values{"do": {"codes"}}), "enrol": b.post(factors, form(offered, "code", w.digits(second), "name", "x")),
	} {
		p.has(t, http.StatusOK, "Show your second factor")
		if !p.url.Query().Has("return_to") {
			t.Errorf("%s leads to %s", name, p.url)
		}
	}
	b.open(factors).has(t, http.StatusOK, "New phone")
}

// passkey adds a passkey on the page that offers it.
func (b *browser) passkey(offered page, name string) (*mfatest.Passkey, page) {
	b.t.Helper()
	offered.has(b.t, http.StatusOK, "Add a passkey")
	p := mfatest.New(b.t, "https://"+factorHost, factorHost)
	return p, b.post(factors, form(offered, "credential", p.Create([]byte(offered.find(b.t, optionsOnPage))), "name", name))
}

func TestSigningInWithAPasskey(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	w.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	b := w.browser()
	offered := b.open(b.open("/reports").url.String() + "&add=passkey")
	if csp := offered.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'sha256-") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	bad := mfatest.New(t, "https://evil.test", factorHost)
	b.post(factors, form(offered, "credential", bad.Create([]byte(offered.find(t, optionsOnPage))), "name", "x")).has(t, http.StatusForbidden, "That did not work", "Add a passkey")
	p, done := b.passkey(offered, "laptop")
	done.has(t, http.StatusOK, "Your recovery codes", `href="/reports"`)
	if got := b.live().Principal().AMR; !slices.Equal(got, []string{"pwd", "hwk", "user", "mfa"}) {
		t.Errorf("signed in by %q", got)
	}

	other := w.browser()
	asked := other.open("/reports")
	asked.has(t, http.StatusOK, "Use your passkey", "<noscript>")
	again := other.open(asked.url.String())
	answer := p.Get([]byte(asked.find(t, optionsOnPage)))
	for name, fields := range map[string]url.Values{
		"to what was asked on another page": form(again, "kind", "passkey", "credential", answer),
		"without what was asked":            form(asked, "kind", "passkey", "credential", answer, "kept", ""),
		"to something made up":              form(asked, "kind", "passkey", "credential", answer, "kept", "AAAA"),
		"to what was asked to add one":      form(asked, "kind", "passkey", "credential", answer, "kept", hiddenFields(offered).Get("kept")),
		"nothing":                           form(asked, "kind", "passkey", "credential", ""),
	} {
		if name == "nothing" {
			fields = form(other.open(asked.url.String()), "kind", "passkey", "credential", "")
		}
		other.post(factors, fields).has(t, http.StatusForbidden, `role="alert"`)
		if other.cookie(httpkit.SessionCookie) != "" {
			t.Fatal("there is a session")
		}
	}
	other.post(factors, form(asked, "kind", "passkey", "credential", answer)).has(t, http.StatusOK, "app /reports")

	// An answer that was used is no answer to another step.
	third := w.browser()
	fresh := third.open("/reports")
	third.post(factors, form(fresh, "kind", "passkey", "credential", answer, "kept", hiddenFields(asked).Get("kept"))).has(t, http.StatusForbidden, `role="alert"`)
	// Nor a second time to its own.
	p.Count = 100
	answer = p.Get([]byte(fresh.find(t, optionsOnPage)))
	spoilt := form(fresh, "kind", "passkey", "credential", "{}")
	third.post(factors, spoilt).has(t, http.StatusForbidden)
	third.post(factors, form(fresh, "kind", "passkey", "credential", answer)).has(t, http.StatusForbidden, "used already")
}

// One try too many is told when the next one counts, and other ways stay open.
func TestWrongCodesAtThePage(t *testing.T) {
	w, _, key, _ := alwaysAsked(t)
	b := w.browser()
	asked := b.open("/")
	b.post(factors, form(asked, "kind", "totp", "code", w.digits(key)))
	w.advance(30 * time.Second)
	p, _ := b.passkey(b.open(factors+"?add=passkey"), "laptop")
	other := w.browser()
	asked = other.open("/reports")
	for range 5 {
		other.post(factors, form(asked, "kind", "totp", "code", "000000")).has(t, http.StatusForbidden)
	}
	limited := other.post(factors, form(asked, "kind", "totp", "code", w.digits(key)))
	limited.has(t, http.StatusTooManyRequests, "Too many wrong codes", "Use your passkey")
	if after, err := strconv.Atoi(limited.header.Get("Retry-After")); err != nil || after < 1 || after > 30 {
		t.Errorf("retry after %d, %v", after, err)
	}
	refused := w.journal.all(audit.FactorRefused)
	if len(refused) != 6 || refused[5].Reason != "too-many-codes" {
		t.Errorf("recorded as %+v", refused)
	}
	other.post(factors, form(limited, "kind", "passkey", "credential", p.Get([]byte(limited.find(t, optionsOnPage))))).has(t, http.StatusOK, "app /reports")
	third := w.browser() // the wait is the person's, not the browser's
	third.post(factors, form(third.open("/"), "kind", "totp", "code", w.digits(key))).has(t, http.StatusTooManyRequests)
	w.advance(30 * time.Second)
	third.post(factors, form(third.open("/"), "kind", "totp", "code", w.digits(key))).has(t, http.StatusOK, "app /")
}

func TestP1_NoFactorCountsWithoutItsRecord(t *testing.T) {
	w, _, key, _ := alwaysAsked(t)
	b := w.browser()
	asked := b.open("/")
	w.journal.fail(http.ErrBodyNotAllowed)
	b.post(factors, form(asked, "kind", "totp", "code", "000000")).has(t, http.StatusServiceUnavailable)
	b.post(factors, form(asked, "kind", "totp", "code", w.digits(key))).has(t, http.StatusServiceUnavailable)
	w.journal.mend()
	if b.cookie(httpkit.SessionCookie) != "" {
		t.Error("there is a session")
	}
}
