package authn_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// program is somebody's command line.
type program struct {
	*http.Client
	t *testing.T
	w *world
	codes
}

type codes struct {
	Device   string `json:"device_code"`
	User     string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Whole    string `json:"verification_uri_complete"`
	Expires  int    `json:"expires_in"`
	Interval int    `json:"interval"`
}

type answer struct {
	Token   string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Error   string `json:"error"`
	status  int
	header  http.Header
}

func (w *world) program() *program {
	transport := &http.Transport{TLSClientConfig: insecure()}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &program{Client: &http.Client{Transport: transport}, t: w.t, w: w}
}

// send posts a body as a program does.
func (p *program) send(path, kind, body string, into any) answer {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.w.url+path, strings.NewReader(body))
	check(p.t, err)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "gatehouse/1.0 (linux; amd64)")
	resp, err := p.Do(req)
	check(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	check(p.t, err)
	var a answer
	if len(raw) > 0 {
		check(p.t, json.Unmarshal(raw, &a))
		if into != nil {
			check(p.t, json.Unmarshal(raw, into))
		}
	}
	a.status, a.header = resp.StatusCode, resp.Header
	return a
}

func (p *program) post(path string, form url.Values, into any) answer {
	p.t.Helper()
	return p.send(path, "application/x-www-form-urlencoded", form.Encode(), into)
}

const (
	atAsk    = "/.gatehouse/oauth/device_authorization"
	atToken  = "/.gatehouse/oauth/token"
	atRevoke = "/.gatehouse/oauth/revoke"
)

// asks has a program ask for its codes.
func (w *world) asks() *program {
	w.t.Helper()
	p := w.program()
	a := p.post(atAsk, url.Values{"client_id": {"gatehouse-cli"}, "device_name": {"ann's laptop"}}, &p.codes)
	if a.status != http.StatusOK || len(p.Device) != 43 || !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(p.User) ||
		p.Expires != 600 || p.Interval != 5 || p.URI != w.url+"/.gatehouse/device" || p.Whole != p.URI+"?user_code="+p.User {
		w.t.Fatalf("%d %+v", a.status, p.codes)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("cached as %q", a.header.Get("Cache-Control"))
	}
	return p
}

func tokenForm(device string) url.Values {
	return url.Values{"client_id": {"gatehouse-cli"}, "grant_type": {deviceGrant}, "device_code": {device}}
}

// polls asks what became of it, once the program has waited for long enough.
func (p *program) polls() answer {
	p.t.Helper()
	p.w.advance(6 * time.Second)
	return p.post(atToken, tokenForm(p.Device), nil)
}

func (p *program) wants(what string) answer {
	p.t.Helper()
	a := p.polls()
	if a.Error != what || (a.status == http.StatusOK) != (what == "") || (a.Token != "") != (what == "") {
		p.t.Fatalf("%d, error %q, token %v; wanted %q; recorded %v", a.status, a.Error, a.Token != "", what, p.w.reasons())
	}
	return a
}

// reasons are those of the refusals of programs so far.
func (w *world) reasons() (all []string) {
	for _, e := range w.journal.all(audit.DeviceLoginRefused) {
		all = append(all, e.Reason)
	}
	return all
}

