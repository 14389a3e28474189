package attacktest

import (
	"github.com/beevik/etree"

	"gatehouse/authn"
)

// The eight ways of XML signature wrapping (Somorovsky et al., "On Breaking
// SAML: Be Whoever You Want to Be", USENIX Security 2012, §4.2), and their kin.
var wrappings = []Attack{
	{Name: "XSW1", With: SignResponse, By: "ids", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := doc.Root()
		e := Evil(original)
		doc.SetRoot(e)
		e.SelectElement("Signature").AddChild(Without(original, "Signature"))
	})},
	{Name: "XSW2", With: SignResponse, By: "ids", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := doc.Root()
		e := Evil(original)
		doc.SetRoot(e)
		e.InsertChildAt(1, Without(original, "Signature"))
	})},
	{Name: "XSW2, other ids", With: SignResponse, By: "response-place", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := doc.Root()
		e := Evil(original)
		AssertionOf(etree.NewDocumentWithRoot(e)).CreateAttr("ID", "_evil2")
		doc.SetRoot(e)
		e.InsertChildAt(1, Without(original, "Signature"))
	})},
	{Name: "XSW3", By: "one-assertion", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		e := Without(Evil(AssertionOf(doc)), "Signature")
		doc.Root().InsertChildAt(AssertionOf(doc).Index(), e)
	})},
	{Name: "XSW4", By: "assertion-place", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := AssertionOf(doc)
		e := Without(Evil(original), "Signature")
		doc.Root().RemoveChild(original)
		e.AddChild(original)
		doc.Root().AddChild(e)
	})},
	{Name: "XSW5", By: "one-assertion", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := AssertionOf(doc)
		doc.Root().InsertChildAt(original.Index(), Evil(original))
		Without(original, "Signature")
	})},
	{Name: "XSW6", By: "assertion-place", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := AssertionOf(doc)
		e := Evil(original)
		doc.Root().RemoveChild(original)
		e.SelectElement("Signature").AddChild(Without(original, "Signature"))
		doc.Root().AddChild(e)
	})},
	{Name: "XSW7", By: "assertion-place", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(Without(Evil(AssertionOf(doc)), "Signature"))
		doc.Root().InsertChildAt(AssertionOf(doc).Index(), extensions)
	})},
	{Name: "XSW8", By: "assertion-place", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := AssertionOf(doc)
		e := Evil(original)
		doc.Root().RemoveChild(original)
		WrapObject(e.SelectElement("Signature"), Without(original, "Signature"))
		doc.Root().AddChild(e)
	})},
	{Name: "the original in the evil one's advice", By: "assertion-place", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		original := AssertionOf(doc)
		e := Evil(original)
		doc.Root().RemoveChild(original)
		e.CreateElement("saml:Advice").AddChild(Without(original, "Signature"))
		doc.Root().AddChild(e)
	})},
	{Name: "same id, the evil one first", By: "ids", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		e := Without(Evil(AssertionOf(doc)), "Signature")
		e.CreateAttr("ID", AssertionOf(doc).SelectAttrValue("ID", ""))
		doc.Root().InsertChildAt(AssertionOf(doc).Index(), e)
	})},
	{Name: "the evil one last", By: "one-assertion", Want: authn.Malformed, Change: changing(func(doc *etree.Document) {
		doc.Root().AddChild(Without(Evil(AssertionOf(doc)), "Signature"))
	})},
	{Name: "an assertion of another namespace first", By: "assertion-place", Want: authn.Malformed,
		Bytes: replaceText(`<samlp:Status>`, `<evil:Assertion xmlns:evil="urn:evil"/><samlp:Status>`)},
}
