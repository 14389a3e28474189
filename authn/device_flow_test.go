package authn_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

func TestDeviceFlow(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	at := time.Now().Add(-2 * time.Minute).Truncate(time.Second)
	idp.saysAt(at.Unix())
	p := w.asks()
	p.wants("authorization_pending")

	// The browser signs in on the way, and the code stays with it.
	b := w.browser()
	page := b.open(p.Whole)
	page.has(t, http.StatusOK, "Sign in a program", `value="`+p.User+`"`, "exactly this code")
	if page.url.Path != "/.gatehouse/device" {
		t.Errorf("at %s", page.url)
	}
	p.wants("authorization_pending")
	page = b.post("/.gatehouse/device", url.Values{"user_code": {strings.ToLower(strings.ReplaceAll(p.User, "-", " "))}})
	page.has(t, http.StatusOK, "ann@acme.example", p.User, "ann&#39;s laptop", "203.0.113.7", "gatehouse/1.0 (linux; amd64)", "Gatehouse CLI", "deny it")
	if strings.Contains(page.body, "not the network") {
		t.Error("a program next to its person is said to be elsewhere")
	}
	p.wants("authorization_pending")
	b.decides(url.Values{"user_code": {p.User}, "step": {stepIn.FindStringSubmatch(page.body)[1]}}, "allow").has(t, http.StatusOK, "Allowed")

	a := p.wants("")
	if a.Type != "Bearer" || !strings.HasPrefix(a.Token, "gh_cli_") || a.Expires < 167*3600 || a.Expires > 168*3600 || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s token for %d s", a.Type, a.Expires)
	}
	if status, text := p.as(a.Token, "/x"); status != http.StatusOK || !strings.Contains(text, "app /x for ann@acme.example") {
		t.Errorf("%d %s", status, text)
	}
	live, err := w.sessions.FindProgram(t.Context(), acme, a.Token)
	check(t, err)
	own, theirs := live.Session(), b.principal()
	if who := live.Principal(); who.Kind != identity.KindUser || !who.Program || who.User != theirs.User || who.Device == theirs.Device ||
		!who.AuthTime.Equal(at) || !slices.Equal(who.AMR, theirs.AMR) || who.ACR != theirs.ACR || who.Connection != theirs.Connection || theirs.Program {
		t.Errorf("%+v of %+v", who, theirs)
	}
	if own.IDPSession != "" || own.IDPSubject == "" {
		t.Errorf("bound to the provider's session %q, subject %q", own.IDPSession, own.IDPSubject)
	}
	d, err := w.sessions.Device(t.Context(), acme, own.Device)
	check(t, err)
	if d.Kind != "cli" || d.Name != "Gatehouse CLI on ann's laptop" || d.Browser != "Gatehouse CLI" || d.OS != "Linux" {
		t.Errorf("device %+v", d)
	}
	// It is once.
	p.wants("invalid_grant")
	if got := w.reasons(); !slices.Equal(got, []string{"replayed"}) {
		t.Errorf("refused for %v", got)
	}
	p.wantsAs(a.Token, http.StatusOK)

	asked, allowed, in := w.journal.all(audit.DeviceLoginAsked), w.journal.all(audit.DeviceLoginAllowed), w.journal.all(audit.SignInSucceeded)
	if len(asked) != 1 || asked[0].Details["host"] != "ann's laptop" || len(allowed) != 1 || allowed[0].Session != theirs.Session || allowed[0].Actor.Name != "ann@acme.example" ||
		len(in) != 2 || in[1].Session != own.ID || in[1].Details["protocol"] != "device" || in[1].Details["allowed_by"] != string(theirs.Session) || in[1].Actor.ID != string(theirs.User) {
		t.Errorf("recorded %+v, %+v, %+v", asked, allowed, in)
	}
	b.open("/.gatehouse/devices").has(t, http.StatusOK, "Gatehouse CLI on ann&#39;s laptop")
}

