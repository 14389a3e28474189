package authn_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/directory"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Who may use a connection is its own to say, and what the provider does not say
// counts against them. Somebody who may not leaves no trace but the record.
func TestAConnectionsRulesDecideWhoGetsIn(t *testing.T) {
	for name, try := range map[string]struct {
		rules func(*tenants.Connection)
		says  map[string]any // beside a verified ann@acme.example
		want  authn.Reason   // "": in
	}{
		"no rules":                      {func(*tenants.Connection) {}, nil, ""},
		"a domain of theirs":            {func(c *tenants.Connection) { c.Admits.Domains = []string{"acme.example"} }, nil, ""},
		"in capitals":                   {func(c *tenants.Connection) { c.Admits.Domains = []string{"acme.example"} }, map[string]any{"email": "Ann@ACME.Example"}, ""},
		"a domain of others":            {func(c *tenants.Connection) { c.Admits.Domains = []string{"globex.example"} }, nil, "domain-not-allowed"},
		"a domain below":                {func(c *tenants.Connection) { c.Admits.Domains = []string{"acme.example"} }, map[string]any{"email": "ann@x.acme.example"}, "domain-not-allowed"},
		"a domain as a suffix":          {func(c *tenants.Connection) { c.Admits.Domains = []string{"acme.example"} }, map[string]any{"email": "ann@notacme.example"}, "domain-not-allowed"},
		"two domains in one address":    {func(c *tenants.Connection) { c.Admits.Domains = []string{"acme.example"} }, map[string]any{"email": "ann@evil.example@acme.example"}, "domain-not-allowed"},
		"an address nobody verified":    {func(c *tenants.Connection) { c.Admits.Domains = []string{"acme.example"} }, map[string]any{"email_verified": false}, "domain-not-allowed"},
		"a group of theirs":             {func(c *tenants.Connection) { c.Admits.Groups = []string{"app", "ops"} }, map[string]any{"groups": []string{"ops"}}, ""},
		"a group of others":             {func(c *tenants.Connection) { c.Admits.Groups = []string{"app"} }, map[string]any{"groups": []string{"ops", "apps"}}, "group-not-allowed"},
		"a group in other letters":      {func(c *tenants.Connection) { c.Admits.Groups = []string{"app"} }, map[string]any{"groups": []string{"APP"}}, "group-not-allowed"},
		"nothing said of groups":        {func(c *tenants.Connection) { c.Admits.Groups = []string{"app"} }, nil, "group-not-allowed"},
		"unknown, and SCIM alone makes": {func(c *tenants.Connection) { c.Unknown = tenants.RefuseUnknown }, nil, "person-unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp := newWorld(t), newIssuer(t)
			c := idp.connection()
			try.rules(&c)
			w.connections.put(c)
			idp.claims = func(claims jwt.MapClaims) {
				for k, v := range try.says {
					claims[k] = v
				}
			}
			b := w.browser()
			p := b.open("/x")
			if try.want == "" {
				p.has(t, http.StatusOK, "app /x")
				return
			}
			p.has(t, http.StatusForbidden, "You are not signed in", "Event")
			if got := w.journal.lastRefusal(t); got != try.want || b.cookie(httpkit.SessionCookie) != "" {
				t.Errorf("refused for %s, session %q", got, b.cookie(httpkit.SessionCookie))
			}
			if n := len(w.journal.all(audit.UserCreated)); n != 0 {
				t.Errorf("%d people were made", n)
			}
		})
	}
}

// Whoever SCIM has made comes in by a connection that makes nobody, by the name
// that the provider has for them.
func TestSCIMAloneMakesPeople(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	c := idp.connection()
	c.Unknown, c.Link = tenants.RefuseUnknown, tenants.LinkByExternalID
	w.connections.put(c)
	w.browser().open("/x").has(t, http.StatusForbidden, "You are not known here yet")
	_, err := w.directory.CreateUser(t.Context(), audit.SystemCause(), acme,
		directory.User{UserName: "ann", Email: "ann@acme.example", DisplayName: "Ann of SCIM", ExternalID: "subject-1", Active: true, Source: directory.SourceSCIM})
	check(t, err)
	w.browser().open("/x").has(t, http.StatusOK, "called Ann of SCIM")
}

