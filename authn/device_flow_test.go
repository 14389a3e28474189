package authn_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
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

func TestOAuthMetadata(t *testing.T) {
	w := newWorld(t)
	page := w.browser().open("/.gatehouse/oauth/metadata")
	page.has(t, http.StatusOK, `"device_authorization_endpoint":"`+w.url+atAsk+`"`, `"token_endpoint":"`+w.url+atToken+`"`, `"token_endpoint_auth_methods_supported":["none","client_secret_basic","client_secret_post"]`)
}
