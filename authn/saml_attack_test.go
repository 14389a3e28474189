package authn_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/internal/httpkit"
)

// attack makes a hostile form out of what an attacker can have: a message that
// the provider would sign for this request, and the provider's signature on it.
type attack struct {
	// wrong changes the message before it is signed, as another tenant's
	// provider, an old answer or a careless provider would.
	wrong func(*message)
	// with signs, if not the assertion with the right key.
	with func(*testing.T, *etree.Document)
	// change is what is done after signing.
	change func(*testing.T, *etree.Document)
	// bytes changes the bytes that are sent.
	bytes func(string) string
	want  authn.Reason
}

func signAssertion(t *testing.T, doc *etree.Document) {
	ourKey().sign(t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
}

func signResponse(t *testing.T, doc *etree.Document) {
	ourKey().sign(t, doc.Root(), dsig.RSASHA256SignatureMethod)
}

func unsigned(*testing.T, *etree.Document) {}

// evil is a copy of an element under another id that is about the victim.
func evil(el *etree.Element) *etree.Element {
	c := el.Copy()
	c.CreateAttr("ID", "_evil")
	for _, name := range c.FindElements(".//NameID") {
		name.SetText("boss")
	}
	return c
}

func without(el *etree.Element, tag string) *etree.Element {
	el.RemoveChild(el.SelectElement(tag))
	return el
}

// wrapObject puts an element into an Object of a signature.
func wrapObject(signature, el *etree.Element) {
	signature.CreateElement("ds:Object").AddChild(el)
}

// The eight ways of XML signature wrapping (Somorovsky et al., "On Breaking
// SAML: Be Whoever You Want to Be", USENIX Security 2012, §4.2).
var wrappings = map[string]attack{
	"XSW1": {with: signResponse, want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		original := doc.Root()
		e := evil(original)
		doc.SetRoot(e)
		e.SelectElement("Signature").AddChild(without(original, "Signature"))
	}},
	"XSW2": {with: signResponse, want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		original := doc.Root()
		e := evil(original)
		doc.SetRoot(e)
		e.InsertChildAt(1, without(original, "Signature"))
	}},
	"XSW3": {want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		e := without(evil(assertionOf(doc)), "Signature")
		doc.Root().InsertChildAt(assertionOf(doc).Index(), e)
	}},
	"XSW4": {want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		original := assertionOf(doc)
		e := without(evil(original), "Signature")
		doc.Root().RemoveChild(original)
		e.AddChild(original)
		doc.Root().AddChild(e)
	}},
	"XSW5": {want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		original := assertionOf(doc)
		doc.Root().InsertChildAt(original.Index(), evil(original))
		without(original, "Signature")
	}},
	"XSW6": {want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		original := assertionOf(doc)
		e := evil(original)
		doc.Root().RemoveChild(original)
		e.SelectElement("Signature").AddChild(without(original, "Signature"))
		doc.Root().AddChild(e)
	}},
	"XSW7": {want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(without(evil(assertionOf(doc)), "Signature"))
		doc.Root().InsertChildAt(assertionOf(doc).Index(), extensions)
	}},
	"XSW8": {want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		original := assertionOf(doc)
		e := evil(original)
		doc.Root().RemoveChild(original)
		wrapObject(e.SelectElement("Signature"), without(original, "Signature"))
		doc.Root().AddChild(e)
	}},
	"same id, the evil one first": {want: authn.Malformed, change: func(_ *testing.T, doc *etree.Document) {
		e := without(evil(assertionOf(doc)), "Signature")
		e.CreateAttr("ID", assertionOf(doc).SelectAttrValue("ID", ""))
		doc.Root().InsertChildAt(assertionOf(doc).Index(), e)
	}},
}

func signWith(method string) func(*testing.T, *etree.Document) {
	return func(t *testing.T, doc *etree.Document) { ourKey().sign(t, assertionOf(doc), method) }
}

