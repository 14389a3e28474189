package authn_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/audit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const (
	slo          = "/.gatehouse/saml/adfs/slo"
	sloAtIDP     = "https://idp.acme.example/slo"
	redirectBind = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	postBind     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	samlStatus   = "urn:oasis:names:tc:SAML:2.0:status:"
	persistentID = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
)

// service is a SingleLogoutService of metadata.
func service(binding, location, response string) string {
	if response != "" {
		response = ` ResponseLocation="` + response + `"`
	}
	return `<SingleLogoutService Binding="` + binding + `" Location="` + location + `"` + response + `/>`
}

// withLogout gives a connection's provider a way to sign out.
func withLogout(c tenants.Connection, services ...string) tenants.Connection {
	const sso = "<SingleSignOnService"
	c.SAML.IDPMetadata.XML = strings.Replace(c.SAML.IDPMetadata.XML, sso, strings.Join(services, "")+sso, 1)
	return c
}

func samlWithLogout(keys ...signer) tenants.Connection {
	return withLogout(samlConnection(keys...), service(redirectBind, sloAtIDP, ""))
}

// samlSignIn signs somebody in by a connection of the provider that has ourKey.
func (b *browser) samlSignIn(connection, name, index string) {
	b.t.Helper()
	b.open(b.samlVerified(connection, name, index)).has(b.t, http.StatusOK, "app /reports")
}

// samlVerified does all of that but the last step, which it gives.
func (b *browser) samlVerified(connection, name, index string) (step string) {
	b.t.Helper()
	f := b.samlFlightBy("/.gatehouse/login?connection=" + connection + "&return_to=/reports")
	f.message.NameID, f.message.Email = name, name+"."+connection+"@globex.example"
	doc := f.message.Document(b.t)
	doc.FindElement("//AuthnStatement").CreateAttr("SessionIndex", index)
	ourKey().sign(b.t, assertionOf(doc), dsig.RSASHA256SignatureMethod)
	resp := b.sendFromElsewhere(f.acs, f.form(bytesOf(b.t, doc)))
	defer func() { _ = resp.Body.Close() }()
	to, err := resp.Location()
	check(b.t, err)
	return to.String()
}

// notice is what a provider's message about a sign-out is made of.
type notice struct {
	Kind, ID, Version, Destination, Issuer, InResponseTo, Status string
	Issued, Until                                                time.Time
	NameID, Format                                               string
	Indexes                                                      []string
}

// logoutRequest is one as the provider sends it.
func (w *world) logoutRequest(name string, indexes ...string) notice {
	return notice{Kind: "LogoutRequest", ID: "_" + rand.Text(), Version: "2.0", Destination: w.url + slo, Issuer: idpEntity,
		Issued: time.Now(), Until: time.Now().Add(5 * time.Minute), NameID: name, Format: persistentID, Indexes: indexes}
}

func (n notice) document(t testing.TB) *etree.Document {
	t.Helper()
	doc := etree.NewDocument()
	root := doc.CreateElement("samlp:" + n.Kind)
	root.CreateAttr("xmlns:samlp", "urn:oasis:names:tc:SAML:2.0:protocol")
	root.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
	for _, a := range []struct{ name, value string }{{"ID", n.ID}, {"Version", n.Version}, {"Destination", n.Destination}, {"InResponseTo", n.InResponseTo}} {
		if a.value != "" {
			root.CreateAttr(a.name, a.value)
		}
	}
	root.CreateAttr("IssueInstant", n.Issued.UTC().Format(time.RFC3339))
	if !n.Until.IsZero() {
		root.CreateAttr("NotOnOrAfter", n.Until.UTC().Format(time.RFC3339))
	}
	root.CreateElement("saml:Issuer").SetText(n.Issuer)
	if n.Status != "" {
		code := root.CreateElement("samlp:Status")
		for part := range strings.SplitSeq(n.Status, " ") {
			code = code.CreateElement("samlp:StatusCode")
			code.CreateAttr("Value", samlStatus+part)
		}
		return doc
	}
	name := root.CreateElement("saml:NameID")
	name.CreateAttr("Format", n.Format)
	name.SetText(n.NameID)
	for _, index := range n.Indexes {
		root.CreateElement("samlp:SessionIndex").SetText(index)
	}
	return doc
}

func (n notice) param() string {
	if n.Kind == "LogoutRequest" {
		return "SAMLRequest"
	}
	return "SAMLResponse"
}

// posted is the form of the POST binding.
func (n notice) posted(t testing.TB, relay string) url.Values {
	t.Helper()
	doc := n.document(t)
	ourKey().sign(t, doc.Root(), dsig.RSASHA256SignatureMethod)
	return postForm(n.param(), bytesOf(t, doc), relay)
}

func postForm(param string, raw []byte, relay string) url.Values {
	form := url.Values{param: {base64.StdEncoding.EncodeToString(raw)}}
	if relay != "" {
		form.Set("RelayState", relay)
	}
	return form
}

// redirected is the query of the redirect binding.
func (n notice) redirected(t testing.TB, relay string) string {
	t.Helper()
	return ourKey().query(t, n.param(), packed(t, bytesOf(t, n.document(t))), relay, dsig.RSASHA256SignatureMethod)
}

func packed(t testing.TB, raw []byte) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	check(t, err)
	_, err = w.Write(raw)
	check(t, err)
	check(t, w.Close())
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// query signs one with octets that Go would not have written: in lower case, as
// some providers do.
func (s signer) query(t testing.TB, param, message, relay, algorithm string) string {
	t.Helper()
	q := param + "=" + lowerEscape(message)
	if relay != "" {
		q += "&RelayState=" + lowerEscape(relay)
	}
	return s.signQuery(t, q+"&SigAlg="+lowerEscape(algorithm))
}

