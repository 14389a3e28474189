package authn_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/golang-jwt/jwt/v5"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/authn/oauth2/oauth2test"
	"gatehouse/authn/saml/attacktest"
)

// tryBySAML has a test of the connection be answered by an attack.
func (b *browser) tryBySAML(t *testing.T, a attacktest.Attack) (shown page, sent string) {
	t.Helper()
	c := samlConnection(ourKey())
	if a.Set != nil {
		a.Set(c.SAML)
	}
	b.w.connections.put(c)
	b.w.browser().open("/.gatehouse/saml/adfs/metadata").has(t, http.StatusOK) // which makes the key to encrypt for
	f := b.samlFlightBy(b.w.trial(t, "adfs"))
	sent = a.Forge(t, attacktest.Flight{Message: f.message, Certificate: b.w.encryptionCertificate(t)})
	return b.postFromElsewhere(f.acs, f.form([]byte(sent))), sent
}

var (
	signatureValues = regexp.MustCompile(`SignatureValue>([^<]{20})`)
	certificates    = regexp.MustCompile(`X509Certificate>([^<]{20})`)
)

// TestATestShowsWhatWasRefusedBySAML: what was wrong, what came and what was expected;
// never a signature, and of what a stranger has made never that it is verified.
func TestATestShowsWhatWasRefusedBySAML(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for name, try := range map[string]struct {
		attack attacktest.Attack
		shows  []string
	}{
		"another issuer": {attacktest.Attack{Wrong: func(m *message) { m.AssertionIssuer = "https://evil.example/saml" }},
			[]string{"<dt>Reason</dt><dd>wrong-issuer</dd>", "<dt>Issuer</dt><dd>https://evil.example/saml<br>expected: " + idpEntity}},
		"another recipient": {attacktest.Attack{Wrong: func(m *message) { m.Recipient = "https://evil.example/acs" }},
			[]string{"<dt>Reason</dt><dd>wrong-recipient</dd>", "<dt>Recipient</dt><dd>https://evil.example/acs<br>expected: " + w.url + "/.gatehouse/saml/adfs/acs"}},
		"another destination": {attacktest.Attack{Wrong: func(m *message) { m.Destination = "https://evil.example/acs" }},
			[]string{"<dt>Reason</dt><dd>wrong-destination</dd>", "<dt>Destination</dt><dd>https://evil.example/acs (not verified)<br>expected: " + w.url}},
		"too late": {attacktest.Attack{Wrong: func(m *message) { m.NotOnOrAfter = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC) }},
			[]string{"<dt>Reason</dt><dd>expired</dd>", "2020-02-03T04:05:06Z", "The time here"}},
		"another key": {attacktest.Attack{With: func(t testing.TB, _ attacktest.Flight, doc *etree.Document) {
			attacktest.OtherKey().Sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		}}, []string{"<dt>Reason</dt><dd>wrong-key</dd>", attacktest.Fingerprint(attacktest.OtherKey()) + " (not verified)<br>expected: " + attacktest.Fingerprint(attacktest.OurKey()),
			"nothing here is verified", "<dt>Subject</dt><dd>gil (not verified)", "<dt>mail</dt><dd>gil@globex.example</dd>"}},
		"a status": {attacktest.Attack{Wrong: func(m *message) { m.Status = "urn:oasis:names:tc:SAML:2.0:status:Responder" }},
			[]string{"<dt>Reason</dt><dd>provider-refused</dd>", "status:Responder (not verified)<br>expected: urn:oasis:names:tc:SAML:2.0:status:Success"}},
		"long text": {attacktest.Attack{Wrong: func(m *message) { m.Audience = strings.Repeat("ä", 5000) }},
			[]string{"<dt>Reason</dt><dd>wrong-audience</dd>", "<dt>Audience</dt><dd>" + strings.Repeat("ä", 256) + "…<br>"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := b.tryBySAML(t, try.attack)
			p.has(t, http.StatusOK, append(try.shows, "does not work yet")...)
		})
	}
	for _, a := range attacktest.Attacks() {
		p, sent := b.tryBySAML(t, a)
		if p.status != http.StatusOK || !strings.Contains(p.body, "does not work yet") || strings.Contains(p.body, "<script") || len(p.body) > 1<<20 {
			t.Errorf("%s: %d, %d bytes: %.4000s", a.Name, p.status, len(p.body), p.body)
		}
		for _, secret := range append(signatureValues.FindAllStringSubmatch(sent, -1), certificates.FindAllStringSubmatch(sent, -1)...) {
			if strings.Contains(p.body, strings.TrimSpace(secret[1])) {
				t.Errorf("%s: the page shows %s", a.Name, secret[1])
			}
		}
	}
	b.leftNothing()
	for _, e := range w.journal.all(audit.ConnectionTested) {
		if e.Outcome != audit.Refused || strings.Contains(e.Message, "evil.example") || strings.Contains(e.Message, "gil@") {
			t.Errorf("recorded: %+v", e)
		}
	}
}