func algorithm(path, value string) func(*testing.T, *etree.Document) {
	return func(t *testing.T, doc *etree.Document) {
		el := doc.FindElement("//" + path)
		if el == nil {
			t.Fatalf("no %s", path)
		}
		el.CreateAttr("Algorithm", value)
	}
}

func drop(path string) func(*testing.T, *etree.Document) {
	return func(t *testing.T, doc *etree.Document) {
		el := doc.FindElement("//" + path)
		el.Parent().RemoveChild(el)
		signAssertion(t, doc)
	}
}

func double(path string) func(*testing.T, *etree.Document) {
	return func(t *testing.T, doc *etree.Document) {
		el := doc.FindElement("//" + path)
		el.Parent().AddChild(el.Copy())
		signAssertion(t, doc)
	}
}

func replaceText(old, replacement string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, replacement, 1) }
}

var samlAttacks = map[string]attack{
	// Signatures.
	"stripped": {with: unsigned, want: authn.SignatureMissing},
	"re-signed with another key": {with: func(t *testing.T, d *etree.Document) {
		otherKey().sign(t, assertionOf(d), dsig.RSASHA256SignatureMethod)
	}, want: authn.WrongKey},
	"another key, none shown": {with: func(t *testing.T, d *etree.Document) {
		otherKey().sign(t, assertionOf(d), dsig.RSASHA256SignatureMethod)
		without(assertionOf(d).SelectElement("Signature"), "KeyInfo")
	}, want: authn.SignatureInvalid},
	"another key, ours shown": {with: func(t *testing.T, d *etree.Document) {
		forged := d.Copy()
		otherKey().sign(t, assertionOf(d), dsig.RSASHA256SignatureMethod)
		signAssertion(t, forged)
		assertionOf(d).FindElement(".//X509Certificate").SetText(assertionOf(forged).FindElement(".//X509Certificate").Text())
	}, want: authn.SignatureInvalid},
	"changed after signing":       {bytes: replaceText(">gil<", ">boss<"), want: authn.SignatureInvalid},
	"attribute changed":           {bytes: replaceText("gil@globex", "boss@globex"), want: authn.SignatureInvalid},
	"SHA-1":                       {with: signWith(dsig.RSASHA1SignatureMethod), want: authn.WrongAlgorithm},
	"SHA-1 digest":                {change: algorithm("DigestMethod", "http://www.w3.org/2000/09/xmldsig#sha1"), want: authn.WrongAlgorithm},
	"HMAC with the public key":    {change: algorithm("SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"), want: authn.WrongAlgorithm},
	"XSLT transform":              {change: algorithm("Transforms/Transform[1]", "http://www.w3.org/TR/1999/REC-xslt-19991116"), want: authn.SignatureAmbiguous},
	"inclusive canonicalisation":  {change: algorithm("CanonicalizationMethod", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"), want: authn.SignatureAmbiguous},
	"signature of the whole file": {change: func(_ *testing.T, d *etree.Document) { d.FindElement("//Reference").CreateAttr("URI", "") }, want: authn.SignatureAmbiguous},
	"signature of another id":     {change: func(_ *testing.T, d *etree.Document) { d.FindElement("//Reference").CreateAttr("URI", "#_response") }, want: authn.SignatureAmbiguous},
	"two references":              {change: duplicate("Reference"), want: authn.SignatureAmbiguous},
	"two SignedInfo":              {change: duplicate("SignedInfo"), want: authn.SignatureAmbiguous},
	"two signatures":              {change: duplicate("Signature"), want: authn.SignatureAmbiguous},
	"ten thousand transforms":     {change: manyTransforms, want: authn.TooLarge},
	"signature inside an attribute": {change: func(_ *testing.T, d *etree.Document) {
		d.FindElement("//AttributeValue").AddChild(moved(assertionOf(d), "Signature"))
	}, want: authn.SignatureAmbiguous},

	// Whom it is from, for whom, for what, and when.
	"wrong issuer":            {wrong: func(m *message) { m.AssertionIssuer = "https://evil.example" }, want: authn.WrongIssuer},
	"wrong response issuer":   {wrong: func(m *message) { m.Issuer = "https://evil.example" }, want: authn.WrongIssuer},
	"wrong audience":          {wrong: func(m *message) { m.Audience = "https://other.example" }, want: authn.WrongAudience},
	"no audience":             {with: drop("AudienceRestriction"), want: authn.WrongAudience},
	"wrong destination":       {wrong: func(m *message) { m.Destination = "https://other.example/acs" }, want: authn.WrongDestination},
	"wrong recipient":         {wrong: func(m *message) { m.Recipient = "https://other.example/acs" }, want: authn.WrongRecipient},
	"wrong InResponseTo":      {wrong: func(m *message) { m.InResponseTo = "_other" }, want: authn.WrongRequest},
	"no InResponseTo":         {wrong: func(m *message) { m.InResponseTo, m.SubjectInResponseTo = "", "" }, want: authn.WrongRequest},
	"wrong subject's request": {wrong: func(m *message) { m.SubjectInResponseTo = "_other" }, want: authn.WrongRequest},
	"expired conditions":      {wrong: func(m *message) { m.NotOnOrAfter = time.Now().Add(-90 * time.Second) }, want: authn.Expired},
	"expired confirmation":    {wrong: func(m *message) { m.ConfirmUntil = time.Now().Add(-90 * time.Second) }, want: authn.Expired},
	"old":                     {wrong: func(m *message) { m.Issued = time.Now().Add(-time.Hour) }, want: authn.Expired},
	"not yet valid":           {wrong: func(m *message) { m.NotBefore = time.Now().Add(2 * time.Minute) }, want: authn.NotYetValid},
	"issued in the future":    {wrong: func(m *message) { m.Issued = time.Now().Add(time.Hour) }, want: authn.NotYetValid},
	"no conditions":           {with: drop("Conditions"), want: authn.ConditionsMissing},
	"two conditions":          {with: double("Conditions"), want: authn.ConditionsMissing},
	"a condition not known": {with: func(t *testing.T, d *etree.Document) {
		d.FindElement("//Conditions").CreateElement("saml:Condition")
		signAssertion(t, d)
	}, want: authn.ConditionsMissing},
	"no confirmation":           {with: drop("SubjectConfirmation"), want: authn.ConfirmationMissing},
	"no confirmation data":      {with: drop("SubjectConfirmationData"), want: authn.ConfirmationMissing},
	"not the bearer method":     {wrong: func(m *message) { m.Method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches" }, want: authn.ConfirmationMissing},
	"no authentication":         {with: drop("AuthnStatement"), want: authn.Malformed},
	"the provider's refusal":    {wrong: func(m *message) { m.Status = "urn:oasis:names:tc:SAML:2.0:status:Responder" }, want: authn.ProviderRefused},
	"a status that is an essay": {wrong: func(m *message) { m.Status = strings.Repeat("x", 1000) }, want: authn.ProviderRefused},

	// Who it is about.
	"comment in NameID": {wrong: func(m *message) { m.NameID = "boss@acme.example.evil.example" }, bytes: replaceText("boss@acme.example", "boss@acme.example<!---->"), want: authn.Malformed},
	"child in NameID": {with: func(t *testing.T, d *etree.Document) {
		d.FindElement("//NameID").CreateElement("b")
		signAssertion(t, d)
	}, want: authn.SubjectUnusable},
	"two NameIDs":      {with: double("NameID"), want: authn.SubjectUnusable},
	"two subjects":     {with: double("Subject"), want: authn.SubjectUnusable},
	"no subject":       {with: drop("Subject"), want: authn.SubjectUnusable},
	"empty NameID":     {wrong: func(m *message) { m.NameID = " " }, want: authn.SubjectUnusable},
	"transient NameID": {wrong: func(m *message) { m.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" }, want: authn.SubjectUnusable},
	"two assertions":   {with: func(t *testing.T, d *etree.Document) { signAssertion(t, d); d.Root().AddChild(evil(assertionOf(d))) }, want: authn.Malformed},
	"no assertion":     {with: func(_ *testing.T, d *etree.Document) { without(d.Root(), "Assertion") }, want: authn.Malformed},
	"an encrypted one": {bytes: replaceText("<saml:Assertion ", "<saml:EncryptedAssertion>garbage</saml:EncryptedAssertion><saml:Assertion "), want: authn.Encrypted},
	"encrypted alone": {with: func(_ *testing.T, d *etree.Document) {
		without(d.Root(), "Assertion").CreateElement("saml:EncryptedAssertion").SetText("garbage")
	}, want: authn.Encrypted},
	"assertion namespace":   {bytes: replaceText(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, `<saml:Assertion xmlns:saml="urn:evil"`), want: authn.Malformed},
	"version 1.1":           {wrong: func(m *message) { m.Version = "1.1" }, want: authn.Malformed},
	"not a response at all": {bytes: func(string) string { return `<html/>` }, want: authn.Malformed},

	// What could blow a parser up or split two of them.
	"DTD":                    {bytes: func(s string) string { return `<!DOCTYPE r [<!ENTITY x "boss">]>` + s }, want: authn.Malformed},
	"entity":                 {bytes: replaceText(">gil<", ">&x;<"), want: authn.Malformed},
	"processing instruction": {bytes: func(s string) string { return `<?evil go?>` + s }, want: authn.Malformed},
	"other encoding":         {bytes: func(s string) string { return `<?xml version="1.0" encoding="UTF-7"?>` + s }, want: authn.Malformed},
	"trailing text":          {bytes: func(s string) string { return s + "x" }, want: authn.Malformed},
	"trailing document":      {bytes: func(s string) string { return s + "<x/>" }, want: authn.Malformed},
	"attribute given twice":  {bytes: replaceText(`ID="_response"`, `ID="_response" ID="_response"`), want: authn.Malformed},
	"a second id":            {bytes: replaceText(`<samlp:Status>`, `<samlp:Status ID="_response">`), want: authn.Malformed},
	"an xml:id":              {bytes: replaceText(`<samlp:Status>`, `<samlp:Status xml:id="_response">`), want: authn.Malformed},
	"deep":                   {bytes: replaceText(`<samlp:Status>`, strings.Repeat("<a>", 10_000)+strings.Repeat("</a>", 10_000)+`<samlp:Status>`), want: authn.TooDeep},
	"wide":                   {bytes: replaceText(`<samlp:Status>`, strings.Repeat("<a/>", 10_000)+`<samlp:Status>`), want: authn.TooLarge},
	"huge":                   {bytes: replaceText(`<samlp:Status>`, strings.Repeat(" ", 260<<10)+`<samlp:Status>`), want: authn.TooLarge},
	"many attributes":        {bytes: replaceText(`<samlp:Status>`, `<samlp:Status`+attributes(100)+`>`), want: authn.TooLarge},
	"cut short":              {bytes: func(s string) string { return s[:len(s)/2] }, want: authn.Malformed},
	"nothing":                {bytes: func(string) string { return "" }, want: authn.Malformed},
}

func TestHostileSAMLResponsesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	for _, table := range []map[string]attack{wrappings, samlAttacks} {
		for name, a := range table {
			t.Run(name, func(t *testing.T) {
				b := w.browser()
				b.t = t
				f := b.samlFlight()
				refused(t, b, f, f.form([]byte(a.forge(t, f))), a.want)
			})
		}
	}
}

func (a attack) forge(t *testing.T, f flight) string {
	t.Helper()
	m := f.message
	if a.wrong != nil {
		a.wrong(&m)
	}
	doc := m.document(t)
	if a.with == nil {
		a.with = signAssertion
	}
	a.with(t, doc)
	if a.change != nil {
		a.change(t, doc)
	}
	raw := string(bytesOf(t, doc))
	if a.bytes != nil {
		changed := a.bytes(raw)
		if changed == raw {
			t.Fatal("the attack changes nothing")
		}
		raw = changed
	}
	return raw
}

// refused sends an answer and wants it refused: reason, page, and no session.
func refused(t *testing.T, b *browser, f flight, form url.Values, want authn.Reason) {
	t.Helper()
	p := b.postFromElsewhere(f.acs, form)
	p.has(t, http.StatusForbidden, "You are not signed in", "<dt>Event</dt>", "Sign in again")
	if got := b.w.journal.lastRefusal(t); got != want {
		all := b.w.journal.all(audit.SignInRefused)
		t.Errorf("reason %q (%s), want %q", got, all[len(all)-1].Message, want)
	}
	if b.cookie(httpkit.SessionCookie) != "" {
		t.Error("there is a session")
	}
}

func TestSAMLReplayIsRefused(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	form := f.form([]byte(attack{}.forge(t, f)))
	b.postFromElsewhere(f.acs, form).has(t, http.StatusOK, "app /reports")
	b.post("/.gatehouse/logout", nil).has(t, http.StatusOK)
	again := w.browser()
	again.samlFlight()
	refused(t, again, f, form, "replayed")

	// The same assertion with a new step of one's own answers another request.
	g := again.samlFlight()
	form.Set("RelayState", g.relayState)
	refused(t, again, g, form, authn.WrongRequest)

	// The same assertion id, signed for the new request.
	h := again.samlFlight()
	h.message.AssertionID = f.message.AssertionID
	refused(t, again, h, h.form([]byte(attack{}.forge(t, h))), "replayed")
}

func TestUnsolicitedSAMLIsRefused(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	form := f.form([]byte(attack{}.forge(t, f)))
	form.Del("RelayState")
	refused(t, b, f, form, "unsolicited")
	form.Set("RelayState", "https://deep.link.example/")
	refused(t, b, f, form, "unsolicited")
	// Somebody else's browser cannot finish it, and then nobody can.
	form.Set("RelayState", f.relayState)
	refused(t, w.browser(), f, form, "other-browser")
	refused(t, b, f, form, "replayed")
}

func TestTheHopAfterSAMLIsForOneUseAndOneBrowser(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	f := b.samlFlight()
	// The token of one hop is worthless at the other.
	b.open("/.gatehouse/saml/adfs/acs?step="+f.relayState).has(t, http.StatusForbidden, "not begun here")
	b.open("/.gatehouse/saml/adfs/acs?step="+strings.Repeat("A", 43)).has(t, http.StatusForbidden)
	b.open("/.gatehouse/saml/adfs/acs").has(t, http.StatusForbidden)
}

func TestSAMLFormsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.connections.put(samlConnection(ourKey()))
	b := w.browser()
	p := b.postFromElsewhere(w.url+"/.gatehouse/saml/adfs/acs", url.Values{"SAMLResponse": {strings.Repeat("A", 600<<10)}})
	p.has(t, http.StatusRequestEntityTooLarge)
}

func duplicate(path string) func(*testing.T, *etree.Document) {
	return func(_ *testing.T, doc *etree.Document) {
		el := doc.FindElement("//" + path)
		el.Parent().AddChild(el.Copy())
	}
}

func manyTransforms(_ *testing.T, doc *etree.Document) {
	el := doc.FindElement("//Transform")
	for range 10_000 {
		el.Parent().CreateElement("x")
	}
}

// moved takes a child out and returns it.
func moved(el *etree.Element, tag string) *etree.Element {
	child := el.SelectElement(tag)
	el.RemoveChild(child)
	return child
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + strings.Repeat("x", i) + `=""`)
	}
	return b.String()
}
