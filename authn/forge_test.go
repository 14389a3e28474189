package authn_test

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"html/template"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/tenants"
)

// signer is a key with its certificate, as identity providers have them.
type signer struct {
	pair tls.Certificate
	cert *x509.Certificate
}

func newSigner() (signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return signer{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return signer{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return signer{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, cert}, err
}

// The two keys of all tests, made once because that takes a while.
var ourKey, otherKey = sync.OnceValue(mustSigner), sync.OnceValue(mustSigner)

func mustSigner() signer {
	s, err := newSigner()
	if err != nil {
		panic(err)
	}
	return s
}

// sign puts an enveloped signature into an element, where the schema wants it.
func (s signer) sign(t testing.TB, el *etree.Element, method string) {
	t.Helper()
	ctx := dsig.NewDefaultSigningContext(dsig.TLSCertKeyStore(s.pair))
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	check(t, ctx.SetSignatureMethod(method))
	signed, err := ctx.SignEnveloped(el)
	check(t, err)
	el.InsertChildAt(1, signed.SelectElement("Signature").Copy())
}

const idpEntity = "https://idp.acme.example/saml"

// idpMetadata describes an identity provider with these signing keys.
func idpMetadata(sso string, keys ...signer) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><!-- made by a person --><EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + idpEntity +
		`"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">`)
	for _, k := range keys {
		b.WriteString(`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
			base64.StdEncoding.EncodeToString(k.cert.Raw) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`)
	}
	b.WriteString(`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + sso + `"/></IDPSSODescriptor></EntityDescriptor>`)
	return b.String()
}

func samlConnection(keys ...signer) tenants.Connection {
	return tenants.Connection{Name: "adfs", Type: tenants.SAML, Enabled: true, SAML: &tenants.SAMLSpec{
		IDPMetadata: tenants.MetadataSource{XML: idpMetadata("https://idp.acme.example/sso", keys...)},
		Attributes:  tenants.AttributeMap{Email: "mail", Name: "displayName", Groups: "groups"}}}
}

// message is what a response is made of; every field can be made wrong.
type message struct {
	Issuer, Destination, InResponseTo, Version              string
	AssertionIssuer, AssertionID, NameID, Format, Method    string
	Recipient, SubjectInResponseTo, Audience, Email, Status string
	Issued, NotBefore, NotOnOrAfter, ConfirmUntil           time.Time
	Authenticated                                           time.Time
}

var messageTemplate = template.Must(template.New("").Funcs(template.FuncMap{"at": func(t time.Time) string { return t.UTC().Format(time.RFC3339) }}).Parse(
	`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_response" Version="{{.Version}}" IssueInstant="{{at .Issued}}" Destination="{{.Destination}}" InResponseTo="{{.InResponseTo}}">` +
		`<saml:Issuer>{{.Issuer}}</saml:Issuer><samlp:Status><samlp:StatusCode Value="{{.Status}}"/></samlp:Status>` +
		`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{{.AssertionID}}" Version="2.0" IssueInstant="{{at .Issued}}"><saml:Issuer>{{.AssertionIssuer}}</saml:Issuer>` +
		`<saml:Subject><saml:NameID Format="{{.Format}}">{{.NameID}}</saml:NameID><saml:SubjectConfirmation Method="{{.Method}}"><saml:SubjectConfirmationData NotOnOrAfter="{{at .ConfirmUntil}}" Recipient="{{.Recipient}}" InResponseTo="{{.SubjectInResponseTo}}"/></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="{{at .NotBefore}}" NotOnOrAfter="{{at .NotOnOrAfter}}"><saml:AudienceRestriction><saml:Audience>{{.Audience}}</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="{{at .Authenticated}}" SessionIndex="idx"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
		`<saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>{{.Email}}</saml:AttributeValue></saml:Attribute><saml:Attribute Name="displayName"><saml:AttributeValue>Gil</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>` +
		`</saml:Assertion></samlp:Response>`))

func (m message) document(t testing.TB) *etree.Document {
	t.Helper()
	var b bytes.Buffer
	check(t, messageTemplate.Execute(&b, m))
	doc := etree.NewDocument()
	check(t, doc.ReadFromBytes(b.Bytes()))
	return doc
}

func assertionOf(doc *etree.Document) *etree.Element { return doc.Root().SelectElement("Assertion") }

// flight is a SAML sign-in under way: what the identity provider was asked.
type flight struct {
	w          *world
	relayState string
	message    message
	acs        string
	force      string // ForceAuthn of the request
}

// samlFlight begins a sign-in and reads the request as the provider would.
func (b *browser) samlFlight() flight {
	b.t.Helper()
	return b.samlFlightBy("/.gatehouse/login?connection=adfs&return_to=/reports")
}

func (b *browser) samlFlightBy(login string) flight {
	b.t.Helper()
	follow := b.CheckRedirect
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { b.CheckRedirect = follow }()
	p := b.open(login)
	p.has(b.t, http.StatusSeeOther)
	target, err := url.Parse(p.header.Get("Location"))
	check(b.t, err)
	packed, err := base64.StdEncoding.DecodeString(target.Query().Get("SAMLRequest"))
	check(b.t, err)
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	check(b.t, err)
	var request struct {
		ID     string `xml:",attr"`
		ACS    string `xml:"AssertionConsumerServiceURL,attr"`
		Issuer string
		Force  string `xml:"ForceAuthn,attr"`
	}
	check(b.t, xml.Unmarshal(raw, &request))
	now := time.Now()
	return flight{w: b.w, relayState: target.Query().Get("RelayState"), acs: request.ACS, force: request.Force, message: message{
		Issuer: idpEntity, Destination: request.ACS, InResponseTo: request.ID, Version: "2.0",
		AssertionIssuer: idpEntity, AssertionID: "_" + request.ID, NameID: "gil", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		Method: "urn:oasis:names:tc:SAML:2.0:cm:bearer", Recipient: request.ACS, SubjectInResponseTo: request.ID, Audience: request.Issuer,
		Email: "gil@globex.example", Status: "urn:oasis:names:tc:SAML:2.0:status:Success",
		Issued: now, Authenticated: now, NotBefore: now.Add(-time.Minute), NotOnOrAfter: now.Add(5 * time.Minute), ConfirmUntil: now.Add(5 * time.Minute)}}
}

func (f flight) form(raw []byte) url.Values {
	return url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(raw)}, "RelayState": {f.relayState}}
}

func bytesOf(t testing.TB, doc *etree.Document) []byte {
	t.Helper()
	raw, err := doc.WriteToBytes()
	check(t, err)
	return raw
}