func lowerEscape(s string) string {
	return strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%3D", "%3d", "%3A", "%3a").Replace(url.QueryEscape(s))
}

func (s signer) signQuery(t testing.TB, q string) string {
	t.Helper()
	return q + "&Signature=" + url.QueryEscape(s.signature(t, q, crypto.SHA256))
}

func (s signer) signature(t testing.TB, text string, hash crypto.Hash) string {
	t.Helper()
	key, ok := s.Pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("a %T", s.Pair.PrivateKey)
	}
	h := hash.New()
	_, _ = h.Write([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, key, hash, h.Sum(nil))
	check(t, err)
	return base64.StdEncoding.EncodeToString(signature)
}

// send brings a message about a sign-out, and follows nothing.
func (b *browser) send(n notice, binding, relay string) page {
	b.t.Helper()
	if binding == postBind {
		return b.read(b.sendFromElsewhere(b.w.url+slo, n.posted(b.t, relay)), nil)
	}
	return b.look(slo + "?" + n.redirected(b.t, relay))
}

// look opens an address and follows nothing.
func (b *browser) look(address string) page {
	b.t.Helper()
	follow := b.CheckRedirect
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { b.CheckRedirect = follow }()
	return b.open(address)
}

// ours is what we say to the provider about a sign-out.
type ours struct {
	ID           string    `xml:",attr"`
	Destination  string    `xml:",attr"`
	InResponseTo string    `xml:",attr"`
	Version      string    `xml:",attr"`
	IssueInstant time.Time `xml:",attr"`
	NotOnOrAfter time.Time `xml:",attr"`
	Issuer       string
	NameID       struct {
		Value           string `xml:",chardata"`
		Format          string `xml:",attr"`
		NameQualifier   string `xml:",attr"`
		SPNameQualifier string `xml:",attr"`
	}
	SessionIndex []string
	Status       struct {
		StatusCode struct {
			Value      string `xml:",attr"`
			StatusCode struct {
				Value string `xml:",attr"`
			}
		}
	}
	relay string
}

// ourCertificate is what the metadata of a connection shows.
func (w *world) ourCertificate(t testing.TB, connection string) *x509.Certificate {
	t.Helper()
	p := w.browser().open("/.gatehouse/saml/" + connection + "/metadata")
	p.has(t, http.StatusOK, `use="signing"`)
	doc := etree.NewDocument()
	check(t, doc.ReadFromString(p.body))
	der, err := base64.StdEncoding.DecodeString(doc.FindElement("//X509Certificate").Text())
	check(t, err)
	certificate, err := x509.ParseCertificate(der)
	check(t, err)
	return certificate
}

// readRedirect verifies what we send by redirect, as a provider does.
func (w *world) readRedirect(t testing.TB, target, param string) (o ours) {
	t.Helper()
	signed, signature, ok := strings.Cut(target, "&Signature=")
	if !ok {
		t.Fatalf("not signed: %s", target)
	}
	_, signed, _ = strings.Cut(signed, "?")
	text, err := url.QueryUnescape(signature)
	check(t, err)
	raw, err := base64.StdEncoding.DecodeString(text)
	check(t, err)
	key, ok := w.ourCertificate(t, "adfs").PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 {
		t.Fatal("not an RSA key of a good length")
	}
	sum := sha256.Sum256([]byte(signed))
	check(t, rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw))
	u, err := url.Parse(target)
	check(t, err)
	if u.Query().Get("SigAlg") != dsig.RSASHA256SignatureMethod {
		t.Errorf("signed by %s", u.Query().Get("SigAlg"))
	}
	packed, err := base64.StdEncoding.DecodeString(u.Query().Get(param))
	check(t, err)
	document, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	check(t, err)
	check(t, xml.Unmarshal(document, &o))
	o.relay = u.Query().Get("RelayState")
	return o
}

// readForm verifies what we send by a form.
func (w *world) readForm(t testing.TB, p page, param string) (o ours) {
	t.Helper()
	fields := hiddenFields(p)
	raw, err := base64.StdEncoding.DecodeString(fields.Get(param))
	check(t, err)
	doc := etree.NewDocument()
	check(t, doc.ReadFromBytes(raw))
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{w.ourCertificate(t, "adfs")}})
	ctx.IdAttribute = "ID"
	if tag := doc.Root().ChildElements()[1].Tag; tag != "Signature" {
		t.Errorf("the schema wants the signature after the issuer; there is a %s", tag)
	}
	_, err = ctx.Validate(doc.Root())
	check(t, err)
	check(t, xml.Unmarshal(raw, &o))
	o.relay = fields.Get("RelayState")
	return o
}

// endAll ends every session of the world.
func (w *world) endAll(t testing.TB) {
	t.Helper()
	_, err := w.sessions.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{All: true}, "test")
	check(t, err)
}

func replaceText(old, replacement string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, replacement, 1) }
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

func duplicate(path string) func(*testing.T, *etree.Document) {
	return func(_ *testing.T, doc *etree.Document) {
		el := doc.FindElement("//" + path)
		el.Parent().AddChild(el.Copy())
	}
}

// moved takes a child out and returns it.
func moved(el *etree.Element, tag string) *etree.Element {
	child := el.SelectElement(tag)
	el.RemoveChild(child)
	return child
}
