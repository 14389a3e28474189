package authn_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

func TestChooserKeepsTheTarget(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	second, off := idp.connection(), idp.connection()
	second.Name, off.Name, off.Enabled = "second", "off", false
	w.connections.put(second)
	w.connections.put(off)
	b := w.browser()
	p := b.open("/reports?x=1")
	p.has(t, http.StatusOK, "Continue with idp", `href="/.gatehouse/login?connection=second&amp;return_to=%2Freports%3Fx%3D1"`)
	if strings.Contains(p.body, "Continue with off") || strings.Contains(p.body, "<script") {
		t.Errorf("chooser: %s", p.body)
	}
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	b.open("/.gatehouse/login?connection=off").has(t, http.StatusForbidden, "switched off")
	b.open("/.gatehouse/login?connection=second&return_to=/reports").has(t, http.StatusOK, "app /reports")
}

func TestNobodySignsInWhereNothingIsConnectedOrServed(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.browser().open("/").has(t, http.StatusNotFound, "Nobody can sign in here yet")
	w.connections.put(idp.connection())
	w.connections.tenant.Status = tenants.Suspended
	w.browser().open("/").has(t, http.StatusForbidden, "suspended")
}

func TestStartsAreLimitedPerNetwork(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range startBurst {
		b.open("/.gatehouse/login").has(t, http.StatusSeeOther)
	}
	for range 10 * startBurst { // a slow machine earns some more on the way
		if p := b.open("/.gatehouse/login"); p.status != http.StatusSeeOther {
			if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") == "" {
				t.Errorf("status %d", p.status)
			}
			return
		}
	}
	t.Error("nobody was refused")
}

func TestLookingBeginsNothing(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	resp, err := b.Head(w.url + "/.gatehouse/login")
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || len(w.journal.all(audit.SignInStarted)) != 0 {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
}

func TestAddressesThatThereAreNot(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/.gatehouse/nothing", http.StatusNotFound, ""},
		{"GET", "/.gatehouse/oidc/idp/nothing", http.StatusNotFound, ""},
		{"PUT", "/.gatehouse/login", http.StatusMethodNotAllowed, "GET, HEAD, POST"},
		{"DELETE", "/.gatehouse/devices", http.StatusMethodNotAllowed, "GET, HEAD, POST"},
		{"POST", "/.gatehouse/oidc/idp/callback", http.StatusMethodNotAllowed, "GET, HEAD"},
		{"POST", "/.gatehouse/oauth2/hub/callback", http.StatusMethodNotAllowed, "GET, HEAD"},
	} {
		for accept, want := range map[string]string{"text/html": "text/html; charset=utf-8", "*/*": "application/problem+json"} {
			r := httptest.NewRequest(c.method, c.path, http.NoBody)
			r.Header.Set("Accept", accept)
			got := httptest.NewRecorder()
			w.Handler().ServeHTTP(got, w.passed(r))
			if got.Code != c.status || got.Header().Get("Allow") != c.allow || got.Header().Get("Content-Type") != want {
				t.Errorf("%s %s for %s: %d %v", c.method, c.path, accept, got.Code, got.Header())
			}
		}
	}
}

