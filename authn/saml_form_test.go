package authn_test

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/saml/simplesamltest"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// samlByForm is a connection whose provider takes requests in forms alone.
func samlByForm(keys ...signer) tenants.Connection {
	c := samlConnection(keys...)
	c.Name = "forms"
	c.SAML.IDPMetadata.XML = strings.Replace(c.SAML.IDPMetadata.XML, "HTTP-Redirect", "HTTP-POST", 1)
	return c
}

const loginByForm = "/.gatehouse/login?connection=forms&return_to=/reports"

// requestIn is the request that a page of ours carries, and whether it bears a
// signature of the connection's key where the schema wants it (SAML core §3.2.1).
func (w *world) requestIn(t *testing.T, p page, connection string) (request *etree.Element, signed bool) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(hiddenFields(p).Get("SAMLRequest"))
	check(t, err)
	doc := etree.NewDocument()
	check(t, doc.ReadFromBytes(raw))
	if doc.Root() == nil || doc.Root().Tag != "AuthnRequest" || doc.Root().ChildElements()[0].Tag != "Issuer" {
		t.Fatalf("not a request: %s", raw)
	}
	if doc.FindElement("//Signature") == nil {
		return doc.Root(), false
	}
	if tag := doc.Root().ChildElements()[1].Tag; tag != "Signature" {
		t.Errorf("after the issuer there is a %s", tag)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{w.ourCertificate(t, connection)}})
	ctx.IdAttribute = "ID"
	_, err = ctx.Validate(doc.Root())
	check(t, err)
	return doc.Root(), true
}

func TestSignInByARequestInAForm(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlByForm(ourKey()))
	b := w.browser()
	p := b.open(loginByForm)
	p.has(t, http.StatusOK, `<form method="post" action="https://idp.acme.example/sso">`, "You go on to forms now.", `<button class="main" type="submit">Continue</button>`,
		"<script>document.forms[0].submit()</script>")
	policy := p.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none';", "form-action 'self' https://idp.acme.example https:;", "script-src 'sha256-", "frame-ancestors 'none';"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%q is not in %q", want, policy)
		}
	}
	if p.header.Get("Cache-Control") != "no-store" || p.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers %v", p.header)
	}
	fields := hiddenFields(p)
	request, signed := w.requestIn(t, p, "forms")
	if signed || len(fields) != 2 || len(fields.Get("RelayState")) != 43 || request.SelectAttrValue("Destination", "") != "https://idp.acme.example/sso" ||
		request.SelectAttrValue("ProtocolBinding", "") != postBind || request.SelectAttr("ForceAuthn") != nil {
		t.Errorf("asked by %v", fields)
	}
	if started := w.journal.all(audit.SignInStarted); len(started) != 1 || started[0].Connection != "con_forms" {
		t.Errorf("recorded as %+v", started)
	}
	f := b.samlFlightBy(loginByForm)
	b.postFromElsewhere(f.acs, f.form(honest(t, f))).has(t, http.StatusOK, "app /reports for gil@globex.example")
	first := b.cookie(httpkit.SessionCookie)

	// One more authentication, from a session.
	w.advance(20 * time.Minute)
	f = b.samlFlightBy("/.gatehouse/login?fresh=yes&return_to=/sensitive")
	if f.force != "true" {
		t.Errorf("ForceAuthn=%q", f.force)
	}
	if b.cookie(httpkit.SessionCookie) != first {
		t.Error("the session was replaced before there was an answer")
	}
	w.advance(-20 * time.Minute)

	// In German, and for somebody who has said their address.
	w.connections.setDomains(tenants.Domain{Name: "globex.example", Connection: "con_forms", VerifiedAt: time.Now()})
	stranger := w.browser()
	stranger.Transport = german{stranger.Transport}
	stranger.open(loginByForm).has(t, http.StatusOK, `lang="de"`, "Weiter")
	p = stranger.post("/.gatehouse/login", url.Values{"email": {"gil@globex.example"}, "return_to": {"/y"}})
	p.has(t, http.StatusOK, `action="https://idp.acme.example/sso"`, "document.forms[0].submit()")
	if strings.Contains(p.body, "http-equiv") {
		t.Errorf("the browser is sent there twice: %s", p.body)
	}

	// A test of the connection goes the same way, and shows what came back.
	admin := w.browser()
	f = admin.samlFlightBy(w.trial(t, "forms"))
	admin.postFromElsewhere(f.acs, f.form(honest(t, f))).has(t, http.StatusOK, "The connection forms works", "gil@globex.example")
	if admin.cookie(httpkit.SessionCookie) != "" {
		t.Error("a test signs in")
	}
}

// german asks for pages in German.
type german struct{ next http.RoundTripper }

func (g german) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Language", "de")
	return g.next.RoundTrip(r)
}