// An address leads to the connection of its domain, which is told the address.
// Whether anybody has the address here makes no difference.
func TestAnAddressLeadsToTheConnectionOfItsDomain(t *testing.T) {
	w, idp, other := newWorld(t), newIssuer(t), newIssuer(t)
	c := idp.connection()
	c.DisplayName = "Acme Okta"
	w.connections.put(c)
	second := other.connection()
	second.Name = "other"
	w.connections.put(second)
	b := w.browser()
	if p := b.open("/.gatehouse/login"); strings.Contains(p.body, "email") {
		t.Errorf("an address is asked for where none leads anywhere: %s", p.body)
	}
	w.connections.setDomains(tenants.Domain{Name: "acme.example", Connection: "con_idp", VerifiedAt: time.Now()},
		tenants.Domain{Name: "unverified.example", Connection: "con_idp"})
	b.open("/y").has(t, http.StatusOK, `<input id="email"`, "Continue with Acme Okta", "Continue with other")

	for _, unknown := range []string{"ann@globex.example", "ann@unverified.example", "acme.example", "@acme.example", "ann@x@acme.example", "", strings.Repeat("a", 400) + "@acme.example"} {
		p := b.post("/.gatehouse/login", url.Values{"email": {unknown}, "return_to": {"/y"}})
		p.has(t, http.StatusOK, "No sign-in service is named for this address", "Continue with Acme Okta", "return_to=%2Fy")
	}
	for _, email := range []string{"nobody@acme.example", "Ann@ACME.example"} {
		p := b.post("/.gatehouse/login", url.Values{"email": {email}, "return_to": {"/y"}})
		p.has(t, http.StatusOK, "You go on to Acme Okta now", `http-equiv="refresh"`, idp.URL+"/authorize")
	}
	b.open(refreshOf(t, b.post("/.gatehouse/login", url.Values{"email": {"ann@acme.example"}, "return_to": {"/y"}}))).has(t, http.StatusOK, "app /y for ann@acme.example")

	// What another site sends begins nothing.
	if resp := b.sendFromElsewhere(w.url+"/.gatehouse/login", url.Values{"email": {"ann@acme.example"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %s", resp.Status)
	}
}

// Where a domain's people must sign in by its connection, no other lets them in,
// whoever says that they have the address.
func TestARequiredDomainSignsInByItsConnectionAlone(t *testing.T) {
	w, idp, other := newWorld(t), newIssuer(t), newIssuer(t)
	w.connections.put(idp.connection())
	second := other.connection()
	second.Name = "other"
	w.connections.put(second)
	domain := tenants.Domain{Name: "acme.example", Connection: "con_idp", Required: true}
	w.connections.setDomains(domain)
	w.browser().open("/.gatehouse/login?connection=other").has(t, http.StatusOK, "app /") // not verified yet
	live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
	check(t, err)
	domain.VerifiedAt = time.Now()
	w.connections.setDomains(domain)
	other.claims = func(c jwt.MapClaims) { c["sub"] = "another" }
	w.browser().open("/.gatehouse/login?connection=other").has(t, http.StatusForbidden, "sign in another way here")
	if got := w.journal.lastRefusal(t); got != "domain-elsewhere" {
		t.Errorf("refused for %s", got)
	}
	// The provider may say another address, or none: the directory knows theirs.
	other.claims = func(c jwt.MapClaims) { delete(c, "email") }
	other.userinfo = map[string]any{"sub": "subject-1"}
	w.browser().open("/.gatehouse/login?connection=other").has(t, http.StatusForbidden, "sign in another way here")
	if now, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive}); err != nil || len(now) != len(live) {
		t.Errorf("%d sessions, then %d: %v", len(live), len(now), err)
	}
}

// refreshOf is where a page sends the browser at once.
func refreshOf(t *testing.T, p page) string {
	t.Helper()
	_, rest, _ := strings.Cut(p.body, `content="0; url=`)
	target, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("the page sends nobody anywhere: %s", p.body)
	}
	return html.UnescapeString(target)
}
