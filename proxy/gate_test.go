package proxy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

func TestASignedInPersonReachesTheApp(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	for _, http2 := range []bool{false, true} {
		answer := w.get(w.client(http2), "/a%20b?c=%2F&d", &p, "Cookie", "theme=dark", "X-Own", "1")
		if got := w.body(answer); answer.StatusCode != http.StatusOK || got != "app" {
			t.Fatalf("%d %q", answer.StatusCode, got)
		}
		all := w.app.take()
		if len(all) != 1 || all[0].line != "GET /a%20b?c=%2F&d HTTP/1.1" {
			t.Fatalf("the app saw %+v", all)
		}
		s := all[0]
		id := answer.Header.Get("X-Gatehouse-Request-Id")
		for name, want := range map[string]string{
			"Host": "acme.test", "X-Own": "1", "Cookie": "theme=dark", "X-Gatehouse-Tenant": "acme",
			"X-Gatehouse-User": string(p.user.ID), "X-Gatehouse-Email": "mia@acme.test", "X-Gatehouse-Name": "mia",
			"X-Gatehouse-Session": string(p.session.ID), "X-Gatehouse-Request-Id": id,
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "acme.test",
		} {
			if got := s.values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		claims := w.claims(s.values("X-Gatehouse-Assertion")[0])
		if claims.Subject != string(p.user.ID) || claims.Session != string(p.session.ID) || claims.TenantID != string(w.acme.ID) {
			t.Errorf("assertion: %+v", claims)
		}
		last := w.lastRecord(w.acme.ID)
		if last.Type != audit.AccessAllowed || string(last.RequestID) != id || last.Path != "/a%20b" || last.Session != p.session.ID {
			t.Errorf("record: %+v", last)
		}
	}
}

func (w *world) lastRecord(tenant identity.TenantID) audit.Event {
	w.t.Helper()
	all := w.records(tenant)
	if len(all) == 0 {
		w.t.Fatal("no record")
	}
	return all[len(all)-1]
}

func TestWhereARequestEnds(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	other := w.signIn("noah")
	w.revoke(other)
	_, err := w.tenants.Update(t.Context(), audit.SystemCause(), w.globex.ID, 0, func(t *tenants.Tenant) error {
		t.Status = tenants.Suspended
		return nil
	})
	w.must(err)
	tests := map[string]struct {
		url       string
		person    *person
		header    []string
		status    int
		code      string // of the problem
		forwarded bool
		record    audit.Type
		tenant    identity.TenantID
	}{
		"signed in":              {url: "https://acme.test/", person: &p, status: 200, forwarded: true, record: audit.AccessAllowed, tenant: w.acme.ID},
		"public":                 {url: "https://acme.test/public/x", status: 200, forwarded: true, record: audit.AccessAllowed, tenant: w.acme.ID},
		"public, signed out":     {url: "https://acme.test/public/x", person: &other, status: 200, forwarded: true, record: audit.AccessAllowed, tenant: w.acme.ID},
		"API token":              {url: "https://acme.test/admin/x", header: []string{"Authorization", "Bearer " + ownerToken}, status: 200, forwarded: true, record: audit.AccessAllowed, tenant: w.acme.ID},
		"not allowed":            {url: "https://acme.test/admin/x", person: &p, status: 403, code: "not-allowed", record: audit.AccessRefused, tenant: w.acme.ID},
		"nobody":                 {url: "https://acme.test/", status: 401, code: "sign-in-required", record: audit.AccessRefused, tenant: w.acme.ID},
		"nobody in a browser":    {url: "https://acme.test/a", header: []string{"Accept", "text/html"}, status: 303, record: audit.AccessRefused, tenant: w.acme.ID},
		"signed out":             {url: "https://acme.test/", person: &other, status: 401, record: audit.AccessRefused, tenant: w.acme.ID},
		"garbage in the cookie":  {url: "https://acme.test/", person: &person{token: "garbage"}, status: 401, record: audit.AccessRefused, tenant: w.acme.ID},
		"garbage in the header":  {url: "https://acme.test/", person: &p, header: []string{"Authorization", "Bearer gh_x"}, status: 401, code: "token-unknown", record: audit.AccessRefused, tenant: w.acme.ID},
		"unknown host":           {url: "https://unknown.test/", person: &p, status: 421, code: "unknown-host", record: audit.RequestRefused, tenant: identity.Platform},
		"suspended tenant":       {url: "https://globex.test/", status: 403, code: "tenant-suspended", record: audit.AccessRefused, tenant: w.globex.ID},
		"malformed":              {url: "https://acme.test/a;b", person: &p, status: 400, code: "malformed-request", record: audit.RequestRefused, tenant: identity.Platform},
		"the operators' host":    {url: "https://admin.test/", status: 200},
		"an endpoint of our own": {url: "https://acme.test/.gatehouse/login", status: 200},
		"SCIM":                   {url: "https://acme.test/scim/v2/Users", status: 200},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, http2 := range []bool{false, true} {
				w.app.take()
				answer, err := w.client(http2).Do(w.request(http.MethodGet, test.url, nil, test.person, test.header...))
				w.must(err)
				body := w.body(answer)
				if answer.StatusCode != test.status {
					t.Fatalf("status %d: %s", answer.StatusCode, body)
				}
				id := answer.Header.Get("X-Gatehouse-Request-Id")
				if id == "" {
					t.Error("no request id")
				}
				if got := len(w.app.take()); got != map[bool]int{true: 1}[test.forwarded] {
					t.Errorf("%d requests reached the app", got)
				}
				if test.status == http.StatusSeeOther && answer.Header.Get("Location") != "/.gatehouse/login?return_to=/a" {
					t.Errorf("sent to %s", answer.Header.Get("Location"))
				}
				if test.status == http.StatusUnauthorized && !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Error("no WWW-Authenticate")
				}
				if test.record == "" {
					continue
				}
				last := w.lastRecord(test.tenant)
				if last.Type != test.record || string(last.RequestID) != id {
					t.Errorf("record %s of %s", last.Type, last.RequestID)
				}
				var problem httpkit.Problem
				if test.status < 400 {
					continue
				}
				if err := json.Unmarshal([]byte(body), &problem); err != nil {
					t.Fatalf("%v in %s", err, body)
				}
				if test.code != "" && problem.Type != "urn:gatehouse:problem:"+test.code || problem.EventID != string(last.ID) || problem.RequestID != id {
					t.Errorf("problem %+v, record %s", problem, last.ID)
				}
			}
		})
	}
}