func TestDevicesPage(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	laptop, phone, third := w.browser(), w.browser(), w.browser()
	for _, b := range []*browser{laptop, phone, third} {
		b.open("/").has(t, http.StatusOK)
	}
	p := laptop.open("/.gatehouse/devices")
	p.has(t, http.StatusOK, "(this one)", "Firefox", "Sign out everywhere else", "203.0.113.7",
		"A new device has signed in as you", "(new)", "Known since")
	if strings.Count(p.body, "(new)") != 2 {
		t.Errorf("%d devices are new", strings.Count(p.body, "(new)"))
	}
	w.advance(8 * 24 * time.Hour)
	laptop.open("/.gatehouse/devices").has(t, http.StatusOK, "You are signed in on these devices")
	w.advance(-8 * 24 * time.Hour)
	if strings.Contains(p.body, "<script") {
		t.Error("the page needs a script")
	}
	live, err := w.sessions.Find(t.Context(), acme, phone.cookie(httpkit.SessionCookie))
	check(t, err)

	laptop.post("/.gatehouse/devices", url.Values{"device": {string(live.Principal().Device)}}).has(t, http.StatusOK, "Your devices")
	if _, err := w.sessions.Find(t.Context(), acme, phone.cookie(httpkit.SessionCookie)); err == nil {
		t.Error("the phone is still signed in")
	}
	laptop.post("/.gatehouse/devices", url.Values{"others": {"yes"}}).has(t, http.StatusOK, "Your devices")
	if _, err := w.sessions.Find(t.Context(), acme, third.cookie(httpkit.SessionCookie)); err == nil {
		t.Error("the third device is still signed in")
	}
	laptop.open("/x").has(t, http.StatusOK, "app /x")

	laptop.post("/.gatehouse/devices", nil).has(t, http.StatusBadRequest)
	laptop.post("/.gatehouse/devices", url.Values{"device": {"dev_guessed"}}).has(t, http.StatusNotFound)
	mine, err := w.sessions.Find(t.Context(), acme, laptop.cookie(httpkit.SessionCookie))
	check(t, err)
	laptop.post("/.gatehouse/devices", url.Values{"device": {string(mine.Principal().Device)}}).has(t, http.StatusOK, "You are signed out")
	if laptop.cookie(httpkit.SessionCookie) != "" {
		t.Error("the cookie is still there")
	}
}

func TestOthersDevicesAreOutOfReach(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	ann := w.browser()
	ann.open("/").has(t, http.StatusOK)
	w.connections.put(samlConnection(ourKey()))
	gil := w.browser()
	f := gil.samlFlight()
	gil.postFromElsewhere(f.acs, f.form(honest(t, f))).has(t, http.StatusOK, "for gil@globex.example")
	live, err := w.sessions.Find(t.Context(), acme, ann.cookie(httpkit.SessionCookie))
	check(t, err)
	gil.post("/.gatehouse/devices", url.Values{"device": {string(live.Principal().Device)}}).has(t, http.StatusNotFound)
	ann.open("/x").has(t, http.StatusOK, "app /x")
}

func TestP1_FormsOfOtherSitesAreRefusedAndRecorded(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	for _, path := range []string{"/.gatehouse/logout", "/.gatehouse/devices"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, strings.NewReader("others=yes"))
			check(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(name, value)
			b.read(b.Do(req)).has(t, http.StatusForbidden, "another site")
			refused := w.journal.all(audit.AccessRefused)
			if e := refused[len(refused)-1]; e.Reason != "cross-origin" || e.Path != path || e.Actor.Kind != identity.KindUser || e.Session == "" {
				t.Errorf("P1: recorded as %+v", e)
			}
		}
	}
	if n := len(w.journal.all(audit.AccessRefused)); n != 4 {
		t.Errorf("P1: %d records of 4 refusals", n)
	}
	b.open("/x").has(t, http.StatusOK, "app /x")
}

func TestP1_AmbiguousCredentialsAreRecorded(t *testing.T) {
	w := newWorld(t)
	r := httptest.NewRequest(http.MethodGet, "/.gatehouse/devices", nil)
	r.Header.Set("Cookie", httpkit.SessionCookie+"=a; "+httpkit.SessionCookie+"=b")
	answer := httptest.NewRecorder()
	w.gate(answer, r)
	if refused := w.journal.all(audit.AccessRefused); answer.Code != http.StatusUnauthorized || len(refused) != 1 || refused[0].Reason != "ambiguous-credentials" {
		t.Errorf("%d, recorded as %+v", answer.Code, refused)
	}
	w.journal.fail(errors.New("disk full"))
	answer = httptest.NewRecorder()
	if w.gate(answer, r); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("P7: %d without a journal", answer.Code)
	}
}

