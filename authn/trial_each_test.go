package authn_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/beevik/etree"
	"github.com/golang-jwt/jwt/v5"

	"gatehouse/audit"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/authn/setup"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// tried is a provider of one protocol, at which connections are tried.
type tried struct {
	connection tenants.Connection
	// visit goes where an address of ours leads, signs in there, and comes back.
	visit func(b *browser, begin string) page
	// says is what a test shows of who is signed in there.
	says []string
	// spoil has the provider answer what is refused, for the reason that it gives; shows
	// is what a test then shows of it.
	spoil func() (reason string, shows []string)
}

// triedBy are the providers, by protocol. All have something in what they say that
// would be markup.
var triedBy = map[tenants.ConnectionType]func(t *testing.T) *tried{
	tenants.OIDC: func(t *testing.T) *tried {
		idp := newIssuer(t)
		idp.claims = func(c jwt.MapClaims) { c["department"] = "<b>Finance</b>" }
		return &tried{connection: idp.connection(), visit: (*browser).open, says: []string{"subject-1", "ann@acme.example", "&lt;b&gt;Finance&lt;/b&gt;", "ops",
			"<dt>Issuer</dt><dd>" + idp.URL + "<br>expected: " + idp.URL + "</dd>", "<dt>Audience</dt><dd>" + clientID + "<br>", "Valid until", "Issued at"},
			spoil: func() (string, []string) {
				idp.claims = func(c jwt.MapClaims) { c["aud"], c["department"] = "another", "<b>Finance</b>" }
				return "wrong-audience", []string{"was made for another client", "<dt>Audience</dt><dd>another (not verified)<br>expected: " + clientID + "</dd>",
					"<dt>Issuer</dt><dd>" + idp.URL + " (not verified)<br>expected: " + idp.URL, "Valid until", "nothing here is verified", "&lt;b&gt;Finance&lt;/b&gt;"}
			}}
	},
	tenants.OAuth2: func(t *testing.T) *tried {
		hub := oauth2test.New(t)
		ann := oauth2test.Ann()
		ann.Login = "<b>Finance</b>"
		hub.SignIn(ann)
		return &tried{connection: hub.Connection(), visit: (*browser).open, says: []string{"9007199254740993", "ann@acme.example", "&lt;b&gt;Finance&lt;/b&gt;", "acme/payments"},
			spoil: func() (string, []string) {
				hub.Instead(oauth2test.User, func(w http.ResponseWriter, _ *http.Request) {
					oauth2test.Reply(w, map[string]string{"login": "<b>ann</b>"})
				})
				return "subject-unusable", []string{"missing, or neither text", "<dt>Claim that names the subject</dt><dd>id</dd>", "<dt>login</dt><dd>&lt;b&gt;ann&lt;/b&gt;</dd>"}
			}}
	},
	tenants.SAML: func(*testing.T) *tried {
		p := samlTried(samlConnection(ourKey()), func(*message) {})
		p.spoil = func() (string, []string) {
			p.visit = samlTried(p.connection, func(m *message) { m.Audience = "https://another.example" }).visit
			return "wrong-audience", []string{"meant for another audience", "<dt>Audience</dt><dd>https://another.example<br>expected: https://127.0.0.1:", "&lt;b&gt;Finance&lt;/b&gt;",
				"<dt>Issuer</dt><dd>" + idpEntity + "<br>expected: " + idpEntity, "<dt>Issuer of the response</dt><dd>" + idpEntity + " (not verified)"}
		}
		return p
	},
}