func TestP3_AnotherTenantsPrincipalIsNobody(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	for _, header := range [][]string{{"Authorization", "Bearer " + ownerToken}, {"Cookie", httpkit.SessionCookie + "=" + p.token}} {
		answer, err := w.client(false).Do(w.request(http.MethodGet, "https://globex.test/", nil, nil, header...))
		w.must(err)
		if body := w.body(answer); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", header[0], answer.StatusCode, body)
		}
	}
	if got := w.app.take(); len(got) != 0 {
		t.Errorf("the app saw %+v", got)
	}
}

func TestP7_WhatIsNotReadyIsNotServed(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	c := w.client(false)
	w.notReady.Store(fault.New(fault.Unavailable, "journal-down", "The journal cannot be written."))
	for _, path := range []string{"/", "/public/x", "/.gatehouse/login"} {
		answer := w.get(c, path, &p)
		if body := w.body(answer); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
	}
	if got := w.app.take(); len(got) != 0 {
		t.Errorf("the app saw %+v", got)
	}
	w.notReady.Store(nil)
	if answer := w.get(c, "/", &p); w.body(answer) != "app" {
		t.Error("not served again once it is mended")
	}
}

type brokenJournal struct{}

func (brokenJournal) Write(context.Context, *audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, fault.New(fault.Unavailable, "journal-down", "The journal cannot be written.")
}

func (brokenJournal) Record(context.Context, audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, fault.New(fault.Unavailable, "journal-down", "The journal cannot be written.")
}

func TestP1_WithoutARecordNothingHappens(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Journal, c.Refusals = brokenJournal{}, brokenJournal{} })
	p := w.signIn("mia")
	for _, path := range []string{"/", "/public/x", "/admin/x", "/a;b"} {
		answer := w.get(w.client(false), path, &p)
		if body := w.body(answer); answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
	}
	if got := w.app.take(); len(got) != 0 {
		t.Errorf("the app saw %+v", got)
	}
}