// as shows a token for an address.
func (p *program) as(token, path string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.w.url+path, http.NoBody)
	check(p.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := p.Transport.RoundTrip(req)
	check(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	check(p.t, err)
	return resp.StatusCode, string(raw)
}

func (p *program) wantsAs(token string, status int) {
	p.t.Helper()
	if got, text := p.as(token, "/x"); got != status {
		p.t.Errorf("status %d, want %d: %s", got, status, text)
	}
}

var stepIn = regexp.MustCompile(`name="step" value="([^"]+)"`)

// enters goes to the page that shows what a code is for, and gives its form.
func (b *browser) enters(code string) url.Values {
	b.t.Helper()
	p := b.post("/.gatehouse/device", url.Values{"user_code": {code}})
	p.has(b.t, http.StatusOK, "Allow this program?", code)
	return url.Values{"user_code": {code}, "step": {stepIn.FindStringSubmatch(p.body)[1]}}
}

func (b *browser) decides(form url.Values, decision string) page {
	b.t.Helper()
	form.Set("decision", decision)
	return b.post("/.gatehouse/device", form)
}

func (b *browser) allows(code string) {
	b.t.Helper()
	b.decides(b.enters(code), "allow").has(b.t, http.StatusOK, "Allowed")
}

func (b *browser) principal() *identity.Principal {
	b.t.Helper()
	live, err := b.w.sessions.Find(b.t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(b.t, err)
	return live.Principal()
}

// deviceWorld has a person signed in.
func deviceWorld(t *testing.T) (*world, *issuer, *browser) {
	t.Helper()
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK, "app /")
	return w, idp, b
}

// signedIn has a person's program signed in.
func signedIn(t *testing.T) (*world, *browser, *program, string) {
	t.Helper()
	w, _, b := deviceWorld(t)
	p := w.asks()
	b.allows(p.User)
	return w, b, p, p.wants("").Token
}

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

func (w *world) deactivate(user identity.UserID) {
	w.t.Helper()
	_, err := w.directory.UpdateUser(w.t.Context(), audit.SystemCause(), acme, user, 0, func(u *directory.User) error { u.Active = false; return nil })
	check(w.t, err)
}

// A credential of one kind is worthless as another.
func TestTokensOfProgramsAreNoOthers(t *testing.T) {
	w, b, p, bearer := signedIn(t)
	cookie := b.cookie(httpkit.SessionCookie)
	_, api, err := w.tokens.Create(t.Context(), audit.SystemCause(), acme, token.Spec{Name: "ci", Scope: token.ScopeAPI, Role: "viewer", Expires: time.Now().Add(time.Hour)})
	check(t, err)
	next := w.asks()
	const sendsToSignIn = http.StatusSeeOther
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"the token":                               {bearer, http.StatusOK},
		"a cookie's value":                        {cookie, sendsToSignIn}, // the app's own, to us
		"a cookie's value in a program's dress":   {"gh_cli_" + cookie, http.StatusUnauthorized},
		"a cookie's value in a token's dress":     {"gh_" + cookie, http.StatusUnauthorized},
		"an API token in a program's dress":       {"gh_cli_" + strings.TrimPrefix(api, "gh_"), http.StatusUnauthorized},
		"a program's token in an API's dress":     {"gh_" + strings.TrimPrefix(bearer, "gh_cli_"), http.StatusUnauthorized},
		"without its prefix":                      {strings.TrimPrefix(bearer, "gh_cli_"), sendsToSignIn},
		"with another case":                       {"gh_CLI_" + strings.TrimPrefix(bearer, "gh_cli_"), http.StatusUnauthorized},
		"cut short":                               {bearer[:len(bearer)-1], http.StatusUnauthorized},
		"too long":                                {bearer + "A", http.StatusUnauthorized},
		"a device code":                           {next.Device, sendsToSignIn},
		"a device code in a program's dress":      {"gh_cli_" + next.Device, http.StatusUnauthorized},
		"a device code that was used, so dressed": {"gh_cli_" + p.Device, http.StatusUnauthorized},
	} {
		if status, _ := p.as(c.token, "/x"); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
	for name, value := range map[string]string{
		"a program's token": bearer, "without its prefix": strings.TrimPrefix(bearer, "gh_cli_"), "a device code": next.Device,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/x", http.NoBody)
		check(t, err)
		req.Header.Set("Cookie", httpkit.SessionCookie+"="+value)
		resp, err := p.Transport.RoundTrip(req)
		check(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != sendsToSignIn {
			t.Errorf("%s as a cookie: %d", name, resp.StatusCode)
		}
	}
	for name, code := range map[string]string{"a program's token": bearer, "a cookie's value": cookie, "an API token": api, "without its prefix": strings.TrimPrefix(bearer, "gh_cli_")} {
		if a := p.post(atToken, tokenForm(code), nil); a.Error != "invalid_grant" {
			t.Errorf("%s as a device code: %+v", name, a)
		}
	}
	// Who holds a cookie's or an API token ends nothing by it here.
	for _, other := range []string{cookie, "gh_cli_" + cookie, api, next.Device, "x"} {
		if a := p.post(atRevoke, url.Values{"client_id": {"gatehouse-cli"}, "token": {other}}, nil); a.status != http.StatusOK {
			t.Errorf("revoking answers %d", a.status)
		}
	}
	b.open("/x").has(t, http.StatusOK)
	if status, _ := p.as(api, "/.gatehouse/devices"); status == http.StatusUnauthorized {
		t.Error("the API token was revoked")
	}
	p.wantsAs(bearer, http.StatusOK)
	// Nor does a program let in others, which would outlive it.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/.gatehouse/device", strings.NewReader(url.Values{"user_code": {next.User}}.Encode()))
	check(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := p.Do(req)
	check(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a program at the page of people: %d", resp.StatusCode)
	}
	// A session and a token at once stay ambiguous.
	req.Header.Set("Cookie", httpkit.SessionCookie+"="+cookie)
	if _, err := w.Caller(w.passed(req)); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("with a cookie beside it: %v", err)
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

// A page that was made for one browser, person, code or use is worthless for others.
func TestADeviceLoginIsForOneBrowserPersonAndUse(t *testing.T) {
	w, idp, ann := deviceWorld(t)
	p := w.asks()
	form := ann.enters(p.User)

	other := w.browser()
	other.open("/").has(t, http.StatusOK)
	other.decides(form, "allow").has(t, http.StatusForbidden, "another browser")
	p.wants("authorization_pending")
	ann.decides(form, "allow").has(t, http.StatusForbidden, "answered already") // the step is used up
	p.wants("authorization_pending")

	// Another person in the same browser.
	form = ann.enters(p.User)
	idp.mu.Lock()
	idp.claims = nil
	idp.mu.Unlock()
	w.connections.put(samlConnection(ourKey()))
	ann.post("/.gatehouse/logout", nil)
	f := ann.samlFlight()
	ann.postFromElsewhere(f.acs, f.form([]byte(attack{}.forge(t, f)))).has(t, http.StatusOK, "for gil@globex.example")
	ann.decides(form, "allow").has(t, http.StatusForbidden)
	p.wants("authorization_pending")

	// Another code than the one that was shown.
	second := w.asks()
	form = ann.enters(p.User)
	form.Set("user_code", second.User)
	ann.decides(form, "allow").has(t, http.StatusForbidden, "another browser, or by somebody else")
	second.wants("authorization_pending")

	// A page of another site, with and without the step.
	form = ann.enters(p.User)
	form.Set("decision", "allow")
	if resp := ann.sendFromElsewhere(w.url+"/.gatehouse/device", form); resp.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", resp.StatusCode)
	}
	ann.decides(form, "maybe").has(t, http.StatusBadRequest)
	ann.post("/.gatehouse/device", url.Values{"user_code": {p.User}, "step": {"x"}, "decision": {"allow"}}).has(t, http.StatusForbidden)
	ann.post("/.gatehouse/device", url.Values{"user_code": {p.User, p.User}}).has(t, http.StatusBadRequest)
	p.wants("authorization_pending")

	// Two pages of one program: the first answer counts.
	first, again := ann.enters(p.User), ann.enters(p.User)
	ann.decides(first, "deny").has(t, http.StatusOK, "Denied")
	ann.decides(again, "allow").has(t, http.StatusForbidden, "answered already")
	p.wants("access_denied")
	if got := w.journal.all(audit.DeviceLoginAllowed); len(got) != 0 {
		t.Errorf("recorded as allowed: %+v", got)
	}
}

func TestGuessingUserCodes(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	for range 10 {
		b.post("/.gatehouse/device", url.Values{"user_code": {"BBBB-BBBB"}}).has(t, http.StatusForbidden, "No program shows this code")
	}
	// What cannot be a code tells nothing, and counts for nothing.
	b.post("/.gatehouse/device", url.Values{"user_code": {"hello"}}).has(t, http.StatusForbidden, "No program")
	page := b.post("/.gatehouse/device", url.Values{"user_code": {p.User}})
	page.has(t, http.StatusTooManyRequests)
	if page.header.Get("Retry-After") == "" {
		t.Error("it does not say for how long")
	}
	again := w.browser() // the same person anew
	again.open("/").has(t, http.StatusOK)
	again.post("/.gatehouse/device", url.Values{"user_code": {p.User}}).has(t, http.StatusTooManyRequests)
	reasons := w.reasons()
	if n := len(slices.DeleteFunc(slices.Clone(reasons), func(r string) bool { return r != "code-unknown" })); n != 11 || !slices.Contains(reasons, "too-many-codes") {
		t.Errorf("refused for %v", reasons)
	}
	// Opening a link guesses nothing.
	for range 20 {
		b.open("/.gatehouse/device?user_code=BBBB-BBBC").has(t, http.StatusOK)
	}
	w.advance(10 * time.Minute)
	p = w.asks()
	b.allows(p.User) // and what is right does not count
	b.post("/.gatehouse/device", url.Values{"user_code": {"BBBB-BBBB"}}).has(t, http.StatusForbidden, "No program")
	p.wants("")
}

func TestHostileProgramsGetNothing(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.asks()
	long := strings.Repeat("a", 9<<10)
	client := "client_id=gatehouse-cli"
	for name, c := range map[string]struct {
		path, kind, body string
		want             string
	}{
		"JSON":                     {atAsk, "application/json", `{"client_id":"gatehouse-cli"}`, "invalid_request"},
		"no type":                  {atAsk, "", client, "invalid_request"},
		"multipart":                {atAsk, "multipart/form-data; boundary=x", client, "invalid_request"},
		"in the address":           {atAsk + "?" + client, "application/x-www-form-urlencoded", "", "invalid_request"},
		"a field twice":            {atAsk, "application/x-www-form-urlencoded", client + "&" + client, "invalid_request"},
		"any field twice":          {atAsk, "application/x-www-form-urlencoded", client + "&x=1&x=2", "invalid_request"},
		"huge":                     {atAsk, "application/x-www-form-urlencoded", client + "&x=" + long, "invalid_request"},
		"many fields":              {atAsk, "application/x-www-form-urlencoded", client + strings.Repeat("&", 40) + numbered(40), "invalid_request"},
		"a bad escape":             {atAsk, "application/x-www-form-urlencoded", client + "&x=%zz", "invalid_request"},
		"a semicolon":              {atAsk, "application/x-www-form-urlencoded", client + ";x=1", "invalid_request"},
		"a zero byte":              {atAsk, "application/x-www-form-urlencoded", client + "&device_name=a%00b", "invalid_request"},
		"no UTF-8":                 {atAsk, "application/x-www-form-urlencoded", client + "&device_name=%ff", "invalid_request"},
		"a line break":             {atAsk, "application/x-www-form-urlencoded", client + "&device_name=a%0ab", "invalid_request"},
		"text turned round":        {atAsk, "application/x-www-form-urlencoded", client + "&device_name=%E2%80%AEnim", "invalid_request"},
		"a long name":              {atAsk, "application/x-www-form-urlencoded", client + "&device_name=" + long[:300], "invalid_request"},
		"no client":                {atAsk, "application/x-www-form-urlencoded", "", "invalid_request"},
		"an empty client":          {atAsk, "application/x-www-form-urlencoded", "client_id=", "invalid_request"},
		"a strange client":         {atAsk, "application/x-www-form-urlencoded", "client_id=evil", "invalid_client"},
		"a scope":                  {atAsk, "application/x-www-form-urlencoded", client + "&scope=openid", "invalid_scope"},
		"a token by JSON":          {atToken, "application/json", `{"device_code":"` + p.Device + `"}`, "invalid_request"},
		"a code in the address":    {atToken + "?device_code=" + p.Device, "application/x-www-form-urlencoded", client + "&grant_type=" + url.QueryEscape(deviceGrant), "invalid_request"},
		"two codes":                {atToken, "application/x-www-form-urlencoded", tokenForm(p.Device).Encode() + "&device_code=x", "invalid_request"},
		"no grant":                 {atToken, "application/x-www-form-urlencoded", client + "&device_code=" + p.Device, "invalid_request"},
		"another grant":            {atToken, "application/x-www-form-urlencoded", client + "&grant_type=authorization_code&code=x", "unsupported_grant_type"},
		"a password":               {atToken, "application/x-www-form-urlencoded", client + "&grant_type=password&username=ann&password=x", "unsupported_grant_type"},
		"no code":                  {atToken, "application/x-www-form-urlencoded", client + "&grant_type=" + url.QueryEscape(deviceGrant), "invalid_request"},
		"a code that is none":      {atToken, "application/x-www-form-urlencoded", tokenForm("x").Encode(), "invalid_grant"},
		"a code that there is not": {atToken, "application/x-www-form-urlencoded", tokenForm(strings.Repeat("A", 43)).Encode(), "invalid_grant"},
		"the person's code":        {atToken, "application/x-www-form-urlencoded", tokenForm(p.User).Encode(), "invalid_grant"},
		"another client's":         {atToken, "application/x-www-form-urlencoded", strings.Replace(tokenForm(p.Device).Encode(), "gatehouse-cli", "evil", 1), "invalid_client"},
		"revoke without a token":   {atRevoke, "application/x-www-form-urlencoded", client, "invalid_request"},
		"revoke in the address":    {atRevoke + "?token=x", "application/x-www-form-urlencoded", client, "invalid_request"},
	} {
		before := len(w.journal.all(audit.DeviceLoginRefused))
		asked := len(w.journal.all(audit.DeviceLoginAsked))
		a := p.send(c.path, c.kind, c.body, nil)
		if a.status != http.StatusBadRequest || a.Error != c.want || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.Error, c.want)
		}
		refused := w.journal.all(audit.DeviceLoginRefused)
		if len(refused) != before+1 || refused[before].Reason == "" || len(w.journal.all(audit.DeviceLoginAsked)) != asked {
			t.Errorf("%s: %d records", name, len(refused)-before)
			continue
		}
		if text := refused[before].Message; strings.Contains(text, p.Device) || strings.Contains(text, "evil") {
			t.Errorf("%s: recorded %q", name, text)
		}
	}
	// Pages of other sites do not ask.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+atAsk, strings.NewReader(client))
	check(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://evil.example")
	resp, err := p.Do(req)
	check(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another site: %d", resp.StatusCode)
	}
	b.allows(p.User)
	p.wants("")
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&f" + strings.Repeat("x", i+1) + "=1")
	}
	return b.String()
}

// Codes and their answers are a tenant's own.
func TestP3_DeviceCodesAreTheirTenants(t *testing.T) {
	w, _, b := deviceWorld(t)
	const globex identity.TenantID = "ten_globex"
	check(t, w.keys.Create(t.Context(), globex))
	check(t, w.db.Create(t.Context(), globex))
	p := w.asks()
	b.allows(p.User)
	a := w.at(globex, atToken, tokenForm(p.Device))
	if a.Error != "invalid_grant" {
		t.Errorf("the code of acme at globex: %+v", a)
	}
	token := p.wants("").Token
	if _, err := w.sessions.FindProgram(t.Context(), globex, token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the token of acme at globex: %v", err)
	}
	if a := w.at(globex, atRevoke, url.Values{"client_id": {"gatehouse-cli"}, "token": {token}}); a.status != http.StatusOK {
		t.Errorf("revoking at globex: %+v", a)
	}
	p.wantsAs(token, http.StatusOK)
}

// at sends a program's form to another tenant's host.
func (w *world) at(tenant identity.TenantID, path string, form url.Values) (a answer) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r = r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
		ClientIP: netip.MustParseAddr("203.0.113.7"), Tenant: tenant, Origin: "https://globex.example"}))
	got := httptest.NewRecorder()
	w.Handler().ServeHTTP(got, r)
	if got.Body.Len() > 0 {
		check(w.t, json.Unmarshal(got.Body.Bytes(), &a))
	}
	a.status = got.Code
	return a
}

func TestSettingsSayWhoMaySignInPrograms(t *testing.T) {
	w, idp, b := deviceWorld(t)
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