// samlTried is a provider that signs what of it makes of its answer.
func samlTried(c tenants.Connection, of func(*message)) *tried {
	department := func(t testing.TB, f attacktest.Flight, doc *etree.Document) {
		el := assertionOf(doc).SelectElement("AttributeStatement").CreateElement("saml:Attribute")
		el.CreateAttr("Name", "department")
		el.CreateElement("saml:AttributeValue").SetText("<b>Finance</b>")
		attacktest.SignAssertion(t, f, doc)
	}
	return &tried{connection: c, says: []string{"gil@globex.example", "&lt;b&gt;Finance&lt;/b&gt;", "Gil", "<dt>Issuer</dt><dd>" + idpEntity + "<br>expected: " + idpEntity, "Valid until",
		attacktest.Fingerprint(attacktest.OurKey())}, visit: func(b *browser, begin string) page {
		f := b.samlFlightBy(begin)
		of(&f.message)
		return b.postFromElsewhere(f.acs, f.form([]byte(attacktest.Attack{With: department}.Forge(b.t, attacktest.Flight{Message: f.message}))))
	}}
}

// leftNothing fails where a browser, the directory or the journal has anything of
// somebody who has only tried a connection.
func (b *browser) leftNothing() {
	b.t.Helper()
	if b.cookie(httpkit.SessionCookie) != "" || b.cookie(httpkit.DeviceCookie) != "" {
		b.t.Error("the test signed somebody in")
	}
	users, err := b.w.directory.Users(b.t.Context(), acme, directory.UserQuery{})
	check(b.t, err)
	groups, err := b.w.directory.Groups(b.t.Context(), acme, directory.GroupQuery{})
	check(b.t, err)
	live, _, err := b.w.sessions.List(b.t.Context(), acme, sessions.Filter{})
	check(b.t, err)
	if len(users.Items)+len(groups.Items)+len(live) != 0 {
		b.t.Errorf("the test left %v, %v and %v behind", users.Items, groups.Items, live)
	}
	for _, kind := range []audit.Type{audit.UserCreated, audit.GroupCreated, audit.SignInSucceeded, audit.SignInRefused, audit.DeviceNew} {
		if n := len(b.w.journal.all(kind)); n != 0 {
			b.t.Errorf("%d records of %s", n, kind)
		}
	}
}

// TestATestByEveryProtocol: whichever way a provider's answer comes, a test shows what
// is in it, says what would have become of it or what is wrong, and signs nobody in;
// its answer is good once.
func TestATestByEveryProtocol(t *testing.T) {
	for protocol, at := range triedBy {
		outcome := func(what, title string, change func(*tenants.Connection, *tried) (reason string, shows []string)) {
			t.Run(string(protocol)+": "+what, func(t *testing.T) {
				w, p := newWorld(t), at(t)
				c := p.connection
				c.Enabled = false
				c.GroupRules = []tenants.GroupRule{{Claim: "department", Values: []string{"<b>Finance</b>"}, Group: "finance"}}
				reason, shows := change(&c, p)
				w.connections.put(c)
				b := w.browser()
				b.t = t
				shown := p.visit(b, w.trial(t, c.Name))
				shown.has(t, http.StatusOK, append(shows, title)...)
				if strings.Contains(shown.body, "<b>") {
					t.Errorf("what the provider says is markup: %s", shown.body)
				}
				b.leftNothing()
				outcome := audit.Success
				if reason != "" {
					outcome = audit.Refused
				}
				tested := w.journal.all(audit.ConnectionTested)
				if len(tested) != 1 || tested[0].Outcome != outcome || tested[0].Reason != reason || tested[0].Actor.Name != "admin@acme.example" || tested[0].Connection != "con_"+identity.ConnectionID(c.Name) {
					t.Errorf("recorded: %+v", tested)
				}
				kept, err := w.connections.Connection(t.Context(), acme, c.Name)
				check(t, err)
				if counts, err := w.Tested(t.Context(), acme, kept); err != nil || counts != (reason == "") {
					t.Errorf("counts as tested: %v, %v", counts, err)
				}
			})
		}
		outcome("works", "works", func(_ *tenants.Connection, p *tried) (string, []string) {
			return "", append(p.says, "a new person would be made")
		})
		outcome("an answer that is refused", "does not work yet", func(_ *tenants.Connection, p *tried) (string, []string) { return p.spoil() })
		outcome("a domain of others", "does not let this person in", func(c *tenants.Connection, p *tried) (string, []string) {
			c.Admits.Domains = []string{"other.example"}
			return "domain-not-allowed", p.says
		})
		outcome("nobody known", "does not let this person in", func(c *tenants.Connection, p *tried) (string, []string) {
			c.Unknown = tenants.RefuseUnknown
			return "person-unknown", p.says
		})
	}
}

