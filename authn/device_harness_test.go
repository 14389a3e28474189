package authn_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// program is somebody's command line.
type program struct {
	*http.Client
	t testing.TB
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

	DeviceToken string `json:"device_token"`

	status int
	header http.Header
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

func (w *world) deactivate(user identity.UserID) {
	w.t.Helper()
	_, err := w.directory.UpdateUser(w.t.Context(), audit.SystemCause(), acme, user, 0, func(u *directory.User) error { u.Active = false; return nil })
	check(w.t, err)
}
