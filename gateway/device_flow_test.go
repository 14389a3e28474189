package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// resident is somebody signed in at a tenant, with a browser.
type resident struct {
	t      *testing.T
	user   identity.UserID
	cookie string
}

func (h *house) resident(acme *tenants.Tenant) *resident {
	h.t.Helper()
	ctx, services := h.t.Context(), h.Services()
	door, err := services.Tenants.PutConnection(ctx, cause, acme.ID, tenants.Connection{Name: "door", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: "https://door.example", ClientID: "gatehouse"}})
	must(h.t, err)
	user, err := h.rooms.directory.CreateUser(ctx, cause, acme.ID, directory.User{UserName: "ann", Email: "ann@acme.test", DisplayName: "Ann", Active: true, Source: directory.SourceAdmin})
	must(h.t, err)
	made, err := h.rooms.sessions.Create(ctx, cause, acme.ID, sessions.NewSession{User: user.ID, Connection: door.ID, ConnectionVersion: door.Version})
	must(h.t, err)
	return &resident{t: h.t, user: user.ID, cookie: httpkit.SessionCookie + "=" + made.Token}
}

var stepShown = regexp.MustCompile(`name="step" value="([^"]+)"`)

// allows says yes at a node's page to a program that shows a code.
func (r *resident) allows(h *house, code string) {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	must(r.t, err)
	transport := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return h.dial(nil) }}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport}
	send := func(form url.Values) string {
		r.t.Helper()
		req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "https://acme.test/.gatehouse/device", strings.NewReader(form.Encode()))
		must(r.t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Cookie", r.cookie)
		resp, err := browser.Do(req)
		must(r.t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		must(r.t, err)
		if resp.StatusCode != http.StatusOK {
			r.t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return string(body)
	}
	page := send(url.Values{"user_code": {code}})
	send(url.Values{"user_code": {code}, "step": {stepShown.FindStringSubmatch(page)[1]}, "decision": {"allow"}})
}

// asks has a program ask at a node, and gives its codes.
func (h *house) asks() (device, user string) {
	h.t.Helper()
	status, text := h.ask(http.MethodPost, "/.gatehouse/oauth/device_authorization", "client_id=gatehouse-cli&device_name=laptop", formType...)
	var codes struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
	}
	if err := json.Unmarshal([]byte(text), &codes); err != nil || status != http.StatusOK {
		h.t.Fatalf("%d %s", status, text)
	}
	return codes.Device, codes.User
}

// polls asks a node what became of it.
func (h *house) polls(device string) (token, problem string) {
	h.t.Helper()
	_, text := h.ask(http.MethodPost, "/.gatehouse/oauth/token", url.Values{"client_id": {"gatehouse-cli"},
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device}}.Encode(), formType...)
	var got struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		h.t.Fatalf("%v: %s", err, text)
	}
	return got.Token, got.Error
}

var formType = []string{"Content-Type", "application/x-www-form-urlencoded"}

// A program's session is let through to the app as a browser's, without what is
// there because browsers add cookies by themselves.
func TestAProgramAtTheGate(t *testing.T) {
	h := newHouse(t, map[string]string{"app.routes": "[ { path: /**, access: signed_in } ]"})
	ann := h.resident(h.acme)
	device, user := h.asks()
	ann.allows(h, user)
	token, problem := h.polls(device)
	if token == "" {
		t.Fatalf("error %q", problem)
	}
	bearer := []string{"Authorization", "Bearer " + token}
	foreign := []string{"Origin", "https://elsewhere.test", "Sec-Fetch-Site", "cross-site"}
	for what, c := range map[string]struct {
		header []string
		status int
	}{
		"a program":                             {bearer, http.StatusOK},
		"a program that says where it is from":  {append(foreign, bearer...), http.StatusOK},
		"a browser":                             {[]string{"Cookie", ann.cookie}, http.StatusOK},
		"a page of another site in the browser": {append(foreign, "Cookie", ann.cookie), http.StatusForbidden},
		"a program's token in a cookie":         {[]string{"Cookie", httpkit.SessionCookie + "=" + token}, http.StatusUnauthorized},
		"both":                                  {append([]string{"Cookie", ann.cookie}, bearer...), http.StatusUnauthorized},
		"nobody":                                {nil, http.StatusUnauthorized},
	} {
		if status, text := h.ask(http.MethodPost, "/x", "", c.header...); status != c.status {
			t.Errorf("%s at the app: %d, want %d: %s", what, status, c.status, text)
		}
		if status, text := h.ask(http.MethodPatch, "/.gatehouse/api/v1/me/devices/dev_none", `{"name":"x"}`, append([]string{"Content-Type", "application/json"}, c.header...)...); (status == http.StatusNotFound) != (c.status == http.StatusOK) {
			t.Errorf("%s at the API: %d: %s", what, status, text)
		}
	}
	// P2: what it has open ends with it.
	held := h.hold(bearer...)
	if _, err := h.rooms.sessions.Revoke(t.Context(), cause, h.acme.ID, sessions.Selector{User: ann.user}, "test"); err != nil {
		t.Fatal(err)
	}
	if !ended(held) {
		t.Error("what the program had open goes on")
	}
	if status, _ := h.ask(http.MethodGet, "/x", "", bearer...); status != http.StatusUnauthorized {
		t.Errorf("after its end: %d", status)
	}
	for _, e := range h.events(h.acme.ID) {
		if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), token) || strings.Contains(string(text), device) {
			t.Errorf("%v: %s", err, text)
		}
	}
	if strings.Contains(h.out.String(), token) || strings.Contains(h.out.String(), device) {
		t.Error("a secret is in the log")
	}
}