// What cannot be read is refused with a record that the page names, and floods
// of it are taken together.
func TestP1_FormsThatCannotBeReadAreRecorded(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	b.post("/.gatehouse/devices", url.Values{}).has(t, http.StatusBadRequest)
	refused := w.journal.all(audit.RequestRefused)
	if len(refused) != 1 || refused[0].Reason != "nothing-chosen" || refused[0].Actor.Kind != identity.KindUser || refused[0].Session == "" {
		t.Errorf("P1: a person's form is recorded as %+v", refused)
	}

	journal, err := audit.Open(audit.Options{Dir: t.TempDir(), Node: "n1", Keys: w.keys})
	check(t, err)
	t.Cleanup(func() { check(t, journal.Close()) })
	w.journal.floods = audit.NewRefusals(journal)
	const each = 15
	for body, status := range map[string]int{"SAMLResponse=%zz": http.StatusBadRequest, "SAMLResponse=" + strings.Repeat("A", 512<<10): http.StatusRequestEntityTooLarge} {
		for range each {
			r := httptest.NewRequest(http.MethodPost, "/.gatehouse/saml/idp/acs", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			answer := httptest.NewRecorder()
			w.gate(answer, r)
			var problem struct {
				Event identity.EventID `json:"event_id"`
			}
			check(t, json.Unmarshal(answer.Body.Bytes(), &problem))
			found := false
			for e, err := range journal.All(t.Context(), acme) {
				check(t, err)
				found = found || e.ID == problem.Event
			}
			if answer.Code != status || !found {
				t.Fatalf("P1: %d names the record %q: %s", answer.Code, problem.Event, answer.Body)
			}
		}
	}
	records := map[string][]audit.Event{}
	for e, err := range journal.All(t.Context(), acme) {
		check(t, err)
		records[e.Reason] = append(records[e.Reason], e)
	}
	for _, reason := range []string{"bad-form", "answer-too-large"} {
		all := records[reason]
		if n := len(all); n == 0 || n >= each {
			t.Errorf("%s: %d refusals have %d records", reason, each, n)
		} else if e := all[n-1]; e.Type != audit.RequestRefused || e.Path != "/.gatehouse/saml/idp/acs" || e.Details["aggregated"] != "first" {
			t.Errorf("%s: recorded as %+v", reason, e)
		}
	}
}

func TestSignOutOfASessionThatIsGone(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	live, err := w.sessions.Find(t.Context(), acme, b.cookie(httpkit.SessionCookie))
	check(t, err)
	_, err = w.sessions.EndUser(t.Context(), audit.SystemCause(), acme, live.Principal().User, "by-admin")
	check(t, err)
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK, "You are signed out")
	if b.cookie(httpkit.SessionCookie) != "" {
		t.Error("the cookie is still there")
	}
}

func TestP2_ASilentProviderKeepsNobodySignedIn(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	b := w.browser()
	b.open("/").has(t, http.StatusOK)
	asked, answer := make(chan struct{}), make(chan struct{})
	idp.mu.Lock()
	idp.before = func() { close(asked); <-answer }
	idp.mu.Unlock()
	w.advance(25 * time.Hour) // nothing is known of the provider any more
	token, signedOut := b.cookie(httpkit.SessionCookie), make(chan page)
	go func() { signedOut <- b.post("/.gatehouse/logout", nil) }()
	<-asked
	if _, err := w.sessions.Find(t.Context(), acme, token); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("while the provider is waited for, the session is there: %v", err)
	}
	close(answer)
	p := <-signedOut
	p.has(t, http.StatusOK, "You are signed out")
	idp.mu.Lock()
	defer idp.mu.Unlock()
	if idp.signedOut.Get("id_token_hint") == "" {
		t.Error("the provider was not told whose session ends")
	}
}

// Two session cookies must not lock anybody out of the addresses that would
// give them a good one.
func TestP3_AmbiguousCookiesAreClearedWherePeopleGetInAndOut(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	w.connections.put(idp.connection())
	for _, request := range []struct{ method, path string }{
		{http.MethodGet, "/.gatehouse/login"}, {http.MethodGet, "/.gatehouse/logout"}, {http.MethodPost, "/.gatehouse/logout"},
	} {
		r := httptest.NewRequest(request.method, request.path, nil)
		r.Header.Set("Cookie", httpkit.SessionCookie+"=a; "+httpkit.SessionCookie+"=b")
		answer := httptest.NewRecorder()
		w.gate(answer, r)
		cleared := slices.ContainsFunc(answer.Result().Cookies(), func(c *http.Cookie) bool {
			return c.Name == httpkit.SessionCookie && c.MaxAge < 0
		})
		if answer.Code >= http.StatusBadRequest || !cleared {
			t.Errorf("%s %s: %d, cleared %v", request.method, request.path, answer.Code, cleared)
		}
	}
}