// What ends a person's sessions ends those of their programs, and nothing else does.
func TestP2_AProgramsSessionEndsAsAnyOther(t *testing.T) {
	revoke := func(w *world, sel sessions.Selector) {
		w.t.Helper()
		_, err := w.sessions.Revoke(w.t.Context(), audit.SystemCause(), acme, sel, "admin")
		check(w.t, err)
	}
	for name, c := range map[string]struct {
		end  func(*world, *browser, *program, string)
		ends bool
	}{
		"the browser signs out": {func(w *world, b *browser, _ *program, _ string) {
			b.post("/.gatehouse/logout", nil)
		}, false},
		"the browser's session is revoked": {func(w *world, b *browser, _ *program, _ string) {
			revoke(w, sessions.Selector{Session: b.principal().Session})
		}, false},
		"the provider's session is over": {func(w *world, b *browser, _ *program, _ string) {
			revoke(w, sessions.Selector{Connection: "con_idp", IDPSessions: []string{"idp-session"}})
		}, false},
		"on the page of devices": {func(w *world, b *browser, _ *program, token string) {
			live, err := w.sessions.FindProgram(w.t.Context(), acme, token)
			check(w.t, err)
			b.post("/.gatehouse/devices", url.Values{"device": {string(live.Principal().Device)}}).has(w.t, http.StatusOK, "Your devices")
		}, true},
		"everywhere else": {func(w *world, b *browser, _ *program, _ string) {
			b.post("/.gatehouse/devices", url.Values{"others": {"yes"}})
		}, true},
		"by user": {func(w *world, b *browser, _ *program, _ string) {
			revoke(w, sessions.Selector{User: b.principal().User})
		}, true},
		"by connection": {func(w *world, _ *browser, _ *program, _ string) { revoke(w, sessions.Selector{Connection: "con_idp"}) }, true},
		"by subject": {func(w *world, b *browser, _ *program, _ string) {
			live, err := w.sessions.Find(w.t.Context(), acme, b.cookie(httpkit.SessionCookie))
			check(w.t, err)
			revoke(w, sessions.Selector{Connection: "con_idp", IDPSubject: live.Session().IDPSubject})
		}, true},
		"P9 the person is deactivated": {func(w *world, b *browser, _ *program, _ string) { w.deactivate(b.principal().User) }, true},
		"the device is blocked": {func(w *world, _ *browser, _ *program, token string) {
			live, err := w.sessions.FindProgram(w.t.Context(), acme, token)
			check(w.t, err)
			_, err = w.sessions.UpdateDevice(w.t.Context(), audit.SystemCause(), acme, live.Principal().Device, func(d *sessions.Device) error { d.Blocked = true; return nil })
			check(w.t, err)
		}, true},
		"by the program": {func(w *world, _ *browser, p *program, token string) {
			if a := p.post(atRevoke, url.Values{"client_id": {"gatehouse-cli"}, "token": {token}}, nil); a.status != http.StatusOK || a.Error != "" {
				w.t.Errorf("revoking answers %d %s", a.status, a.Error)
			}
		}, true},
		"programs are refused from now on": {func(w *world, _ *browser, _ *program, _ string) {
			w.connections.set(tenants.SessionSettings{DeviceLogin: tenants.RefuseDeviceLogin})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, p, token := signedIn(t)
			p.wantsAs(token, http.StatusOK)
			c.end(w, b, p, token)
			status, _ := p.as(token, "/x")
			if ended := status == http.StatusUnauthorized || status == http.StatusForbidden; ended != c.ends {
				t.Errorf("the token is answered %d", status)
			}
		})
	}
}

func TestADeviceLoginThatIsDenied(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	b.decides(b.enters(p.User), "deny").has(t, http.StatusOK, "Denied", "Nobody was signed in")
	p.wants("access_denied")
	p.wants("access_denied")
	if got := w.journal.all(audit.DeviceLoginDenied); len(got) != 1 || got[0].Actor.Name != "ann@acme.example" || got[0].Details["host"] != "ann's laptop" {
		t.Errorf("recorded %+v", got)
	}
	b.post("/.gatehouse/device", url.Values{"user_code": {p.User}}).has(t, http.StatusForbidden, "answered already")
	if got := w.reasons(); !slices.Equal(got, []string{"denied", "denied", "replayed"}) {
		t.Errorf("refused for %v", got)
	}
}