// A permit and a receipt that are zero, of another tenant or of another
// request forward nothing.
func TestP1_ForwardTakesProofsOnly(t *testing.T) {
	w := newWorld(t, nil)
	decider := w.gate.config.Decider
	permit := func(tenant identity.TenantID) authz.Permit {
		p, _, err := decider.Decide(t.Context(), nil, authz.Query{Tenant: tenant, Access: authz.Public})
		w.must(err)
		return p
	}
	receipt := func(tenant identity.TenantID, request identity.RequestID) audit.Receipt {
		r, err := w.journal.Write(t.Context(), &audit.Event{Tenant: tenant, Type: audit.AccessAllowed, Outcome: audit.Success, RequestID: request})
		w.must(err)
		return r
	}
	refused, _, err := decider.Decide(t.Context(), nil, authz.Query{Tenant: w.acme.ID, Access: authz.NeedSignIn})
	w.must(err)
	tests := map[string]struct {
		permit  authz.Permit
		receipt func(identity.RequestID) audit.Receipt
	}{
		"no permit":                       {authz.Permit{}, func(id identity.RequestID) audit.Receipt { return receipt(w.acme.ID, id) }},
		"the permit of a refusal":         {refused, func(id identity.RequestID) audit.Receipt { return receipt(w.acme.ID, id) }},
		"a permit of another tenant":      {permit(w.globex.ID), func(id identity.RequestID) audit.Receipt { return receipt(w.acme.ID, id) }},
		"no receipt":                      {permit(w.acme.ID), func(identity.RequestID) audit.Receipt { return audit.Receipt{} }},
		"a receipt of another tenant":     {permit(w.acme.ID), func(id identity.RequestID) audit.Receipt { return receipt(w.globex.ID, id) }},
		"a receipt of another request":    {permit(w.acme.ID), func(identity.RequestID) audit.Receipt { return receipt(w.acme.ID, identity.NewRequestID()) }},
		"a receipt that names no request": {permit(w.acme.ID), func(identity.RequestID) audit.Receipt { return receipt(w.acme.ID, "") }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := w.gate.begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://acme.test/", http.NoBody))
			w.must(w.gate.findTenant(v))
			if err := w.gate.forward(v, newStream(v, nil), test.permit, test.receipt(v.ID)); !errors.Is(err, errUnproven) {
				t.Errorf("got %v", err)
			}
			if got := w.app.take(); len(got) != 0 {
				t.Errorf("the app saw %+v", got)
			}
		})
	}
}

func TestTheIdentityIsRenderedOnceUntilItChanges(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	c := w.client(false)
	sent := func() seen {
		w.body(w.get(c, "/", &p))
		all := w.app.take()
		if len(all) != 1 {
			t.Fatalf("the app saw %+v", all)
		}
		return all[0]
	}
	first, second := sent(), sent()
	if first.values("X-Gatehouse-Assertion")[0] != second.values("X-Gatehouse-Assertion")[0] {
		t.Error("signed anew for the second request")
	}
	_, err := w.people.UpdateUser(t.Context(), audit.SystemCause(), w.acme.ID, p.user.ID, 0, func(u *directory.User) error {
		u.DisplayName = "Mía, the 1st"
		return nil
	})
	w.must(err)
	third := sent()
	if got := third.values("X-Gatehouse-Name")[0]; got != "M%C3%ADa%2C the 1st" {
		t.Errorf("name %q", got)
	}
	if got := w.claims(third.values("X-Gatehouse-Assertion")[0]).Name; got != "Mía, the 1st" {
		t.Errorf("assertion says %q", got)
	}
}

func TestP6_TheGatesSecretsDoNotReachTheApp(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	c := w.client(false)
	session := httpkit.SessionCookie + "=" + p.token
	for _, test := range []struct{ cookie, want string }{
		{session, ""}, {"a=1; " + session, "a=1"}, {session + "; b=2", "b=2"}, {"a=1;" + session + ";b=2", "a=1; b=2"},
		{"a=1; " + session + "; " + httpkit.DeviceCookie + "=d; " + httpkit.FlowCookie + "=f", "a=1"},
		{session + "; __Host-gatehouse-new=x", ""}, {"a=1", "a=1"},
		// The token stands behind what only some readers take for blank.
		{"\u2000" + session + "; " + session + "; a=1; \u2000a=2", "a=1; \u2000a=2"}, {session + ";\u00a0" + strings.ToUpper(session), ""},
	} {
		path := "/"
		if test.cookie == "a=1" {
			path = "/public/x"
		}
		answer := w.get(c, path, nil, "Cookie", test.cookie)
		if body := w.body(answer); answer.StatusCode != http.StatusOK {
			t.Fatalf("%q: %d %s", test.cookie, answer.StatusCode, body)
		}
		got := strings.Join(w.app.take()[0].values("Cookie"), "|")
		if got != test.want {
			t.Errorf("%q arrived as %q", test.cookie, got)
		}
	}
	ours := "gh_" + strings.Repeat("Ab-_9", 8) + "xyz"
	theirs := "Token t=gh_" + strings.Repeat("a", 42)
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for value, want := range map[string]string{
		"Bearer " + ownerToken: "", "Bearer gh_other": "", "bearer  gh_other": "", "Basic dXNlcjpwYXNz": "Basic dXNlcjpwYXNz", theirs: theirs,
		ours: "", "Bearer\t" + ours: "", "Token " + ours: "", "Token token=\"" + ours + "\"": "", "X gh_a,gh_" + ours: "", basic("x:" + ours): "", basic(ours + ":"): "",
	} {
		w.body(w.get(c, "/public/x", nil, "Authorization", value))
		if got := strings.Join(w.app.take()[0].values("Authorization"), "|"); got != want {
			t.Errorf("Authorization %q arrived as %q", value, got)
		}
	}
	for value, want := range map[string]string{
		"https://acme.test/.gatehouse/oidc/okta/callback?code=c&state=s": "", "https://acme.test/list?page=2": "https://acme.test/list?page=2",
	} {
		w.body(w.get(c, "/public/x", nil, "Referer", value))
		if got := strings.Join(w.app.take()[0].values("Referer"), "|"); got != want {
			t.Errorf("Referer %q arrived as %q", value, got)
		}
	}
}