// Whoever tries a connection may have come by an answer that is somebody else's: what is
// encrypted is not opened for them, and what was made for another sign-in shows nobody.
func TestATestShowsNothingOfOtherSignIns(t *testing.T) {
	w, idp := newWorld(t), newIssuer(t)
	b := w.browser()
	encrypted := func(t testing.TB, f attacktest.Flight, doc *etree.Document) { attacktest.Sealing{}.Encrypt(t, f, doc) }
	p, _ := b.tryBySAML(t, attacktest.Attack{Change: encrypted, Wrong: func(m *message) { m.Audience = "https://another.example" }})
	p.has(t, http.StatusOK, "wrong-audience", "https://another.example<br>expected: ", "gil@globex.example") // control
	for name, a := range map[string]attacktest.Attack{
		"for another request": {Change: encrypted, Wrong: func(m *message) { m.SubjectInResponseTo = "_somebody-elses" }},
		"signed by nobody":    {Change: encrypted, With: func(testing.TB, attacktest.Flight, *etree.Document) {}},
		"signed by another": {Change: encrypted, With: func(t testing.TB, _ attacktest.Flight, doc *etree.Document) {
			attacktest.OtherKey().Sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
		}},
	} {
		p, _ := b.tryBySAML(t, a)
		p.has(t, http.StatusOK, "does not work yet", "Issuer of the response")
		if strings.Contains(p.body, "gil") || strings.Contains(p.body, "<dt>Audience</dt>") {
			t.Errorf("%s: what was encrypted is shown: %s", name, p.body)
		}
	}

	w.connections.put(idp.connection())
	var token string
	idp.sign = func(c jwt.MapClaims) (raw string, err error) {
		token, err = idp.signed(jwt.SigningMethodES256, idp.key, c)
		return token, err
	}
	idp.claims = func(c jwt.MapClaims) { c["nonce"] = "somebody-elses" }
	p = b.open(w.trial(t, "idp"))
	p.has(t, http.StatusOK, "wrong-nonce", "Audience", "made for another sign-in")
	for _, shown := range []string{"ann@acme.example", "subject-1", "somebody-elses"} {
		if strings.Contains(p.body, shown) {
			t.Errorf("the page shows %s: %s", shown, p.body)
		}
	}
	idp.claims = func(c jwt.MapClaims) { c["exp"] = 946782245 }
	p = b.open(w.trial(t, "idp"))
	p.has(t, http.StatusOK, "<dt>Valid until</dt><dd>2000-01-02T03:04:05Z (not verified)", "<dt>email</dt><dd>ann@acme.example</dd>", "nothing here is verified")
	for _, part := range strings.Split(token, ".") {
		if strings.Contains(p.body, part) {
			t.Errorf("the page shows %s", part)
		}
	}
	b.leftNothing()
}

// A provider that refuses says why, in its own words.
func TestATestShowsWhyAProviderRefused(t *testing.T) {
	w, idp, hub := newWorld(t), newIssuer(t), oauth2test.New(t)
	w.connections.put(idp.connection())
	w.connections.put(hub.Connection())
	refuses := func(v url.Values) {
		v.Del("code")
		v.Set("error", "access_denied")
		v.Set("error_description", "<b>AADSTS50105</b>: not assigned to a role")
	}
	idp.answer = refuses
	hub.Answer(refuses)
	for _, connection := range []string{"idp", "hub"} {
		p := w.browser().open(w.trial(t, connection))
		p.has(t, http.StatusOK, "provider-refused", "<dt>Error</dt><dd>access_denied (not verified)</dd>", "&lt;b&gt;AADSTS50105&lt;/b&gt;: not assigned to a role (not verified)")
		// And only in a test.
		if p = w.browser().open("/.gatehouse/login?connection=" + connection); strings.Contains(p.body, "AADSTS50105") {
			t.Errorf("a sign-in shows it: %s", p.body)
		}
	}
	for _, kind := range []audit.Type{audit.ConnectionTested, audit.SignInRefused} {
		for _, e := range w.journal.all(kind) {
			if strings.Contains(e.Message, "AADSTS") {
				t.Errorf("recorded: %+v", e)
			}
		}
	}
	// An issuer by another name, which is a slash too many more often than not.
	c := idp.connection()
	c.OIDC.Issuer += "/"
	w.connections.put(c)
	p := w.browser().open(w.trial(t, "idp"))
	p.has(t, http.StatusOK, "does not work yet", "provider-unusable", "calls itself &#34;"+idp.URL+"&#34;, and the connection calls it &#34;"+idp.URL+"/&#34;")

	// In the reader's language.
	idp.answer = nil
	idp.claims = func(c jwt.MapClaims) { c["aud"] = "another" }
	w.connections.put(idp.connection())
	german := w.browser()
	german.Transport = watched{german.Transport, func(r *http.Request) { r.Header.Set("Accept-Language", "de") }}
	german.open(w.trial(t, "idp")).has(t, http.StatusOK, "another (nicht bestätigt)<br>erwartet: "+clientID, "Nichts davon ist bestätigt", "Was die Antwort über sich sagt")
}