func TestPollingADeviceCode(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	now := func(want string) {
		t.Helper()
		if a := p.post(atToken, tokenForm(p.Device), nil); a.Error != want {
			t.Errorf("%q, want %q", a.Error, want)
		}
	}
	now("authorization_pending")
	now("slow_down") // 10 s from now on
	p.wants("slow_down")
	w.advance(9 * time.Second)
	p.wants("authorization_pending")
	b.allows(p.User)
	now("slow_down") // and what is allowed waits
	w.advance(20 * time.Second)
	if a := p.wants(""); a.Token == "" {
		t.Error("nothing came of it")
	}
	if got := w.reasons(); !slices.Equal(got, []string{"too-often", "too-often", "too-often"}) {
		t.Errorf("refused for %v", got)
	}

	flood := w.asks()
	for range 20 {
		if a := flood.post(atToken, tokenForm(flood.Device), nil); a.Error != "authorization_pending" && a.Error != "slow_down" {
			t.Errorf("%+v", a)
		}
	}
	w.advance(61 * time.Second) // and no longer
	if a := flood.post(atToken, tokenForm(flood.Device), nil); a.Error != "authorization_pending" {
		t.Errorf("a minute later: %q", a.Error)
	}

	late := w.asks()
	form := b.enters(late.User)
	w.advance(10*time.Minute - time.Second)
	late.wants("expired_token")
	b.decides(form, "allow").has(t, http.StatusForbidden, "took too long")
	b.post("/.gatehouse/device", url.Values{"user_code": {late.User}}).has(t, http.StatusForbidden, "too long")
	late.wants("expired_token")

	// Allowed in time, and asked for too late.
	late = w.asks()
	b.allows(late.User)
	w.advance(11 * time.Minute)
	late.wants("expired_token")
}

// Whoever is no longer to come in by the time that the program asks does not.
func TestP2_NoProgramOutrunsWhatEndsItsPerson(t *testing.T) {
	for name, c := range map[string]struct {
		between func(*world, *browser)
		reason  string
	}{
		"P9 deactivated": {func(w *world, b *browser) { w.deactivate(b.principal().User) }, "allowing-session-over"},
		"signed out":     {func(w *world, b *browser) { b.post("/.gatehouse/logout", nil) }, "allowing-session-over"},
		"all revoked": {func(w *world, b *browser) {
			_, err := w.sessions.Revoke(w.t.Context(), audit.SystemCause(), acme, sessions.Selector{User: b.principal().User}, "admin")
			check(w.t, err)
		}, "allowing-session-over"},
		"as by a directory that dies before it ends the sessions": {func(w *world, b *browser) {
			w.connections.write(`UPDATE users SET active = FALSE WHERE id = $1`, b.principal().User)
		}, "user-inactive"},
		"stepped up, and then ended": {func(w *world, b *browser) {
			w.stepsUp(b)
			_, err := w.sessions.Revoke(w.t.Context(), audit.SystemCause(), acme, sessions.Selector{User: b.principal().User}, "admin")
			check(w.t, err)
		}, "allowing-session-over"},
		"from another network": {func(w *world, _ *browser) {
			w.connections.set(tenants.SessionSettings{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
		}, "network-not-allowed"},
		"refused by now": {func(w *world, _ *browser) {
			w.connections.set(tenants.SessionSettings{DeviceLogin: tenants.RefuseDeviceLogin})
		}, "device-login-refused"},
		"the connection is closed": {func(w *world, b *browser) {
			w.connections.write(`UPDATE connections SET enabled = FALSE`)
		}, "connection-disabled"},
		"the connection is gone":  {func(w *world, _ *browser) { w.connections.remove("idp") }, "no-connection"},
		"the tenant is suspended": {func(w *world, _ *browser) { w.connections.setStatus(tenants.Suspended) }, "tenant-suspended"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, b := deviceWorld(t)
			p := w.asks()
			b.allows(p.User)
			c.between(w, b)
			p.wants("access_denied")
			if got := w.reasons(); len(got) != 1 || got[0] != c.reason {
				t.Errorf("refused for %v", got)
			}
			p.wants("invalid_grant")
		})
	}
}

// A program that shows what it was given is the device that it was, of whoever was
// signed in by it then; of nobody else, and of no browser.
func TestAProgramIsKnownAgain(t *testing.T) {
	w, idp, b := deviceWorld(t)
	in := func(b *browser, device string) (got answer, on sessions.Device) {
		t.Helper()
		p := w.asks()
		b.allows(p.User)
		w.advance(5 * time.Second)
		form := tokenForm(p.Device)
		form.Set("device_token", device)
		got = p.post(atToken, form, nil)
		if got.Error != "" {
			return got, on
		}
		live, err := w.sessions.FindProgram(t.Context(), acme, got.Token)
		check(t, err)
		on, err = w.sessions.Device(t.Context(), acme, live.Principal().Device)
		check(t, err)
		return got, on
	}
	first, laptop := in(b, "")
	if !strings.HasPrefix(first.DeviceToken, "gh_device_") || laptop.Kind != "cli" {
		t.Fatalf("%+v on %+v", first, laptop)
	}
	if again, on := in(b, first.DeviceToken); on.ID != laptop.ID || again.DeviceToken != first.DeviceToken || again.Token == first.Token {
		t.Errorf("%+v on %+v", again, on)
	}
	if n := len(w.journal.all(audit.DeviceNew)); n != 2 { // the browser and the program
		t.Errorf("%d new devices", n)
	}
	// What nobody was given here is not taken over, nor is what a browser or a session has.
	for _, foreign := range []string{"gh_device_" + strings.Repeat("A", 43), "gh_device_", b.cookie(httpkit.DeviceCookie), first.Token} {
		if got, on := in(b, foreign); on.ID == laptop.ID || on.ID == b.principal().Device || got.DeviceToken == foreign {
			t.Errorf("%q: %+v on %+v", foreign, got, on)
		}
	}
	// It lets nobody in, and is no browser's.
	if status, _ := w.program().as(first.DeviceToken, "/x"); status != http.StatusUnauthorized {
		t.Errorf("as a token it is answered %d", status)
	}
	// Somebody else who has it has a device of their own.
	idp.mu.Lock()
	idp.claims = func(c jwt.MapClaims) { c["sub"], c["email"] = "subject-2", "eve@acme.example" }
	idp.mu.Unlock()
	eve := w.browser()
	eve.open("/").has(t, http.StatusOK, "eve@acme.example")
	if _, on := in(eve, first.DeviceToken); on.ID == laptop.ID || on.User == laptop.User {
		t.Errorf("another person is on %+v", on)
	}
	// Blocked is blocked, for whoever shows it.
	_, err := w.sessions.UpdateDevice(t.Context(), audit.SystemCause(), acme, laptop.ID, func(d *sessions.Device) error { d.Blocked = true; return nil })
	check(t, err)
	if got, _ := in(b, first.DeviceToken); got.Error != "access_denied" || !slices.Equal(w.reasons(), []string{"device-blocked"}) {
		t.Errorf("%+v, %v", got, w.reasons())
	}
}

// stepsUp has somebody show a second factor: their session is another one then.
func (w *world) stepsUp(b *browser) {
	w.t.Helper()
	live, err := w.sessions.Find(w.t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(w.t, err)
	made, err := w.sessions.Renew(w.t.Context(), audit.SystemCause(), live, sessions.Renewal{FactorAt: w.clock(), AMR: []string{"otp"}, Method: "totp"})
	check(w.t, err)
	u, err := url.Parse(w.url)
	check(w.t, err)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: httpkit.SessionCookie, Value: made.Token, Path: "/", Secure: true}})
}

