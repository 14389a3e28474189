package attacktest

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
	"gatehouse/tenants"
)

// Flight is what an attacker starts from: a message that the provider would sign
// for a request under way, and the certificate to encrypt with.
type Flight struct {
	Message     Message
	Certificate *x509.Certificate
}

// step is what is done to a document.
type step func(testing.TB, Flight, *etree.Document)

// Attack makes a hostile response out of what an attacker can have: a message that
// the provider would sign for this request, and the provider's signature on it.
type Attack struct {
	Name string
	// Set changes how the connection is set.
	Set func(*tenants.SAMLSpec)
	// Wrong changes the message before it is signed, as another tenant's
	// provider, an old answer or a careless provider would.
	Wrong func(*Message)
	// With signs, if not the assertion with the right key.
	With step
	// Change is what is done after signing.
	Change step
	// Bytes changes the bytes that are sent.
	Bytes func(string) string
	// By is the check that refuses it; one that begins with "!" is none that could be
	// left out, but what a parser, a signature or a key makes of it.
	By string
	// Want is the reason in the journal.
	Want authn.Reason
}

// Forge makes the response.
func (a Attack) Forge(t testing.TB, f Flight) string {
	t.Helper()
	if a.Wrong != nil {
		a.Wrong(&f.Message)
	}
	doc := f.Message.Document(t)
	with := a.With
	if with == nil {
		with = SignAssertion
	}
	with(t, f, doc)
	if a.Change != nil {
		a.Change(t, f, doc)
	}
	raw, err := doc.WriteToString()
	check(t, err)
	if a.Bytes != nil {
		changed := a.Bytes(raw)
		if changed == raw {
			t.Fatal("the attack changes nothing")
		}
		raw = changed
	}
	return raw
}

// SignAssertion signs the assertion with the provider's key.
func SignAssertion(t testing.TB, _ Flight, doc *etree.Document) {
	OurKey().Sign(t, AssertionOf(doc), dsig.RSASHA256SignatureMethod)
}

// SignResponse signs the response alone.
func SignResponse(t testing.TB, _ Flight, doc *etree.Document) {
	OurKey().Sign(t, doc.Root(), dsig.RSASHA256SignatureMethod)
}

// SignBoth signs the assertion, and then the response around it.
func SignBoth(t testing.TB, f Flight, doc *etree.Document) {
	SignAssertion(t, f, doc)
	SignResponse(t, f, doc)
}

func unsigned(testing.TB, Flight, *etree.Document) {}

func by(key func() Signer, method string) step {
	return func(t testing.TB, _ Flight, doc *etree.Document) { key().Sign(t, AssertionOf(doc), method) }
}

// oddly has the assertion signed with a SignedInfo that is not plain.
func oddly(odd func(info *etree.Element)) step {
	return func(t testing.TB, _ Flight, doc *etree.Document) { OurKey().SignOddly(t, AssertionOf(doc), odd) }
}

func algorithm(path, value string) func(*etree.Element) {
	return func(info *etree.Element) { info.FindElement("./"+path).CreateAttr("Algorithm", value) }
}

// then does one after the other.
func then(steps ...step) step {
	return func(t testing.TB, f Flight, doc *etree.Document) {
		for _, s := range steps {
			s(t, f, doc)
		}
	}
}

// signing makes a change that the provider then signs.
func signing(change func(doc *etree.Document)) step {
	return then(changing(change), SignAssertion)
}

func changing(change func(doc *etree.Document)) step {
	return func(_ testing.TB, _ Flight, doc *etree.Document) { change(doc) }
}

func find(doc *etree.Document, path string) *etree.Element { return doc.FindElement("//" + path) }

func drop(path string) step {
	return signing(func(doc *etree.Document) { el := find(doc, path); el.Parent().RemoveChild(el) })
}

func double(path string) step {
	return signing(func(doc *etree.Document) { el := find(doc, path); el.Parent().AddChild(el.Copy()) })
}

func duplicate(path string) step {
	return changing(func(doc *etree.Document) { el := find(doc, path); el.Parent().AddChild(el.Copy()) })
}

// add has the provider sign an element with one more child.
func add(path, child string) step {
	return signing(func(doc *etree.Document) { addTo(find(doc, path), child) })
}

func addTo(el *etree.Element, child string) {
	inner := etree.NewDocument()
	if err := inner.ReadFromString(child); err != nil {
		panic(err) // a table's own mistake
	}
	el.AddChild(inner.Root())
}

// extend puts something into the response, beside what is signed.
func extend(child string) func(string) string {
	return replaceText(`<samlp:Status>`, `<samlp:Extensions>`+child+`</samlp:Extensions><samlp:Status>`)
}

func replaceText(old, replacement string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, replacement, 1) }
}

// Evil is a copy of an element under another id that is about the victim.
func Evil(el *etree.Element) *etree.Element {
	c := el.Copy()
	c.CreateAttr("ID", "_evil")
	for _, name := range c.FindElements(".//NameID") {
		name.SetText("boss")
	}
	return c
}

// Without takes a child out of an element.
func Without(el *etree.Element, tag string) *etree.Element {
	el.RemoveChild(el.SelectElement(tag))
	return el
}

// WrapObject puts an element into an Object of a signature.
func WrapObject(signature, el *etree.Element) {
	signature.CreateElement("ds:Object").AddChild(el)
}
