package authn_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

// signer is a key with its certificate, as identity providers have them.
type signer struct{ attacktest.Signer }

// The two keys of all tests.
func ourKey() signer   { return signer{attacktest.OurKey()} }
func otherKey() signer { return signer{attacktest.OtherKey()} }

// sign puts an enveloped signature into an element, where the schema wants it.
func (s signer) sign(t testing.TB, el *etree.Element, method string) {
	t.Helper()
	s.Sign(t, el, method)
}

const idpEntity = attacktest.Entity

// idpMetadata describes an identity provider with these signing keys.
func idpMetadata(sso string, keys ...signer) string {
	var all []attacktest.Signer
	for _, k := range keys {
		all = append(all, k.Signer)
	}
	return attacktest.Metadata(sso, all...)
}

func samlConnection(keys ...signer) tenants.Connection {
	return tenants.Connection{Name: "adfs", Type: tenants.SAML, Enabled: true, SAML: &tenants.SAMLSpec{
		IDPMetadata: tenants.MetadataSource{XML: idpMetadata("https://idp.acme.example/sso", keys...)},
		Attributes:  tenants.AttributeMap{Email: "mail", Name: "displayName", Groups: "groups"}}}
}

// message is what a response is made of; every field can be made wrong.
type message = attacktest.Message

func assertionOf(doc *etree.Document) *etree.Element { return doc.Root().SelectElement("Assertion") }

// flight is a SAML sign-in under way: what the identity provider was asked.
type flight struct {
	w          *world
	relayState string
	message    message
	acs        string
	force      string // ForceAuthn of the request
	contexts   []string
	format     string // of its NameIDPolicy
	signed     bool
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
	var sent url.Values
	var raw []byte
	if p.status == http.StatusOK { // a form
		var err error
		sent = hiddenFields(p)
		raw, err = base64.StdEncoding.DecodeString(sent.Get("SAMLRequest"))
		check(b.t, err)
	} else {
		p.has(b.t, http.StatusSeeOther)
		target, err := url.Parse(p.header.Get("Location"))
		check(b.t, err)
		sent = target.Query()
		packed, err := base64.StdEncoding.DecodeString(sent.Get("SAMLRequest"))
		check(b.t, err)
		raw, err = io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
		check(b.t, err)
	}
	var request struct {
		ID     string `xml:",attr"`
		ACS    string `xml:"AssertionConsumerServiceURL,attr"`
		Issuer string
		Force  string `xml:"ForceAuthn,attr"`
		Policy struct {
			Format string `xml:",attr"`
		} `xml:"NameIDPolicy"`
		Contexts []string `xml:"RequestedAuthnContext>AuthnContextClassRef"`
	}
	check(b.t, xml.Unmarshal(raw, &request))
	return flight{w: b.w, relayState: sent.Get("RelayState"), acs: request.ACS, force: request.Force, contexts: request.Contexts,
		format: request.Policy.Format, signed: sent.Has("Signature") || strings.Contains(string(raw), "SignatureValue"), message: attacktest.Answer(request.ID, request.ACS, request.Issuer, time.Now())}
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