// A session that is renewed is the same sign-in: what was allowed in it stays so.
func TestAProgramThatIsAllowedOutlivesAStepUp(t *testing.T) {
	for name, renewed := range map[string]func(w *world, b *browser){
		"before the program asks": func(w *world, b *browser) { w.stepsUp(b) },
		"twice":                   func(w *world, b *browser) { w.stepsUp(b); w.stepsUp(b) },
		"while the program's session is made": func(w *world, b *browser) {
			w.journal.on(audit.SignInSucceeded, func() { w.stepsUp(b) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, b := deviceWorld(t)
			p := w.asks()
			b.allows(p.User)
			renewed(w, b)
			token := p.wants("").Token
			p.wantsAs(token, http.StatusOK)
			live, err := w.sessions.FindProgram(t.Context(), acme, token)
			check(t, err)
			if live.Session().FactorAt.IsZero() {
				t.Error("the program's session does not know of the factor")
			}
		})
	}
}

// The session in which a program was allowed has to live in the statement that
// makes the program's, whatever was seen of it before.
func TestP2_TheAllowingSessionEndsJustBefore(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	b.allows(p.User)
	who := b.principal()
	_, err := w.sessions.Create(t.Context(), audit.SystemCause(), acme, sessions.NewSession{User: who.User, Connection: who.Connection, ConnectionVersion: 1,
		Program: &sessions.Program{Name: "x", AllowedBy: "ses_none"}})
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != "allowing-session-over" {
		t.Errorf("allowed by no session: %v", err)
	}
	p.wants("")
}

func TestSettingsSayWhoMaySignInPrograms(t *testing.T) {
	w, idp, b := deviceWorld(t)
	// A program has no cookie of a device, and needs none.
	bound := w.asks()
	b.allows(bound.User)
	token := bound.wants("").Token
	w.connections.set(tenants.SessionSettings{BindDevice: true})
	bound.wantsAs(token, http.StatusOK)
	w.connections.set(tenants.SessionSettings{Networks: elsewhere("")[""]})
	bound.wantsAs(token, http.StatusForbidden)

	w.connections.set(tenants.SessionSettings{DeviceLogin: tenants.RefuseDeviceLogin})
	p := w.program()
	if a := p.post(atAsk, url.Values{"client_id": {"gatehouse-cli"}}, nil); a.Error != "unauthorized_client" {
		t.Errorf("where it is refused: %+v", a)
	}
	b.open("/.gatehouse/device").has(t, http.StatusForbidden, "does not allow programs")

	w.connections.set(tenants.SessionSettings{DeviceLogin: tenants.RecentDeviceLogin})
	p = w.asks()
	idp.saysAt(time.Now().Unix())
	before := b.principal().Session
	b.open(p.Whole).has(t, http.StatusOK, `value="`+p.User+`"`)
	if q := idp.lastAsked(); q.Get("max_age") == "" || b.principal().Session == before {
		t.Errorf("asked for %v", q)
	}
	form := b.enters(p.User)
	w.advance(16 * time.Minute) // too old again, and the code too
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if page := b.decides(form, "allow"); page.status != http.StatusSeeOther || !strings.Contains(page.header.Get("Location"), "fresh=yes") {
		t.Errorf("%d to %s", page.status, page.header.Get("Location"))
	}
	p.wants("expired_token")
}

// Of one network the newest wait, and never more than some.
func TestProgramsThatAskAreBounded(t *testing.T) {
	w, _, _ := deviceWorld(t)
	first := w.asks()
	for range 64 {
		w.asks()
	}
	first.wants("invalid_grant")
	var n int64
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(t.Context(), tx, store.Scalar[int64], `SELECT count(*) FROM device_codes`)
		return err
	}))
	if n != 64 {
		t.Errorf("%d wait", n)
	}
}