func TestTheAppCannotSpeakForTheGate(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	w.app.handle(func(rw http.ResponseWriter, _ *http.Request) {
		h := rw.Header()
		h.Add("Set-Cookie", "own=1")
		h.Add("Set-Cookie", httpkit.SessionCookie+"=fixed; Secure; Path=/")
		h.Add("Set-Cookie", "="+httpkit.SessionCookie+"=fixed; Secure; Path=/")
		h.Set("X-Gatehouse-Request-Id", "forged")
		h.Set("X-Gatehouse-Other", "forged")
		h.Set("Connection", "X-Private")
		h.Set("X-Private", "1")
		h.Set("Keep-Alive", "timeout=5")
		h["Content-Type"] = nil
		_, _ = rw.Write([]byte("<html>"))
	})
	answer := w.get(w.client(false), "/", &p)
	w.body(answer)
	h := answer.Header
	if got := h["Set-Cookie"]; len(got) != 1 || got[0] != "own=1" {
		t.Errorf("cookies %q", got)
	}
	if !strings.HasPrefix(h.Get("X-Gatehouse-Request-Id"), "req_") || len(h["X-Gatehouse-Request-Id"]) != 1 {
		t.Errorf("request id %q", h["X-Gatehouse-Request-Id"])
	}
	for _, name := range []string{"X-Gatehouse-Other", "X-Private", "Keep-Alive", "Content-Type"} {
		if got := h.Get(name); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestHeaderNamesAreConfigurableAndChecked(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Headers.User, c.Headers.RequestID = "x-remote-user", "X-Trace" })
	p := w.signIn("mia")
	answer := w.get(w.client(false), "/", &p, "X-Remote-User", "evil", "X_Remote.User", "evil", "X-Trace", "evil")
	w.body(answer)
	s := w.app.take()[0]
	if got := s.values("X-Remote-User"); len(got) != 1 || got[0] != string(p.user.ID) {
		t.Errorf("user %q", got)
	}
	if got := s.values("X_Remote.User"); len(got) != 0 {
		t.Errorf("another spelling arrived: %q", got)
	}
	if got := s.values("X-Trace"); len(got) != 1 || got[0] != answer.Header.Get("X-Trace") {
		t.Errorf("request id %q", got)
	}
	for _, bad := range []HeaderNames{{User: "Cookie"}, {User: "Host"}, {User: "a b"}, {User: "X_User"}, {User: "X-Gatehouse-Email"}, {Email: "Connection"}} {
		if err := bad.withDefaults().check(); err == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

func TestTheLoadIsBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.Requests, c.Limits.PerClient = 3, 2 })
	entered, release := make(chan struct{}), make(chan struct{})
	w.app.handle(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-release })
	c := w.client(true)
	done := make(chan int, 2)
	for range 2 {
		go func() { done <- w.get(c, "/public/x", nil).StatusCode }()
		<-entered
	}
	if answer := w.get(c, "/public/x", nil); answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("the third of one client: %d", answer.StatusCode)
	}
	close(release)
	for range 2 {
		if got := <-done; got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
	for w.gate.load.total.Load() != 0 { // the places are given back after the answers
		runtime.Gosched()
	}
	for i := range w.gate.load.shards {
		if n := len(w.gate.load.shards[i].count); n != 0 {
			t.Errorf("%d addresses are still counted", n)
		}
	}
}
