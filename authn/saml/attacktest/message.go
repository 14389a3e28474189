package attacktest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
)

// Entity is how the identity provider calls itself.
const Entity = "https://idp.acme.example/saml"

// Metadata describes the identity provider, with these signing keys.
func Metadata(sso string, keys ...Signer) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><!-- made by a person --><EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + Entity +
		`"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`)
	for _, k := range keys {
		b.WriteString(`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
			base64.StdEncoding.EncodeToString(k.Cert.Raw) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`)
	}
	b.WriteString(`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + sso + `"/></IDPSSODescriptor></EntityDescriptor>`)
	return b.String()
}

// SignedMetadata is metadata signed by a key.
func SignedMetadata(t testing.TB, by Signer, metadata string, odd func(*etree.Element)) string {
	t.Helper()
	doc := etree.NewDocument()
	check(t, doc.ReadFromString(metadata))
	doc.Root().CreateAttr("ID", "_metadata")
	by.SignOddly(t, doc.Root(), func(info *etree.Element) {
		if odd != nil {
			odd(info)
		}
	})
	text, err := doc.WriteToString()
	check(t, err)
	return text
}

// Message is what a response is made of; every field can be made wrong.
type Message struct {
	Issuer, Destination, InResponseTo, Version              string
	AssertionIssuer, AssertionID, NameID, Format, Method    string
	Recipient, SubjectInResponseTo, Audience, Email, Status string
	Class                                                   string
	Issued, NotBefore, NotOnOrAfter, ConfirmUntil           time.Time
	Authenticated                                           time.Time
}

// Answer is the message that answers a request, or none if it is "", as it should
// be.
func Answer(request, acs, audience string, now time.Time) Message {
	return Message{
		Issuer: Entity, Destination: acs, InResponseTo: request, Version: "2.0",
		AssertionIssuer: Entity, AssertionID: "_a" + request, NameID: "gil", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		Method: "urn:oasis:names:tc:SAML:2.0:cm:bearer", Recipient: acs, SubjectInResponseTo: request, Audience: audience,
		Email: "gil@globex.example", Status: "urn:oasis:names:tc:SAML:2.0:status:Success", Class: "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
		Issued: now, Authenticated: now, NotBefore: now.Add(-time.Minute), NotOnOrAfter: now.Add(5 * time.Minute), ConfirmUntil: now.Add(5 * time.Minute)}
}

var messageTemplate = template.Must(template.New("").Funcs(template.FuncMap{"at": func(t time.Time) string { return t.UTC().Format(time.RFC3339) }}).Parse(
	`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_response" Version="{{.Version}}" IssueInstant="{{at .Issued}}" Destination="{{.Destination}}"{{with .InResponseTo}} InResponseTo="{{.}}"{{end}}>` +
		`<saml:Issuer>{{.Issuer}}</saml:Issuer><samlp:Status><samlp:StatusCode Value="{{.Status}}"/></samlp:Status>` +
		`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{{.AssertionID}}" Version="2.0" IssueInstant="{{at .Issued}}"><saml:Issuer>{{.AssertionIssuer}}</saml:Issuer>` +
		`<saml:Subject><saml:NameID Format="{{.Format}}">{{.NameID}}</saml:NameID><saml:SubjectConfirmation Method="{{.Method}}"><saml:SubjectConfirmationData NotOnOrAfter="{{at .ConfirmUntil}}" Recipient="{{.Recipient}}"{{with .SubjectInResponseTo}} InResponseTo="{{.}}"{{end}}/></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="{{at .NotBefore}}" NotOnOrAfter="{{at .NotOnOrAfter}}"><saml:AudienceRestriction><saml:Audience>{{.Audience}}</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="{{at .Authenticated}}" SessionIndex="idx"><saml:AuthnContext><saml:AuthnContextClassRef>{{.Class}}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		`<saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>{{.Email}}</saml:AttributeValue></saml:Attribute><saml:Attribute Name="displayName"><saml:AttributeValue>Gil</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>` +
		`</saml:Assertion></samlp:Response>`))

// Document is the message, not signed yet.
func (m Message) Document(t testing.TB) *etree.Document {
	t.Helper()
	var b bytes.Buffer
	check(t, messageTemplate.Execute(&b, m))
	doc := etree.NewDocument()
	check(t, doc.ReadFromBytes(b.Bytes()))
	return doc
}

// AssertionOf is the first assertion of a response.
func AssertionOf(doc *etree.Document) *etree.Element { return doc.Root().SelectElement("Assertion") }

// Fingerprint is that of a signer's certificate, as connections keep it.
func Fingerprint(s Signer) string {
	sum := sha256.Sum256(s.Cert.Raw)
	return hex.EncodeToString(sum[:])
}
