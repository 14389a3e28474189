package authn_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/authn/signals/transmittertest"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// crossing is something that an address takes and that is one tenant's alone, and as
// a rule one browser's.
type crossing struct {
	takes string
	// anybody is why it is of no one browser; "" where it is of one.
	anybody string
	// make brings about a new one at acme, by b if it is a browser's.
	make func(x *crossed, b *browser) carried
}

// carried is a request with something in it, and how to tell that it was of effect.
type carried struct {
	method, path string
	form         url.Values
	header       http.Header
	body         string // instead of the form
	worked       func(answer *httptest.ResponseRecorder) bool
}

// crossed is a world with two tenants that trust the same providers by connections of
// the same names.
type crossed struct {
	*world
	t     *testing.T
	idp   *issuer
	hub   *oauth2test.Provider
	sends *transmittertest.Transmitter
	codes []string // for the recovery of mia
	n     int
}

func newCrossed(t *testing.T) *crossed {
	t.Helper()
	x := &crossed{world: newWorld(t), t: t, idp: newIssuer(t), hub: oauth2test.New(t), sends: transmittertest.New(t)}
	for _, c := range []tenants.Connection{heeding(x.idp, x.sends), x.hub.Connection(), samlWithLogout(ourKey()), samlByForm(ourKey())} {
		x.connections.put(c)
		if c.Type == tenants.OIDC {
			there := *c.OIDC
			there.ClientID = "globex" // as every tenant is a client of its own
			c.OIDC = &there
		}
		x.connections.putGlobex(c)
	}
	x.connections.setFactor(tenants.SecondFactor{Policy: tenants.FactorAlways})
	mia := x.browser()
	_, done := mia.enrolApp(x.come("mia", mia))
	x.connections.setFactor(tenants.SecondFactor{})
	for _, found := range codesOnPage.FindAllStringSubmatch(done.body, -1) {
		x.codes = append(x.codes, found[1])
	}
	return x
}

// come has somebody come to the door by the provider idp, in a new session of its.
func (x *crossed) come(who string, b *browser) page {
	x.t.Helper()
	x.n++
	x.idp.atIDPSession(who, fmt.Sprint("sid-", x.n), who+"@acme.example")
	set := x.idp.claims
	x.idp.mu.Lock()
	x.idp.claims = func(c jwt.MapClaims) { set(c); c["auth_time"] = x.clock().Unix() }
	x.idp.mu.Unlock()
	return b.open("/.gatehouse/login?connection=idp")
}

// someone signs in as somebody who was never here.
func (x *crossed) someone(b *browser) (name string) {
	x.t.Helper()
	name = fmt.Sprint("person-", x.n)
	x.come(name, b).has(x.t, http.StatusOK, "for "+name+"@acme.example")
	return name
}

// begun is the answer to a sign-in under way.
func (x *crossed) begun(b *browser, login string) url.Values {
	x.t.Helper()
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := noFollow.Get(b.look(login).header.Get("Location"))
	check(x.t, err)
	_ = resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	check(x.t, err)
	return back.Query()
}

// send sends what is carried to a tenant's host with all that a browser has.
func (x *crossed) send(tenant identity.TenantID, b *browser, c carried) *httptest.ResponseRecorder {
	x.t.Helper()
	host, text := x.url, c.body
	if tenant == globex {
		host = "https://globex.test"
	}
	if text == "" {
		text = c.form.Encode()
	}
	r := httptest.NewRequestWithContext(x.t.Context(), c.method, host+c.path, strings.NewReader(text))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	for name, values := range c.header {
		r.Header[name] = values
	}
	if tenant == globex {
		r.Header.Set("Test-Tenant", "globex")
	}
	u, err := url.Parse(x.url)
	check(x.t, err)
	for _, cookie := range b.Jar.Cookies(u) {
		r.AddCookie(cookie)
	}
	answer := httptest.NewRecorder()
	x.gate(answer, r)
	return answer
}

// signsIn reports whether an answer begins a session.
func signsIn(answer *httptest.ResponseRecorder) bool {
	return setsCookie(answer, httpkit.SessionCookie)
}

func setsCookie(answer *httptest.ResponseRecorder, name string) bool {
	for _, c := range answer.Result().Cookies() {
		if c.Name == name && c.Value != "" {
			return true
		}
	}
	return false
}

func showing(text string) func(*httptest.ResponseRecorder) bool {
	return func(answer *httptest.ResponseRecorder) bool {
		return answer.Code == http.StatusOK && strings.Contains(answer.Body.String(), text)
	}
}

// over reports whether the session that b has now is over by then.
func (x *crossed) over(b *browser) func(*httptest.ResponseRecorder) bool {
	token := b.cookie(httpkit.SessionCookie)
	return func(*httptest.ResponseRecorder) bool {
		_, err := x.sessions.Find(x.t.Context(), acme, token)
		return err != nil
	}
}