// A request in a form is signed by itself, where the provider or the connection wants
// that.
func TestARequestInAFormIsSignedWhereThatIsWanted(t *testing.T) {
	w := newWorld(t)
	c := samlByForm(ourKey())
	plain := c.SAML.IDPMetadata.XML
	signed := func() bool {
		w.connections.put(c)
		p := w.browser().open(loginByForm)
		p.has(t, http.StatusOK, `action="https://idp.acme.example/sso?of=acme"`)
		_, signed := w.requestIn(t, p, "forms")
		return signed
	}
	plain = strings.Replace(plain, "example/sso", "example/sso?of=acme", 1)
	c.SAML.IDPMetadata.XML = plain
	if signed() {
		t.Error("signed, and nobody wants it")
	}
	c.SAML.SignRequests, c.SAML.NameIDFormat, c.SAML.AuthnContexts = true, tenants.NameIDEmail, []string{"phr"}
	if !signed() {
		t.Error("not signed, and the connection wants it")
	}
	if f := w.browser().samlFlightBy(loginByForm); f.format == "" || len(f.contexts) != 1 || !f.signed {
		t.Errorf("asked: %+v", f)
	}
	c.SAML.SignRequests = false
	c.SAML.IDPMetadata.XML = strings.Replace(plain, "<IDPSSODescriptor", `<IDPSSODescriptor WantAuthnRequestsSigned="true"`, 1)
	if !signed() {
		t.Error("not signed, and the provider wants it")
	}
}

func TestAConnectionMayChooseHowRequestsGo(t *testing.T) {
	w := newWorld(t)
	c := samlConnection(ourKey())
	both := strings.Replace(c.SAML.IDPMetadata.XML, "<SingleSignOnService", `<SingleSignOnService Binding="`+postBind+`" Location="https://idp.acme.example/form"/><SingleSignOnService`, 1)
	redirect, form := "https://idp.acme.example/sso?SAMLRequest=", `action="https://idp.acme.example/form"`
	for _, try := range []struct {
		metadata string
		by       tenants.RequestBinding
		want     string
	}{
		{both, "", redirect}, {both, tenants.RequestRedirect, redirect}, {both, tenants.RequestPost, form},
		{c.SAML.IDPMetadata.XML, tenants.RequestRedirect, redirect}, {c.SAML.IDPMetadata.XML, tenants.RequestPost, ""},
	} {
		c.SAML.IDPMetadata.XML, c.SAML.RequestBinding = try.metadata, try.by
		w.connections.put(c)
		p := w.browser().look("/.gatehouse/login?connection=adfs")
		switch try.want {
		case "":
			p.has(t, http.StatusForbidden, "not set up correctly")
			if all := w.journal.all(audit.SignInRefused); all[len(all)-1].Reason != string(authn.ProviderUnusable) || !strings.Contains(all[len(all)-1].Message, "HTTP-POST, which the connection asks for") {
				t.Errorf("recorded as %+v", all[len(all)-1])
			}
		case redirect:
			if got := p.header.Get("Location"); !strings.HasPrefix(got, redirect) {
				t.Errorf("%q: %d, sent to %s", try.by, p.status, got)
			}
		default:
			p.has(t, http.StatusOK, form)
		}
	}
}

// TestARealPeerTakesRequestsInForms is SimpleSAMLphp with metadata that names an
// address for forms alone, and samlidp by choice of the connection. The first verifies
// what is signed.
func TestARealPeerTakesRequestsInForms(t *testing.T) {
	t.Run("SimpleSAMLphp", func(t *testing.T) {
		w := newWorld(t)
		s, ok := startSimpleSAML(t, w).(*simpleSAML)
		if !ok {
			t.Fatal("another provider")
		}
		before := s.source()
		s.goBy(t, simplesamltest.Settings{Forms: true})
		if now := s.source(); strings.Contains(now, `SingleSignOnService Binding="`+redirectBind) || now == before {
			t.Fatalf("it still takes redirects: %s", now)
		}
		s.republish()
		c := s.connection()
		c.SAML.SignRequests = true
		w.connections.put(c)
		s.idp.Trust(t, []byte(w.browser().open("/.gatehouse/saml/peer/metadata").body)) // says that requests are signed
		s.takesForms(t)

		// What is not signed, or was changed on the way, gets nobody to the password.
		for name, change := range map[string]func(*etree.Element){
			"not signed": func(request *etree.Element) { request.RemoveChild(request.SelectElement("Signature")) },
			"changed":    func(request *etree.Element) { request.CreateAttr("ForceAuthn", "true") },
		} {
			b := w.peerBrowser(t)
			p := b.open("/reports")
			request, signed := w.requestIn(t, p, "peer")
			if !signed {
				t.Fatal("not signed")
			}
			change(request)
			doc := etree.NewDocument()
			doc.SetRoot(request)
			p = b.submit(p, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(bytesOf(t, doc))}})
			if !strings.Contains(p.body, "no signature found on message") || strings.Contains(p.body, `name="password"`) {
				t.Errorf("%s: %d %s", name, p.status, p.body)
			}
		}
	})
	t.Run("samlidp", func(t *testing.T) {
		w := newWorld(t)
		s, ok := startSAMLIDP(t, w).(*samlIDP)
		if !ok {
			t.Fatal("another provider")
		}
		c := s.connection()
		c.SAML.RequestBinding = tenants.RequestPost
		w.connections.put(c)
		s.takesForms(t)
	})
}

// takesForms signs in by a request in a form, twice.
func (s *samlPeer) takesForms(t *testing.T) {
	t.Helper()
	for range 2 {
		b := s.w.peerBrowser(t)
		p := b.open("/reports")
		p.has(t, http.StatusOK, `name="SAMLRequest"`, "You go on to peer now")
		s.goThrough(b, b.submit(p, nil)).has(t, http.StatusOK, "app /reports for "+s.email)
	}
}