// Whichever protocol it is by, a test is begun once, by its own address, and neither
// what it was begun with nor its answer opens anything.
func TestATestByEveryProtocolIsNoWayIn(t *testing.T) {
	for protocol, at := range triedBy {
		t.Run(string(protocol), func(t *testing.T) {
			w, p := newWorld(t), at(t)
			w.connections.put(p.connection)
			path := w.trial(t, p.connection.Name)
			var sent []*http.Request // to us, with the answer
			b := w.browser()
			b.t = t
			b.Transport = watched{b.Transport, func(r *http.Request) {
				if strings.HasPrefix(r.URL.String(), w.url+"/.gatehouse/"+string(protocol)+"/") {
					sent = append(sent, r)
				}
			}}
			p.visit(b, path).has(t, http.StatusOK, "works")
			if len(sent) != 1 {
				t.Fatalf("the answer came in %d requests", len(sent))
			}
			b.open(path).has(t, http.StatusForbidden, "used already")
			again := sent[0].Clone(t.Context())
			if sent[0].GetBody != nil {
				body, err := sent[0].GetBody()
				check(t, err)
				again.Body = body
			}
			b.read(b.Transport.RoundTrip(again)).has(t, http.StatusForbidden, "used already")
			// The token of the test itself is none of an answer.
			token := w.trial(t, p.connection.Name)
			token = token[strings.LastIndex(token, "=")+1:]
			b.open("/.gatehouse/" + string(protocol) + "/" + p.connection.Name + "/callback?code=c0de&state=" + token)
			b.postFromElsewhere(w.url+"/.gatehouse/saml/adfs/acs", url.Values{"RelayState": {token}, "SAMLResponse": {"PHg+"}}).has(t, http.StatusForbidden, "not signed in")
			b.open("/.gatehouse/saml/adfs/acs?step="+token).has(t, http.StatusForbidden, "not signed in")
			if b.cookie(httpkit.SessionCookie) != "" || len(w.journal.all(audit.SignInSucceeded)) != 0 {
				t.Error("somebody was signed in")
			}
		})
	}
}

// watched tells of requests.
type watched struct {
	http.RoundTripper

	of func(*http.Request)
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	w.of(r)
	return w.RoundTripper.RoundTrip(r)
}

// posing sends what is for a host of the internet to the server that stands for it.
type posing struct {
	http.RoundTripper

	w *world
}

