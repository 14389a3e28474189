package authn_test

import (
	"encoding/xml"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	"github.com/crewjam/saml/samlidp"
	dsig "github.com/russellhaering/goxmldsig"
	"golang.org/x/crypto/bcrypt"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// persistent makes samlidp name people lastingly, as providers are set up to.
type persistent struct{ crewjam.DefaultAssertionMaker }

func (p persistent) MakeAssertion(req *crewjam.IdpAuthnRequest, s *crewjam.Session) error {
	s.NameIDFormat = string(crewjam.PersistentNameIDFormat)
	return p.DefaultAssertionMaker.MakeAssertion(req, s)
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Print(...any)          {}
func (quiet) Println(...any)        {}
func (quiet) Fatal(...any)          {}
func (quiet) Fatalf(string, ...any) {}
func (quiet) Fatalln(...any)        {}
func (quiet) Panic(...any)          {}
func (quiet) Panicf(string, ...any) {}
func (quiet) Panicln(...any)        {}

var hidden = regexp.MustCompile(`name="(\w+)" value="([^"]*)"`)

func hiddenFields(p page) url.Values {
	fields := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(p.body, -1) {
		fields.Set(m[1], html.UnescapeString(m[2]))
	}
	return fields
}

func TestSignInBySAMLAtARealIdentityProvider(t *testing.T) {
	t.Run("clear", func(t *testing.T) { signInAtSAMLIDP(t, tenants.SAMLSpec{}) })
	// samlidp encrypts as soon as it sees a certificate to do it with, by AES-CBC.
	t.Run("encrypted", func(t *testing.T) {
		signInAtSAMLIDP(t, tenants.SAMLSpec{Encryption: tenants.EncryptionRequired, AllowCBC: true, Signed: tenants.SignedBoth, SignRequests: true, ForceAuthn: true})
	})
}

func signInAtSAMLIDP(t *testing.T, spec tenants.SAMLSpec) {
	t.Helper()
	w := newWorld(t)
	idp := httptest.NewUnstartedServer(nil)
	idpURL, err := url.Parse("http://" + idp.Listener.Addr().String())
	check(t, err)
	// Our metadata does not need the provider's, so either side can go first.
	spec.IDPMetadata = tenants.MetadataSource{URL: idpURL.String() + "/metadata"}
	w.connections.put(tenants.Connection{Name: "adfs", Type: tenants.SAML, Enabled: true, SAML: &spec})
	b := w.browser()
	ours := b.open("/.gatehouse/saml/adfs/metadata")
	ours.has(t, http.StatusOK, "AssertionConsumerService", "/.gatehouse/saml/adfs/acs")

	st := &samlidp.MemoryStore{}
	password, err := bcrypt.GenerateFromPassword([]byte("hunter2"), bcrypt.MinCost)
	check(t, err)
	check(t, st.Put("/users/gil", samlidp.User{Name: "gil", HashedPassword: password, Email: "gil@globex.example", CommonName: "Gil", Groups: []string{"ops"}}))
	service := samlidp.Service{Name: "gatehouse"}
	check(t, xml.Unmarshal([]byte(ours.body), &service.Metadata))
	check(t, st.Put("/services/gatehouse", service))
	server, err := samlidp.New(samlidp.Options{URL: *idpURL, Key: ourKey().Pair.PrivateKey, Certificate: ourKey().Cert, Store: st, Logger: quiet{}})
	check(t, err)
	server.IDP.AssertionMaker = persistent{}
	server.IDP.SignatureMethod = dsig.RSASHA256SignatureMethod
	idp.Config.Handler = server
	idp.Start()
	defer idp.Close()

	login := b.open("/reports?year=2026")
	login.has(t, http.StatusOK, "password")
	fields := hiddenFields(login)
	fields.Set("user", "gil")
	fields.Set("password", "hunter2")
	answer := b.post(idpURL.String()+"/sso", fields)
	answer.has(t, http.StatusOK, "SAMLResponse")
	b.postFromElsewhere(w.url+"/.gatehouse/saml/adfs/acs", hiddenFields(answer)).
		has(t, http.StatusOK, "app /reports?year=2026 for gil@globex.example called Gil")

	live, _, err := w.sessions.List(t.Context(), acme, sessions.Filter{State: sessions.StateLive})
	check(t, err)
	if len(live) != 1 || live[0].IDPSubject != "gil@globex.example" || live[0].IDPSession == "" || live[0].ACR == "" {
		t.Errorf("session: %+v", live)
	}
	if n := len(w.journal.all(audit.SignInSucceeded)); n != 1 {
		t.Errorf("%d sign-ins in the journal", n)
	}
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK, "You are signed out")
}

func TestSAMLKeepsDeviceAndReplacesSession(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	signIn := func() {
		f := b.samlFlight()
		doc := f.message.Document(t)
		ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		b.postFromElsewhere(f.acs, f.form(bytesOf(t, doc))).has(t, http.StatusOK, "app /reports for gil@globex.example called Gil")
	}
	signIn()
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK)
	signIn()
	if n := len(w.journal.all(audit.DeviceNew)); n != 1 {
		t.Errorf("%d devices for one browser: the device cookie was lost on the way", n)
	}
}

// An answer that was verified waits for its second half while the connection
// changes.
func TestP2_ASAMLAnswerIsGoodForTheConnectionThatVerifiedIt(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	doc := f.message.Document(t)
	ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
	resp := b.sendFromElsewhere(f.acs, f.form(bytesOf(t, doc)))
	_ = resp.Body.Close()
	second, err := resp.Location()
	check(t, err)
	w.connections.put(samlConnection(otherKey()))
	b.open(second.String()).has(t, http.StatusForbidden, "You are not signed in", "was changed while you signed in")
	if got := w.journal.lastRefusal(t); got != "connection-changed" || len(w.journal.all(audit.UserCreated)) != 0 {
		t.Errorf("reason %q, and %d people made", got, len(w.journal.all(audit.UserCreated)))
	}
}

func TestSAMLAcceptsWhatProvidersSend(t *testing.T) {
	for name, sign := range map[string]func(t *testing.T, doc *etree.Document){
		"assertion signed": func(t *testing.T, doc *etree.Document) {
			ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		},
		"response signed": func(t *testing.T, doc *etree.Document) {
			ourKey().sign(t, doc.Root(), dsig.RSASHA256SignatureMethod)
		},
		"both signed, SHA-512": func(t *testing.T, doc *etree.Document) {
			ourKey().sign(t, assertionOf(doc), dsig.RSASHA512SignatureMethod)
			ourKey().sign(t, doc.Root(), dsig.RSASHA512SignatureMethod)
		},
		"signed with the new key": func(t *testing.T, doc *etree.Document) {
			otherKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		},
		"no key shown": func(t *testing.T, doc *etree.Document) {
			otherKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
			signature := assertionOf(doc).SelectElement("Signature")
			signature.RemoveChild(signature.SelectElement("KeyInfo"))
		},
		"groups and indentation": func(t *testing.T, doc *etree.Document) {
			doc.Indent(2)
			ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connections.put(samlConnection(ourKey(), otherKey()))
			b := w.browser()
			f := b.samlFlight()
			doc := f.message.Document(t)
			sign(t, doc)
			b.postFromElsewhere(f.acs, f.form(bytesOf(t, doc))).has(t, http.StatusOK, "app /reports for gil@globex.example")
			if b.cookie(httpkit.SessionCookie) == "" {
				t.Error("no session")
			}
		})
	}
}
