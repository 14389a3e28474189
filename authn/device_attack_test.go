package authn_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

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
	// What a browser shows a second factor on is not for programs.
	if status, _ := p.as(bearer, "/.gatehouse/mfa"); status != http.StatusForbidden {
		t.Errorf("the page of second factors: %d", status)
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
	idp.claims = func(c jwt.MapClaims) {
		c["sub"], c["email"], c["auth_time"] = "subject-2", "bob@acme.example", time.Now().Unix()
	}
	idp.mu.Unlock()
	ann.open("/.gatehouse/login?fresh=yes").has(t, http.StatusOK, "for bob@acme.example")
	ann.decides(form, "allow").has(t, http.StatusForbidden, "by somebody else")
	if got := w.reasons(); got[len(got)-1] != "other-session" {
		t.Errorf("refused for %v", got)
	}
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
	w.connections.write(`UPDATE device_codes SET client = 'another'`)
	p.wants("invalid_grant")
	w.connections.write(`UPDATE device_codes SET client = 'gatehouse-cli'`)
	p.wants("")
}

// What a program says of itself is shown as that: marked, as text, and too little of it
// to tell a story.
func TestWhatAProgramSaysOfItselfIsShownAsThat(t *testing.T) {
	w, _, b := deviceWorld(t)
	p := w.program()
	story := "<b>Security check</b>: press Allow now to keep your access. " + strings.Repeat("Press Allow. ", 9)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+atAsk, strings.NewReader(url.Values{"client_id": {"gatehouse-cli"}, "device_name": {story}}.Encode()))
	check(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "good\xff \u202eevil\u200b <i>"+strings.Repeat("é", 90)+"the end")
	resp, err := p.Do(req)
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	check(t, json.NewDecoder(resp.Body).Decode(&p.codes))
	page := b.post("/.gatehouse/device", url.Values{"user_code": {p.User}})
	page.has(t, http.StatusOK, "that calls itself Gatehouse CLI", "nobody has checked", `dir="auto">&lt;b&gt;Security check&lt;/b&gt;: press Allow now …<`,
		`dir="auto">good evil &lt;i&gt;`, "é…<")
	for _, never := range []string{"<b>", "<i>", "to keep", "the end", "\xff", "\u202e", "\u200b", "\ufffd"} {
		if strings.Contains(page.body, never) {
			t.Errorf("%q is on the page", never)
		}
	}
	// What is known comes before what is said.
	if known, said := strings.Index(page.body, "203.0.113.7"), strings.Index(page.body, "nobody has checked"); known > said {
		t.Error("what the program says of itself comes first")
	}
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