// A route that asks for a second factor serves no program that was allowed before it
// was shown: whoever had the session then, by whatever means, had shown none.
func TestAProgramHasNoFactorThatCameLater(t *testing.T) {
	h := newHouse(t, map[string]string{"app.routes": "[ { path: /pay, access: signed_in, step_up: mfa }, { path: /**, access: signed_in } ]"})
	ann := h.resident(h.acme)
	early, user := h.asks()
	ann.allows(h, user)

	live, err := h.rooms.sessions.Find(t.Context(), h.acme.ID, strings.TrimPrefix(ann.cookie, httpkit.SessionCookie+"="))
	must(t, err)
	made, err := h.rooms.sessions.Renew(t.Context(), cause, live, sessions.Renewal{FactorAt: time.Now(), AMR: []string{"otp", "mfa"}, Method: "totp"})
	must(t, err)
	ann.cookie = httpkit.SessionCookie + "=" + made.Token
	late, user := h.asks()
	ann.allows(h, user)
	if status, text := h.ask(http.MethodGet, "/pay", "", "Cookie", ann.cookie); status != http.StatusOK {
		t.Errorf("the person: %d %s", status, text)
	}

	for what, c := range map[string]struct {
		device string
		pay    int
	}{"allowed before the factor": {early, http.StatusUnauthorized}, "allowed after it": {late, http.StatusOK}} {
		token, problem := h.polls(c.device)
		if token == "" {
			t.Fatalf("%s: error %q", what, problem)
		}
		if status, text := h.ask(http.MethodGet, "/x", "", "Authorization", "Bearer "+token); status != http.StatusOK {
			t.Errorf("%s: %d %s", what, status, text)
		}
		status, text := h.ask(http.MethodGet, "/pay", "", "Authorization", "Bearer "+token)
		if status != c.pay || (status != http.StatusOK) != strings.Contains(text, "second-factor-needed") {
			t.Errorf("%s, where a factor is asked for: %d %s", what, status, text)
		}
	}
}

func (h *house) events(tenant identity.TenantID) (all []audit.Event) {
	h.t.Helper()
	for e, err := range h.rooms.journal.All(h.t.Context(), tenant) {
		must(h.t, err)
		all = append(all, e)
	}
	return all
}

// The program asks one node and its person answers at another, and what ends its
// session ends it on both.
func TestP2_ADeviceLoginOverTwoNodes(t *testing.T) {
	s := newStreet(t)
	acme, err := s.a.Services().Tenants.Create(t.Context(), cause, tenants.Tenant{Name: "acme", DisplayName: "Acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	must(t, err)
	ann := s.a.resident(acme)
	me := func(h *house, token string, want int) {
		t.Helper()
		if status, text := h.ask(http.MethodGet, "/.gatehouse/api/v1/me", "", "Authorization", "Bearer "+token); status != want {
			t.Errorf("%d, want %d: %s", status, want, text)
		}
	}
	login := func() string {
		t.Helper()
		device, _ := s.a.asks()
		if _, problem := s.b.polls(device); problem != "authorization_pending" {
			t.Errorf("at once: %q", problem)
		}
		if _, problem := s.a.polls(device); problem != "slow_down" { // the other node was asked just now
			t.Errorf("at the other node: %q", problem)
		}
		next, user := s.a.asks()
		ann.allows(s.b, user)
		token, problem := s.a.polls(next)
		if token == "" {
			t.Fatalf("allowed at the other node: %q", problem)
		}
		if _, problem := s.b.polls(next); problem != "invalid_grant" {
			t.Errorf("once more: %q", problem)
		}
		me(s.a, token, http.StatusOK)
		me(s.b, token, http.StatusOK)
		return token
	}
	token := login()
	if status, _ := s.b.ask(http.MethodPost, "/.gatehouse/oauth/revoke", url.Values{"client_id": {"gatehouse-cli"}, "token": {token}}.Encode(), formType...); status != http.StatusOK {
		t.Errorf("revoking: %d", status)
	}
	me(s.a, token, http.StatusUnauthorized)
	me(s.b, token, http.StatusUnauthorized)

	token = login()
	_, err = s.b.rooms.directory.UpdateUser(t.Context(), cause, acme.ID, ann.user, 0, func(u *directory.User) error { u.Active = false; return nil })
	must(t, err)
	me(s.a, token, http.StatusUnauthorized)
	me(s.b, token, http.StatusUnauthorized)

	// And they count together how often sign-ins are begun: as if others had begun so
	// many from here that it takes an hour until there may be one more (the script of
	// redis_rate counts from 2017 on).
	key := sha256.Sum256([]byte("signin network 127.0.0.1/32"))
	at := time.Now().Add(time.Hour).Unix() - time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	s.redis.Do("SET", "rate:test:throttle:"+hex.EncodeToString(key[:16]), at)
	for _, h := range []*house{s.a, s.b} {
		begun := 0
		h.soon("too many from this network", func() bool { // a node counts for itself for a second where Redis is slow
			status, text := h.ask(http.MethodPost, "/.gatehouse/oauth/device_authorization", "client_id=gatehouse-cli", formType...)
			if begun++; begun == 150 { // 200 are too many for the node itself
				t.Fatalf("with too many from this network: %d %s", status, text)
			}
			return status == http.StatusTooManyRequests && strings.Contains(text, "too-many-sign-ins")
		})
	}
}
