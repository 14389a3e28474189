package attacktest

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
	"gatehouse/tenants"
)

// Attacks are all of them.
func Attacks() []Attack {
	var all []Attack
	for _, table := range [][]Attack{wrappings, signatures, profile, people, parsers, sealings()} {
		all = append(all, table...)
	}
	return all
}

// Controls are responses that are to be accepted, each beside attacks that are
// nearly the same.
func Controls() []Attack {
	seal := func(s Sealing) step { return then(SignAssertion, s.Encrypt) }
	sha1 := func(s *tenants.SAMLSpec) { s.AllowSHA1 = true }
	return []Attack{
		{Name: "the assertion signed"},
		{Name: "the response signed", With: SignResponse},
		{Name: "both signed", With: SignBoth},
		{Name: "the assertion, as wanted", Set: signed(tenants.SignedAssertion)},
		{Name: "the response, as wanted", With: SignResponse, Set: signed(tenants.SignedResponse)},
		{Name: "both, as wanted", With: SignBoth, Set: signed(tenants.SignedBoth)},
		{Name: "SHA-1, allowed", Set: sha1, With: oddly(func(info *etree.Element) {
			algorithm("SignatureMethod", dsig.RSASHA1SignatureMethod)(info)
			algorithm("Reference/DigestMethod", sha1Digest)(info)
		})},
		{Name: "a class that is wanted", Set: func(s *tenants.SAMLSpec) {
			s.AuthnContexts = []string{"urn:oasis:names:tc:SAML:2.0:ac:classes:Password"}
		}},
		{Name: "a clock that is behind", Wrong: func(m *Message) {
			m.Issued, m.NotOnOrAfter, m.ConfirmUntil = m.Issued.Add(-140*time.Second), m.Issued.Add(-50*time.Second), m.Issued.Add(-50*time.Second)
		}},
		{Name: "a clock that is ahead", Wrong: func(m *Message) { m.Issued, m.NotBefore = m.Issued.Add(50*time.Second), m.Issued.Add(50*time.Second) }},
		{Name: "a clock that is far behind, allowed", Set: func(s *tenants.SAMLSpec) { s.ClockSkew = 300 }, Wrong: func(m *Message) {
			m.Issued, m.NotOnOrAfter, m.ConfirmUntil = m.Issued.Add(-380*time.Second), m.Issued.Add(-290*time.Second), m.Issued.Add(-290*time.Second)
		}},
		{Name: "a clock that is far ahead, allowed", Set: func(s *tenants.SAMLSpec) { s.ClockSkew = 300 }, Wrong: func(m *Message) {
			m.Issued, m.NotBefore = m.Issued.Add(290*time.Second), m.Issued.Add(290*time.Second)
		}},
		{Name: "a name of the provider's for us", With: func(t testing.TB, f Flight, d *etree.Document) {
			find(d, "NameID").CreateAttr("NameQualifier", Entity)
			find(d, "NameID").CreateAttr("SPNameQualifier", f.Message.Audience)
			SignAssertion(t, f, d)
		}},
		{Name: "a name with empty qualifiers", With: then(changing(func(d *etree.Document) { find(d, "NameID").CreateAttr("SPNameQualifier", "") }), qualified("NameQualifier", ""))},
		{Name: "encrypted", With: seal(Sealing{}), Set: required},
		{Name: "encrypted by AES-128", With: seal(Sealing{Cipher: AES128GCM})},
		{Name: "encrypted, the key beside", With: seal(Sealing{Beside: true})},
		{Name: "encrypted, OAEP by SHA-256", With: seal(Sealing{Transport: OAEP})},
		{Name: "encrypted, the response signed", With: then(Sealing{}.Encrypt, SignResponse)},
		{Name: "encrypted, both signed", With: then(SignAssertion, Sealing{}.Encrypt, SignResponse), Set: signed(tenants.SignedBoth)},
		{Name: "AES-CBC, allowed", With: then(Sealing{Cipher: AES128CBC}.Encrypt, SignResponse), Set: cbc},
		{Name: "AES-CBC, both signed", With: then(SignAssertion, Sealing{Cipher: AES128CBC}.Encrypt, SignResponse), Set: cbc},
	}
}

const (
	sha1Digest = "http://www.w3.org/2000/09/xmldsig#sha1"
	c14n       = string(dsig.CanonicalXML10RecAlgorithmId)
)

func signed(rule tenants.SignedRule) func(*tenants.SAMLSpec) {
	return func(s *tenants.SAMLSpec) { s.Signed = rule }
}