// Nothing takes effect without its record, and what cannot be made for want of the
// journal is made once it is back.
func TestP1_NoDeviceLoginWithoutItsRecord(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	form := b.enters(p.User)
	w.journal.fail(errors.New("disk full"))
	if a := w.program().post(atAsk, url.Values{"client_id": {"gatehouse-cli"}}, nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("asking: %+v", a)
	}
	b.decides(form, "allow").has(t, http.StatusServiceUnavailable)
	w.journal.mend()
	p.wants("authorization_pending")
	b.allows(p.User)
	w.journal.fail(errors.New("disk full"))
	if a := p.polls(); a.status != http.StatusServiceUnavailable || a.Token != "" {
		t.Errorf("polling: %+v", a)
	}
	w.journal.mend()
	p.wants("")
}

// Secrets are not at rest, and nowhere in the journal.
func TestP6_DeviceCodesAreHashesAtRest(t *testing.T) {
	w, _, p, token := signedIn(t)
	next := w.asks()
	text, err := json.Marshal(w.journal.events)
	check(t, err)
	var rows []string
	check(t, w.db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) (err error) {
		rows, err = store.All(t.Context(), tx, func(row store.Row) (string, error) {
			var a, b []byte
			err := row.Scan(&a, &b)
			return string(a) + string(b), err
		}, `SELECT device_hash, user_hash FROM device_codes`)
		return err
	}))
	for _, secret := range []string{p.Device, token, next.Device, next.User, strings.ReplaceAll(next.User, "-", "")} {
		if strings.Contains(string(text), secret) || strings.Contains(strings.Join(rows, " "), secret) {
			t.Errorf("%s is there", secret)
		}
	}
	if len(rows) != 2 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestOAuthMetadata(t *testing.T) {
	w := newWorld(t)
	page := w.browser().open("/.gatehouse/oauth/metadata")
	page.has(t, http.StatusOK, `"device_authorization_endpoint":"`+w.url+atAsk+`"`, `"token_endpoint":"`+w.url+atToken+`"`, `"token_endpoint_auth_methods_supported":["none"]`)
}

// However many ask at once, a code is good for one session.
func TestOnePollOfManyGetsTheToken(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	b.allows(p.User)
	w.advance(6 * time.Second)
	var all sync.WaitGroup
	answers := make([]answer, 8)
	for i := range answers {
		all.Go(func() { answers[i] = p.post(atToken, tokenForm(p.Device), nil) })
	}
	all.Wait()
	tokens := 0
	for _, a := range answers {
		switch {
		case a.Token != "":
			tokens++
		case a.Error != "slow_down" && a.Error != "invalid_grant":
			t.Errorf("%+v", a)
		}
	}
	if tokens != 1 || len(w.journal.all(audit.SignInSucceeded)) != 2 {
		t.Errorf("%d tokens, %d sign-ins", tokens, len(w.journal.all(audit.SignInSucceeded)))
	}
}