// recorded reports whether there is one more success of a type by then.
func (x *crossed) recorded(kind audit.Type) func(*httptest.ResponseRecorder) bool {
	count := func() (n int) {
		for _, e := range x.journal.all(kind) {
			if e.Outcome == audit.Success {
				n++
			}
		}
		return n
	}
	before := count()
	return func(*httptest.ResponseRecorder) bool { return count() > before }
}

// ofLocalAccounts are the addresses whose steps, links and passkeys the room of local
// accounts takes elsewhere itself (TestP3_LocalAccountsAreTheirTenants,
// TestALocalSignInIsForOneBrowserAndUse, TestAPersonChangesTheirPassword). A link is
// whoever's who has it.
var ofLocalAccounts = map[string]bool{
	"GET " + authn.PathLocal: true, "POST " + authn.PathLocal: true,
	"GET " + authn.PathPassword: true, "POST " + authn.PathPassword: true,
	"GET " + local.PathInvitation: true, "POST " + local.PathInvitation: true,
}

// TestP3_NothingOfAnotherTenantOrBrowserWorks takes everything that an address takes
// to the same address of another tenant, and from another browser. Each is good where
// it belongs. An address that is not in the table fails the test.
func TestP3_NothingOfAnotherTenantOrBrowserWorks(t *testing.T) {
	addresses := slices.Concat(mounted(t, ".", map[string]string{"tenants.LogoPath": tenants.LogoPath}), mounted(t, "setup", nil),
		mounted(t, "local", map[string]string{"PathInvitation": local.PathInvitation}))
	known := map[string]bool{}
	for _, address := range addresses {
		known[address] = true
		if ofLocalAccounts[address] {
			continue
		}
		_, takes := crossings[address]
		if _, nothing := takesNothing[address]; takes == nothing {
			t.Errorf("%s is mounted: say in the table what it takes that is of one tenant or browser, or why it takes nothing of the kind", address)
		}
	}
	x := newCrossed(t)
	eve := x.browser()
	x.someone(eve)
	if eve.cookie(httpkit.FlowCookie) == "" {
		t.Fatal("the other browser has nothing of its own")
	}
	for address, all := range crossings {
		if !known[address] {
			t.Errorf("%s is in the table, and not mounted", address)
		}
		for _, c := range all {
			t.Run(address+": "+c.takes, func(t *testing.T) { x.cross(t, eve, c) })
		}
	}
	if live, _, err := x.sessions.List(t.Context(), globex, sessions.Filter{}); err != nil || len(live) != 0 {
		t.Errorf("globex has sessions: %+v, %v", live, err)
	}
	if !eve.signedIn() {
		t.Error("the other browser's session was ended")
	}
}

func (x *crossed) cross(t *testing.T, eve *browser, c crossing) {
	x.t = t
	fresh := func() *browser {
		b := x.browser()
		b.t = t
		return b
	}
	b := fresh()
	it := c.make(x, b)
	if answer := x.send(globex, b, it); it.worked(answer) || signsIn(answer) {
		t.Errorf("at another tenant it works: %d %s", answer.Code, answer.Body)
	}
	if answer := x.send(acme, b, it); !it.worked(answer) {
		t.Errorf("where it belongs it does not work: %d %s", answer.Code, answer.Body)
	}
	if c.anybody != "" {
		return
	}
	b = fresh()
	it = c.make(x, b)
	if answer := x.send(acme, eve, it); it.worked(answer) || signsIn(answer) {
		t.Errorf("from another browser it works: %d %s", answer.Code, answer.Body)
	}
}

// TestEveryRoomsAddressesAreKnown: the rooms that answer below /.gatehouse/ beside
// these two take sessions and tokens alone, which e2e takes from one tenant to the
// other (TestP3_CredentialsOfOneTenantAreNothingAtAnother).
func TestEveryRoomsAddressesAreKnown(t *testing.T) {
	known := map[string]bool{"/.gatehouse": true, "/.gatehouse/": true, "/.gatehouse/setup": true, "/.gatehouse/setup/": true, local.PathInvitation: true,
		"/.gatehouse/api": true, "/.gatehouse/api/": true, "/scim/v2": true, "/scim/v2/": true,
		"/.gatehouse/console/": true, "GET /.gatehouse/console/": true, "/.gatehouse/jwks.json": true, "GET /.gatehouse/jwks.json": true, "GET /{$}": true}
	for _, address := range mounted(t, "../gateway", map[string]string{"setup.Path": "/.gatehouse/setup", "local.PathInvitation": local.PathInvitation}) {
		ops := strings.HasPrefix(address, "GET /healthz") || strings.HasPrefix(address, "GET /readyz") || strings.HasPrefix(address, "GET /metrics") || strings.HasPrefix(address, "GET /debug/")
		if !known[address] && !ops {
			t.Errorf("%s is mounted, and nobody has said what it takes", address)
		}
	}
}