func (p posing) RoundTrip(r *http.Request) (*http.Response, error) {
	known, _ := p.w.posing.Load(r.URL.Host)
	if at, ok := known.(string); ok {
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = "http", at, ""
	}
	return p.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections is what clients look for.
func (p posing) CloseIdleConnections() {
	(&http.Client{Transport: p.RoundTripper}).CloseIdleConnections()
}

// TestALinkConnectsEveryProtocol: as by OpenID Connect, whoever has a set-up link
// connects a provider of SAML, by the address of its metadata or the metadata itself,
// and GitHub.
func TestALinkConnectsEveryProtocol(t *testing.T) {
	for name, try := range map[string]struct {
		at   func(w *world) *tried
		says string // the page with what to enter
		form url.Values
		kept func(tenants.Connection) bool
		in   string // whom the app behind is asked for at last
	}{
		"SAML, by an address": {func(*world) *tried {
			p := publish(t, idpMetadata(sso, ourKey()))
			return samlTried(tenants.Connection{SAML: &tenants.SAMLSpec{IDPMetadata: tenants.MetadataSource{URL: p.URL}}}, func(*message) {})
		}, "/.gatehouse/saml/corp/acs", url.Values{"provider": {"saml"}, "email": {"mail"}},
			func(c tenants.Connection) bool {
				return c.SAML.IDPMetadata.URL != "" && c.SAML.IDPMetadata.XML == "" && c.SAML.Attributes.Email == "mail"
			}, "gil@globex.example"},
		"SAML, pasted": {func(*world) *tried {
			return samlTried(samlConnection(ourKey()), func(*message) {})
		}, "/.gatehouse/saml/corp/metadata", url.Values{"provider": {"google-saml"}, "email": {"mail"}, "name": {"displayName"}},
			func(c tenants.Connection) bool {
				return c.SAML.IDPMetadata.URL == "" && strings.Contains(c.SAML.IDPMetadata.XML, idpEntity) && c.SAML.Attributes.Name == "displayName"
			}, "gil@globex.example called Gil"},
		"GitHub": {func(w *world) *tried {
			hub := oauth2test.New(t)
			for _, host := range []string{"github.com", "api.github.com"} {
				w.posing.Store(host, strings.TrimPrefix(hub.URL, "http://"))
			}
			return &tried{visit: (*browser).open, says: []string{"9007199254740993", "acme/payments"}}
		}, "/.gatehouse/oauth2/corp/callback", url.Values{"provider": {"github"}, "client_id": {oauth2test.ClientID}, "client_secret": {oauth2test.ClientSecret}, "allowed_groups": {"acme"}},
			func(c tenants.Connection) bool {
				return c.OAuth2.Preset == tenants.PresetGitHub && c.OAuth2.ClientSecret == oauth2test.ClientSecret && len(c.Admits.Groups) == 1
			}, "ann@acme.example called Ann"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := try.at(w)
			if saml := p.connection.SAML; saml != nil {
				try.form.Set("metadata_url", saml.IDPMetadata.URL)
				try.form.Set("metadata", saml.IDPMetadata.XML)
			}
			_, path := w.link(t, setup.Terms{DisplayName: "Acme corporate", DefaultRole: "member"})
			b := w.browser()
			b.t = t
			b.Transport = posing{b.Transport, w}
			b.begin(path).has(t, http.StatusOK, "Which identity provider do you have?")
			b.open(setup.Path+"?provider="+try.form.Get("provider")).has(t, http.StatusOK, w.url+try.says)
			entered := b.post(setup.Path+"/save", try.form)
			entered.has(t, http.StatusOK, "What you entered is kept", "Try the connection")
			if secret := try.form.Get("client_secret"); secret != "" && strings.Contains(entered.body, secret) {
				t.Error("the page shows the secret")
			}
			b.post(setup.Path+"/finish", nil).has(t, http.StatusConflict, "Try the connection first")
			test := func() string {
				return refreshOf(t, b.post(setup.Path+"/test", url.Values{"provider": {try.form.Get("provider")}}))
			}
			p.visit(b, test()).has(t, http.StatusOK, append(p.says, "Acme corporate works", "Back to the set-up", "Whether that is so is not shown here")...)
			b.leftNothing()
			b.post(setup.Path+"/save", try.form).has(t, http.StatusOK, "is kept") // changed since: what was tried was another
			b.post(setup.Path+"/finish", nil).has(t, http.StatusConflict, "Try the connection first")
			p.visit(b, test()).has(t, http.StatusOK, "works")
			b.post(setup.Path+"/finish", nil).has(t, http.StatusOK, "Your people can sign in now")

			person := w.browser()
			person.t = t
			person.Transport = posing{person.Transport, w}
			p.visit(person, "/.gatehouse/login?connection=corp&return_to=/reports").has(t, http.StatusOK, "app /reports for "+try.in)
			c, err := w.connections.Connection(t.Context(), acme, "corp")
			check(t, err)
			if !c.Enabled || c.DefaultRole != "member" || !try.kept(c) {
				t.Errorf("connected %+v %+v %+v", c, c.SAML, c.OAuth2)
			}
			tested := w.journal.all(audit.ConnectionTested)
			if len(tested) != 2 || tested[0].Outcome != audit.Success || tested[0].Actor.Kind != identity.KindSetupLink {
				t.Errorf("tests: %+v", tested)
			}
			b.open(setup.Path).has(t, http.StatusForbidden, "used already")
		})
	}
}