// within has the response signed with a signature of somebody else's in it.
func within(path func(*etree.Document) *etree.Element) step {
	return func(t testing.TB, _ Flight, doc *etree.Document) {
		copied := doc.Copy()
		OtherKey().Sign(t, path(copied), dsig.RSASHA256SignatureMethod)
		path(doc).AddChild(Without(path(copied).SelectElement("Signature").Copy(), "KeyInfo"))
		OurKey().Sign(t, path(doc), dsig.RSASHA256SignatureMethod)
	}
}

var signatures = []Attack{
	{Name: "stripped", With: unsigned, By: "signed", Want: authn.SignatureMissing},
	{Name: "the response alone, assertions wanted", With: SignResponse, Set: signed(tenants.SignedAssertion), By: "signed-as-wanted", Want: authn.SignatureMissing},
	{Name: "the assertion alone, responses wanted", Set: signed(tenants.SignedResponse), By: "signed-as-wanted", Want: authn.SignatureMissing},
	{Name: "the assertion alone, both wanted", Set: signed(tenants.SignedBoth), By: "signed-as-wanted", Want: authn.SignatureMissing},
	{Name: "the response alone, both wanted", With: SignResponse, Set: signed(tenants.SignedBoth), By: "signed-as-wanted", Want: authn.SignatureMissing},
	{Name: "a good response around a bad assertion", By: "!signature", Want: authn.WrongKey, With: then(by(OtherKey, dsig.RSASHA256SignatureMethod), SignResponse)},
	{Name: "re-signed with another key", With: by(OtherKey, dsig.RSASHA256SignatureMethod), By: "!signature", Want: authn.WrongKey},
	{Name: "another key, none shown", By: "!signature", Want: authn.SignatureInvalid, With: then(by(OtherKey, dsig.RSASHA256SignatureMethod), changing(func(d *etree.Document) {
		Without(AssertionOf(d).SelectElement("Signature"), "KeyInfo")
	}))},
	{Name: "another key, ours shown", By: "!signature", Want: authn.SignatureInvalid, With: func(t testing.TB, f Flight, d *etree.Document) {
		forged := d.Copy()
		OtherKey().Sign(t, AssertionOf(d), dsig.RSASHA256SignatureMethod)
		SignAssertion(t, f, forged)
		AssertionOf(d).FindElement(".//X509Certificate").SetText(AssertionOf(forged).FindElement(".//X509Certificate").Text())
	}},
	{Name: "another key, as a plain value", By: "!signature", Want: authn.SignatureInvalid, With: then(by(OtherKey, dsig.RSASHA256SignatureMethod), changing(func(d *etree.Document) {
		info := AssertionOf(d).FindElement("./Signature/KeyInfo")
		Without(info, "X509Data")
		addTo(info, `<ds:KeyValue xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>`)
	}))},
	{Name: "changed after signing", Bytes: replaceText(">gil<", ">boss<"), By: "!signature", Want: authn.SignatureInvalid},
	{Name: "attribute changed", Bytes: replaceText("gil@globex", "boss@globex"), By: "!signature", Want: authn.SignatureInvalid},
	{Name: "namespace of a prefix changed", Bytes: replaceText(`<saml:Attribute Name="mail">`, `<saml:Attribute xmlns:saml="urn:evil" Name="mail">`), By: "!signature", Want: authn.SignatureInvalid},
	{Name: "SHA-1", With: oddly(algorithm("SignatureMethod", dsig.RSASHA1SignatureMethod)), By: "signature-method", Want: authn.WrongAlgorithm},
	{Name: "SHA-1 digest", With: oddly(algorithm("Reference/DigestMethod", sha1Digest)), By: "digest-method", Want: authn.WrongAlgorithm},
	{Name: "SHA-1 of a response", By: "signature-method", Want: authn.WrongAlgorithm, With: func(t testing.TB, _ Flight, d *etree.Document) {
		OurKey().Sign(t, d.Root(), dsig.RSASHA1SignatureMethod)
	}},
	{Name: "HMAC with the public key", By: "signature-method", Want: authn.WrongAlgorithm, Change: changing(func(d *etree.Document) {
		find(d, "SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
	})},
	{Name: "XSLT transform", By: "transforms", Want: authn.SignatureAmbiguous, Change: changing(func(d *etree.Document) {
		find(d, "Transforms/Transform[1]").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
	})},
	{Name: "XPath transform that signs nothing", By: "transforms", Want: authn.SignatureAmbiguous, Change: changing(func(d *etree.Document) {
		addTo(find(d, "Transforms"), `<ds:Transform xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>false()</ds:XPath></ds:Transform>`)
	})},
	{Name: "canonicalised twice", By: "transforms", Want: authn.SignatureAmbiguous, With: oddly(func(info *etree.Element) {
		transforms := info.FindElement("./Reference/Transforms")
		transforms.AddChild(transforms.SelectElements("Transform")[1].Copy())
	})},
	{Name: "inclusive canonicalisation", By: "canonicalization", Want: authn.SignatureAmbiguous, With: oddly(algorithm("CanonicalizationMethod", c14n))},
	{Name: "signature of the whole file", By: "reference", Want: authn.SignatureAmbiguous, With: oddly(func(info *etree.Element) { info.FindElement("./Reference").CreateAttr("URI", "") })},
	{Name: "signature of another id", By: "reference", Want: authn.SignatureAmbiguous, Change: changing(func(d *etree.Document) { find(d, "Reference").CreateAttr("URI", "#_response") })},
	{Name: "two references", Change: duplicate("Reference"), By: "signed-info", Want: authn.SignatureAmbiguous},
	{Name: "something else in SignedInfo", By: "signed-info", Want: authn.SignatureAmbiguous, With: oddly(func(info *etree.Element) { info.CreateElement("ds:Object") })},
	{Name: "something else in the reference", By: "reference-parts", Want: authn.SignatureAmbiguous, With: oddly(func(info *etree.Element) { info.FindElement("./Reference").CreateElement("ds:Object") })},
	{Name: "two SignedInfo", Change: duplicate("SignedInfo"), By: "signature-parts", Want: authn.SignatureAmbiguous},
	{Name: "an object in the signature", By: "signature-parts", Want: authn.SignatureAmbiguous, Change: changing(func(d *etree.Document) { find(d, "Signature").CreateElement("ds:Object") })},
	{Name: "two keys in the signature", Change: duplicate("KeyInfo"), By: "signature-parts", Want: authn.SignatureAmbiguous},
	{Name: "two signatures", Change: duplicate("Signature"), By: "assertion-signature-once", Want: authn.SignatureAmbiguous},
	{Name: "two signatures, one within what the other covers", With: within(AssertionOf), By: "assertion-signature-once", Want: authn.SignatureAmbiguous},
	{Name: "two signatures of the response", With: within(func(d *etree.Document) *etree.Element { return d.Root() }), By: "response-signature-once", Want: authn.SignatureAmbiguous},
	{Name: "ten thousand transforms", By: "elements", Want: authn.TooLarge, Change: changing(func(d *etree.Document) {
		transforms := find(d, "Transforms")
		for range 10_000 {
			transforms.CreateElement("x")
		}
	})},
	{Name: "signature inside an attribute", By: "signature-place", Want: authn.SignatureAmbiguous, Change: changing(func(d *etree.Document) {
		signature := AssertionOf(d).SelectElement("Signature")
		AssertionOf(d).RemoveChild(signature)
		find(d, "AttributeValue").AddChild(signature)
	})},
	{Name: "signature beside what is signed", By: "signature-place", Want: authn.SignatureAmbiguous, Change: changing(func(d *etree.Document) {
		d.Root().CreateElement("samlp:Extensions").AddChild(find(d, "Signature").Copy())
	})},
	{Name: "signature of another namespace", By: "signature-place", Want: authn.SignatureAmbiguous, Bytes: replaceText(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">`, `<ds:Signature xmlns:ds="urn:evil">`)},
}

func late(m *Message, at *time.Time) { *at = m.Issued.Add(-90 * time.Second) }

var profile = []Attack{
	{Name: "wrong issuer", Wrong: func(m *Message) { m.AssertionIssuer = "https://evil.example" }, By: "issuer", Want: authn.WrongIssuer},
	{Name: "wrong response issuer", Wrong: func(m *Message) { m.Issuer = "https://evil.example" }, By: "response-issuer", Want: authn.WrongIssuer},
	{Name: "two issuers", With: double("Assertion/Issuer"), By: "issuer", Want: authn.WrongIssuer},
	{Name: "wrong audience", Wrong: func(m *Message) { m.Audience = "https://other.example" }, By: "audience", Want: authn.WrongAudience},
	{Name: "a second restriction to others", By: "audience", Want: authn.WrongAudience, With: add("Conditions", `<saml:AudienceRestriction xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>`)},
	{Name: "no audience", With: drop("AudienceRestriction"), By: "audience-named", Want: authn.WrongAudience},
	{Name: "wrong destination", Wrong: func(m *Message) { m.Destination = "https://other.example/acs" }, By: "destination", Want: authn.WrongDestination},
	{Name: "no destination of a signed response", With: then(changing(func(d *etree.Document) { d.Root().RemoveAttr("Destination") }), SignResponse), By: "destination", Want: authn.WrongDestination},
	{Name: "wrong recipient", Wrong: func(m *Message) { m.Recipient = "https://other.example/acs" }, By: "recipient", Want: authn.WrongRecipient},
	{Name: "no recipient", With: signing(func(d *etree.Document) { find(d, "SubjectConfirmationData").RemoveAttr("Recipient") }), By: "recipient", Want: authn.WrongRecipient},
	{Name: "wrong InResponseTo", Wrong: func(m *Message) { m.InResponseTo = "_other" }, By: "request", Want: authn.WrongRequest},
	{Name: "no InResponseTo", Wrong: func(m *Message) { m.InResponseTo, m.SubjectInResponseTo = "", "" }, By: "request", Want: authn.WrongRequest},
	{Name: "wrong subject's request", Wrong: func(m *Message) { m.SubjectInResponseTo = "_other" }, By: "confirmation-request", Want: authn.WrongRequest},
	{Name: "no subject's request", Wrong: func(m *Message) { m.SubjectInResponseTo = "" }, By: "confirmation-request", Want: authn.WrongRequest},
	{Name: "expired conditions", Wrong: func(m *Message) { late(m, &m.NotOnOrAfter) }, By: "conditions-end", Want: authn.Expired},
	{Name: "expired confirmation", Wrong: func(m *Message) { late(m, &m.ConfirmUntil) }, By: "confirmation-end", Want: authn.Expired},
	{Name: "expired session", By: "provider-session", Want: authn.Expired, With: signing(func(d *etree.Document) {
		find(d, "AuthnStatement").CreateAttr("SessionNotOnOrAfter", "2020-01-01T00:00:00Z")
	})},
	{Name: "old", Wrong: func(m *Message) { m.Issued = m.Issued.Add(-time.Hour) }, By: "issued-long-ago", Want: authn.Expired},
	{Name: "undated", With: signing(func(d *etree.Document) { AssertionOf(d).RemoveAttr("IssueInstant") }), By: "issued-long-ago", Want: authn.Expired},
	{Name: "not yet valid", Wrong: func(m *Message) { m.NotBefore = m.Issued.Add(2 * time.Minute) }, By: "conditions-begin", Want: authn.NotYetValid},
	{Name: "issued in the future", Wrong: func(m *Message) { m.Issued = m.Issued.Add(time.Hour) }, By: "issued-ahead", Want: authn.NotYetValid},
	{Name: "beyond a smaller skew", Set: func(s *tenants.SAMLSpec) { s.ClockSkew = 5 }, Wrong: func(m *Message) { m.NotBefore = m.Issued.Add(30 * time.Second) }, By: "conditions-begin", Want: authn.NotYetValid},
	{Name: "a time that is none", By: "conditions-end", Want: authn.Malformed, With: signing(func(d *etree.Document) { find(d, "Conditions").CreateAttr("NotOnOrAfter", "never") })},
	{Name: "no conditions", With: drop("Conditions"), By: "conditions", Want: authn.ConditionsMissing},
	{Name: "conditions without an end", With: signing(func(d *etree.Document) { find(d, "Conditions").RemoveAttr("NotOnOrAfter") }), By: "conditions-limits", Want: authn.ConditionsMissing},
	{Name: "two conditions", With: double("Conditions"), By: "conditions", Want: authn.ConditionsMissing},
	{Name: "conditions elsewhere", With: add("Assertion", `<saml:Advice xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Conditions/></saml:Advice>`), By: "conditions-place", Want: authn.Malformed},
	{Name: "a condition not known", With: add("Conditions", `<saml:Condition xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`), By: "conditions-known", Want: authn.ConditionsMissing},
	{Name: "no confirmation", With: drop("SubjectConfirmation"), By: "confirmation", Want: authn.ConfirmationMissing},
	{Name: "no confirmation data", With: drop("SubjectConfirmationData"), By: "confirmation-data", Want: authn.ConfirmationMissing},
	{Name: "confirmation without an end", With: signing(func(d *etree.Document) { find(d, "SubjectConfirmationData").RemoveAttr("NotOnOrAfter") }), By: "confirmation-limits", Want: authn.ConfirmationMissing},
	{Name: "confirmation with a beginning", With: signing(func(d *etree.Document) {
		find(d, "SubjectConfirmationData").CreateAttr("NotBefore", "2020-01-01T00:00:00Z")
	}), By: "confirmation-limits", Want: authn.ConfirmationMissing},
	{Name: "not the bearer method", Wrong: func(m *Message) { m.Method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches" }, By: "confirmation-method", Want: authn.ConfirmationMissing},
	{Name: "no authentication", With: drop("AuthnStatement"), By: "authentication", Want: authn.Malformed},
	{Name: "another class of authentication", Set: func(s *tenants.SAMLSpec) { s.AuthnContexts = []string{"https://refeds.org/profile/mfa"} }, By: "context", Want: authn.WrongContext},
	{Name: "no class of authentication", Set: func(s *tenants.SAMLSpec) { s.AuthnContexts = []string{"https://refeds.org/profile/mfa"} }, With: drop("AuthnContext"), By: "context", Want: authn.WrongContext},
	{Name: "the provider's refusal", Wrong: func(m *Message) { m.Status = "urn:oasis:names:tc:SAML:2.0:status:Responder" }, By: "status", Want: authn.ProviderRefused},
	{Name: "a status that is an essay", Wrong: func(m *Message) { m.Status = strings.Repeat("x", 1000) }, By: "status", Want: authn.ProviderRefused},
}

// qualified has the provider sign a name with a qualifier.
func qualified(attribute, value string) step {
	return signing(func(d *etree.Document) { find(d, "NameID").CreateAttr(attribute, value) })
}

var people = []Attack{
	{Name: "comment in NameID", Wrong: func(m *Message) { m.NameID = "boss@acme.example.evil.example" }, Bytes: replaceText("boss@acme.example", "boss@acme.example<!---->"), By: "comment", Want: authn.Malformed},
	{Name: "instruction in NameID", Wrong: func(m *Message) { m.NameID = "boss@acme.example.evil.example" }, Bytes: replaceText("boss@acme.example", "boss@acme.example<?x?>"), By: "instruction", Want: authn.Malformed},
	{Name: "comment in an attribute", Bytes: replaceText("gil@globex.example", "gil@globex.example<!-- .evil -->"), By: "comment", Want: authn.Malformed},
	{Name: "child in NameID", With: add("NameID", `<b/>`), By: "name", Want: authn.SubjectUnusable},
	{Name: "two NameIDs", With: double("NameID"), By: "name", Want: authn.SubjectUnusable},
	{Name: "another id beside the NameID", With: add("Subject", `<saml:BaseID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`), By: "subject-parts", Want: authn.SubjectUnusable},
	{Name: "two subjects", With: double("Subject"), By: "subject", Want: authn.SubjectUnusable},
	{Name: "a subject elsewhere", With: add("Assertion", `<saml:Advice xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Subject/></saml:Advice>`), By: "subject-place", Want: authn.Malformed},
	{Name: "no subject", With: drop("Subject"), By: "subject", Want: authn.SubjectUnusable},
	{Name: "empty NameID", Wrong: func(m *Message) { m.NameID = " " }, By: "name-text", Want: authn.SubjectUnusable},
	{Name: "NameID of two lines", Wrong: func(m *Message) { m.NameID = "gil\nboss" }, By: "name-text", Want: authn.SubjectUnusable},
	{Name: "transient NameID", Wrong: func(m *Message) { m.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" }, By: "name-lasting", Want: authn.SubjectUnusable},
	{Name: "a name of another domain", With: qualified("NameQualifier", "https://other.example/saml"), By: "name-qualifier", Want: authn.SubjectForeign},
	{Name: "a name of a domain that is nearly the provider's", With: qualified("NameQualifier", Entity+"/"), By: "name-qualifier", Want: authn.SubjectForeign},
	{Name: "a name of a domain without a name", With: qualified("NameQualifier", " "), By: "name-qualifier", Want: authn.SubjectForeign},
	{Name: "a name for another service", With: qualified("SPNameQualifier", "https://other.example/.gatehouse/saml/adfs/metadata"), By: "sp-name-qualifier", Want: authn.SubjectForeign},
	{Name: "a name for an affiliation", With: qualified("SPNameQualifier", "urn:example:affiliation"), By: "sp-name-qualifier", Want: authn.SubjectForeign},
	{Name: "a name for the provider itself", With: qualified("SPNameQualifier", Entity), By: "sp-name-qualifier", Want: authn.SubjectForeign},
	{Name: "an address of another domain", Wrong: func(m *Message) {
		m.NameID, m.Format = m.Email, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	},
		With: qualified("NameQualifier", "other.example"), By: "name-qualifier", Want: authn.SubjectForeign},
	{Name: "no assertion", With: changing(func(d *etree.Document) { Without(d.Root(), "Assertion") }), By: "one-assertion", Want: authn.Malformed},
	{Name: "assertion namespace", Bytes: replaceText(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`, `<saml:Assertion xmlns:saml="urn:evil"`), By: "assertion-place", Want: authn.Malformed},
	{Name: "version 1.1", Wrong: func(m *Message) { m.Version = "1.1" }, By: "version", Want: authn.Malformed},
	{Name: "assertion of version 1.1", With: signing(func(d *etree.Document) { AssertionOf(d).CreateAttr("Version", "1.1") }), By: "assertion-version", Want: authn.Malformed},
	{Name: "not a response at all", Bytes: func(string) string { return `<html/>` }, By: "response", Want: authn.Malformed},
	{Name: "another message around the assertion", By: "response", Want: authn.Malformed, Bytes: func(s string) string { return strings.ReplaceAll(s, "samlp:Response", "samlp:Reply") }},
	{Name: "response of another namespace", By: "response", Want: authn.Malformed, Bytes: replaceText(`urn:oasis:names:tc:SAML:2.0:protocol`, `urn:oasis:names:tc:SAML:1.0:protocol`)},
}

var parsers = []Attack{
	{Name: "DTD", Bytes: func(s string) string { return `<!DOCTYPE r [<!ENTITY x "boss">]>` + s }, By: "document-type", Want: authn.Malformed},
	{Name: "a billion laughs", By: "document-type", Want: authn.Malformed, Bytes: func(s string) string {
		return `<!DOCTYPE r [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>` + s
	}},
	{Name: "external entity", Bytes: func(s string) string { return `<!DOCTYPE r SYSTEM "file:///etc/passwd">` + s }, By: "document-type", Want: authn.Malformed},
	{Name: "entity", Bytes: replaceText(">gil<", ">&x;<"), By: "!read", Want: authn.Malformed},
	{Name: "processing instruction", Bytes: func(s string) string { return `<?evil go?>` + s }, By: "instruction", Want: authn.Malformed},
	{Name: "other encoding", Bytes: func(s string) string { return `<?xml version="1.0" encoding="UTF-7"?>` + s }, By: "!read", Want: authn.Malformed},
	{Name: "trailing text", Bytes: func(s string) string { return s + "x" }, By: "text-outside", Want: authn.Malformed},
	{Name: "trailing document", Bytes: func(s string) string { return s + "<x/>" }, By: "one-document", Want: authn.Malformed},
	{Name: "id given twice", Bytes: replaceText(`ID="_response"`, `ID="_response" ID="_response"`), By: "attribute-twice", Want: authn.Malformed},
	{Name: "attribute given twice", Bytes: replaceText(`<samlp:Status>`, `<samlp:Status a="1" a="2">`), By: "attribute-twice", Want: authn.Malformed},
	{Name: "a second id", Bytes: replaceText(`<samlp:Status>`, `<samlp:Status ID="_response">`), By: "ids", Want: authn.Malformed},
	{Name: "an xml:id", Bytes: replaceText(`<samlp:Status>`, `<samlp:Status xml:id="_response">`), By: "ids", Want: authn.Malformed},
	{Name: "an empty id", Bytes: replaceText(`<samlp:Status>`, `<samlp:Status Id="">`), By: "ids", Want: authn.Malformed},
	{Name: "a response inside the response", Bytes: extend(`<samlp:Response/>`), By: "response-place", Want: authn.Malformed},
	{Name: "deep", Bytes: extend(strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)), By: "depth", Want: authn.TooDeep},
	{Name: "very deep", Bytes: extend(strings.Repeat("<a>", 2000) + strings.Repeat("</a>", 2000)), By: "depth", Want: authn.TooDeep},
	{Name: "wide", Bytes: extend(strings.Repeat("<a/>", 10_000)), By: "elements", Want: authn.TooLarge},
	{Name: "huge", Bytes: extend(strings.Repeat(" ", 260<<10)), By: "size", Want: authn.TooLarge},
	{Name: "many attributes", Bytes: replaceText(`<samlp:Status>`, `<samlp:Status`+attributes(100)+`>`), By: "attributes", Want: authn.TooLarge},
	{Name: "a number that is none", With: add("Conditions", `<saml:ProxyRestriction xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><Count>x</Count></saml:ProxyRestriction>`), By: "library", Want: authn.Malformed},
	{Name: "more than is verified", By: "!read", Want: authn.TooLarge, With: signing(func(d *etree.Document) {
		statement := find(d, "AttributeStatement")
		for range 1200 {
			statement.CreateElement("saml:Attribute")
		}
	})},
	{Name: "a deflate bomb, as if by redirect", Bytes: bomb, By: "!read", Want: authn.Malformed},
	{Name: "cut short", Bytes: func(s string) string { return s[:len(s)/2] }, By: "!read", Want: authn.Malformed},
	{Name: "nothing", Bytes: func(string) string { return " " }, By: "!read", Want: authn.Malformed},
}

// bomb is 16 MB of nothing that packs to 16 KB.
func bomb(string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(bytes.Repeat([]byte(" "), 16<<20))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.String()
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + strings.Repeat("x", i) + `=""`)
	}
	return b.String()
}

// flip changes one bit.
func flip(at func(n int) int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[at(len(b))] ^= 1
		return b
	}
}

func required(s *tenants.SAMLSpec) { s.Encryption = tenants.EncryptionRequired }
func cbc(s *tenants.SAMLSpec)      { s.AllowCBC = true }

// sealings are about encrypted assertions. What comes of a key that has touched
// them is one answer.
func sealings() []Attack {
	first, last, end := func(int) int { return 0 }, func(n int) int { return n - 1 }, func(n int) int { return n - 17 }
	other := func(to Signer) step {
		return func(t testing.TB, f Flight, doc *etree.Document) {
			f.Certificate = to.Cert
			Sealing{}.Encrypt(t, f, doc)
		}
	}
	change := func(path string, how func(*etree.Element)) step {
		return then(Sealing{}.Encrypt, changing(func(d *etree.Document) { how(find(d, path)) }))
	}
	inCBC := func(s Sealing) step {
		s.Cipher = AES128CBC
		return then(s.Encrypt, SignResponse)
	}
	return []Attack{
		{Name: "clear where encryption is wanted", Set: required, By: "encryption-wanted", Want: authn.NotEncrypted},
		{Name: "an encrypted one beside it", By: "one-assertion", Want: authn.Malformed, Bytes: replaceText("<saml:Assertion ", "<saml:EncryptedAssertion>garbage</saml:EncryptedAssertion><saml:Assertion ")},
		{Name: "encrypted garbage", By: "encryption-form", Want: authn.Malformed, With: changing(func(d *etree.Document) {
			Without(d.Root(), "Assertion").CreateElement("saml:EncryptedAssertion").SetText("garbage")
		})},
		{Name: "an encrypted NameID", By: "encrypted-part", Want: authn.Encrypted, With: add("Subject", `<saml:EncryptedID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`)},
		{Name: "an encrypted attribute", By: "encrypted-part", Want: authn.Encrypted, With: add("AttributeStatement", `<saml:EncryptedAttribute xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`)},
		{Name: "an encrypted one elsewhere", By: "encrypted-part", Want: authn.Malformed, Bytes: extend(`<saml:EncryptedAssertion/>`)},
		{Name: "encrypted content instead of an element", By: "encryption-form", Want: authn.Malformed, Change: change("EncryptedData", func(el *etree.Element) { el.CreateAttr("Type", "http://www.w3.org/2001/04/xmlenc#Content") })},
		{Name: "encrypted data somewhere else", By: "encryption-form", Want: authn.Malformed, Change: change("EncryptedData/CipherData", func(el *etree.Element) {
			Without(el, "CipherValue").CreateElement("xenc:CipherReference").CreateAttr("URI", "http://169.254.169.254/")
		})},
		{Name: "two encrypted keys", By: "encryption-form", Want: authn.Malformed, Change: change("EncryptedKey", func(el *etree.Element) { el.Parent().AddChild(el.Copy()) })},
		{Name: "encrypted, cut short", By: "encryption-form", Want: authn.Malformed, Change: Sealing{Bytes: func(b []byte) []byte { return b[:20] }}.Encrypt},
		{Name: "encrypted, not base64", By: "encryption-form", Want: authn.Malformed, Change: change("EncryptedData/CipherData/CipherValue", func(el *etree.Element) { el.SetText("!") })},
		{Name: "AES-CBC", By: "cipher", Want: authn.WrongAlgorithm, Change: Sealing{Cipher: AES128CBC}.Encrypt},
		{Name: "3DES", By: "cipher", Want: authn.WrongAlgorithm, Change: change("EncryptedData/EncryptionMethod", func(el *etree.Element) { el.CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc") })},
		{Name: "AES-CBC in a response that is not signed", Set: cbc, By: "cbc-signed", Want: authn.SignatureMissing, Change: Sealing{Cipher: AES128CBC}.Encrypt},
		{Name: "AES-GCM passed off as AES-CBC", Set: cbc, By: "cbc-signed", Want: authn.SignatureMissing, Change: then(Sealing{Cipher: AES128GCM, Bytes: func(b []byte) []byte { return b[:len(b)/16*16] }}.Encrypt, changing(func(d *etree.Document) {
			find(d, "EncryptedData/EncryptionMethod").CreateAttr("Algorithm", AES128CBC)
		}))},
		{Name: "a key by PKCS#1 v1.5", By: "key-transport", Want: authn.WrongAlgorithm, Change: Sealing{Transport: PKCS1v15}.Encrypt},
		{Name: "a key under a label", By: "key-transport", Want: authn.WrongAlgorithm, Change: change("EncryptedKey/EncryptionMethod", func(el *etree.Element) { el.CreateElement("xenc:OAEPparams") })},
		{Name: "nothing signed inside", With: Sealing{}.Encrypt, By: "signed", Want: authn.SignatureMissing},
		{Name: "another key's signature inside", With: then(by(OtherKey, dsig.RSASHA256SignatureMethod), Sealing{}.Encrypt), By: "!signature", Want: authn.WrongKey},
		{Name: "changed inside", By: "!signature", Want: authn.SignatureInvalid, Change: Sealing{Plain: func(b []byte) []byte { return []byte(strings.Replace(string(b), ">gil<", ">boss<", 1)) }}.Encrypt},
		{Name: "signed, and swapped for another's", With: then(SignAssertion, Sealing{}.Encrypt, SignResponse, changing(func(d *etree.Document) {
			el := find(d, "EncryptedData/CipherData/CipherValue")
			raw, _ := base64.StdEncoding.DecodeString(el.Text()) // just written
			raw[0] ^= 1
			el.SetText(base64.StdEncoding.EncodeToString(raw))
		})), By: "!signature", Want: authn.SignatureInvalid},
		{Name: "the wrong audience inside", Wrong: func(m *Message) { m.Audience = "https://other.example" }, Change: Sealing{}.Encrypt, By: "audience", Want: authn.WrongAudience},
		{Name: "a subject too many inside", With: then(double("Subject"), Sealing{}.Encrypt), By: "subject", Want: authn.SubjectUnusable},
		{Name: "an id of the response inside", By: "ids", Want: authn.Malformed, Wrong: func(m *Message) { m.AssertionID = "_response" }, Change: Sealing{}.Encrypt},

		{Name: "oracle: nonce", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Bytes: flip(first)}.Encrypt},
		{Name: "oracle: tag", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Bytes: flip(last)}.Encrypt},
		{Name: "oracle: text", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Bytes: flip(end)}.Encrypt},
		{Name: "oracle: key", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Wrapped: flip(last)}.Encrypt},
		{Name: "oracle: key for another", By: "!sealed", Want: authn.Encrypted, Change: other(OtherKey())},
		{Name: "oracle: key of another length", By: "!sealed", Want: authn.Encrypted, Change: then(Sealing{Cipher: AES128GCM}.Encrypt, changing(func(d *etree.Document) {
			find(d, "EncryptedData/EncryptionMethod").CreateAttr("Algorithm", AES256GCM)
		}))},
		{Name: "oracle: key too long to be one", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Wrapped: func(b []byte) []byte { return append(b, b...) }}.Encrypt},
		{Name: "oracle: no XML", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Plain: func([]byte) []byte { return []byte("not XML") }}.Encrypt},
		{Name: "oracle: nothing", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Plain: func([]byte) []byte { return nil }}.Encrypt},
		{Name: "oracle: something else", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Plain: func([]byte) []byte { return []byte("<html/>") }}.Encrypt},
		{Name: "oracle: a document type", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Plain: func(b []byte) []byte { return append([]byte("<!DOCTYPE r>"), b...) }}.Encrypt},
		{Name: "oracle: a comment", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Plain: func(b []byte) []byte { return []byte(strings.Replace(string(b), ">gil<", ">g<!---->il<", 1)) }}.Encrypt},
		{Name: "oracle: nested deeply", By: "!sealed", Want: authn.Encrypted, Change: Sealing{Plain: func([]byte) []byte { return []byte(strings.Repeat("<a>", 5000)) }}.Encrypt},
		{Name: "oracle: padding too long", Set: cbc, By: "!sealed", Want: authn.Encrypted, With: inCBC(Sealing{Bytes: flip(end)})},
		{Name: "oracle: last block", Set: cbc, By: "!sealed", Want: authn.Encrypted, With: inCBC(Sealing{Bytes: flip(last)})},
		{Name: "oracle: first block", Set: cbc, By: "!sealed", Want: authn.Encrypted, With: inCBC(Sealing{Bytes: flip(func(int) int { return 16 })})},
	}
}
