package samlidp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/demo/browse"
	"gatehouse/demo/idp"
	"gatehouse/demo/samlidp"
)

var accounts = idp.Accounts{{Subject: "g-1", Email: "member@globex.example", Name: "Gil Member", Password: "right", Groups: []string{"ops", "all"}}}

// party is a service provider that knows the identity provider by its metadata.
type party struct {
	provider *samlidp.Provider
	service  saml.ServiceProvider
	key      *rsa.PrivateKey // signs what it says about sign-outs
	landed   chan url.Values // what the assertion consumer service received
}

func newKey(t *testing.T) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "demo"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, certificate
}

func start(t *testing.T) *party {
	t.Helper()
	key, certificate := newKey(t)
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	p := &party{landed: make(chan url.Values, 4)}
	var err error
	if p.provider, err = samlidp.New(samlidp.Options{URL: server.URL, Key: key, Certificate: certificate, Accounts: accounts, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	handler = p.provider

	consumer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		p.landed <- r.PostForm
	}))
	t.Cleanup(consumer.Close)
	base, err := url.Parse(consumer.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(p.provider.MetadataURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	own, shown := newKey(t)
	p.key = own
	p.service = saml.ServiceProvider{Key: own, Certificate: shown, SloURL: *base.JoinPath("/slo"), LogoutBindings: []string{saml.HTTPRedirectBinding},
		EntityID: consumer.URL + "/metadata", AcsURL: *base.JoinPath("/acs"), MetadataURL: *base.JoinPath("/metadata"),
		AuthnNameIDFormat: saml.PersistentNameIDFormat, IDPMetadata: &saml.EntityDescriptor{}}
	if err := xml.NewDecoder(resp.Body).Decode(p.service.IDPMetadata); err != nil {
		t.Fatal(err)
	}
	described := p.service.Metadata()
	described.SPSSODescriptors[0].KeyDescriptors[0].Use = "signing" // the library means it for encryption
	metadata, err := xml.Marshal(described)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.provider.Register(metadata); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *party) request(t *testing.T) (id, address string) {
	t.Helper()
	request, err := p.service.MakeAuthenticationRequest(p.service.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		t.Fatal(err)
	}
	target, err := request.Redirect("the-relay-state", &p.service)
	if err != nil {
		t.Fatal(err)
	}
	return request.ID, target.String()
}

func TestSignOnBySignedResponse(t *testing.T) {
	p := start(t)
	id, address := p.request(t)
	resp, err := browse.SignIn(t.Context(), &http.Client{}, address, accounts[0].Email, "right")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	form := <-p.landed
	if form.Get("RelayState") != "the-relay-state" {
		t.Errorf("relay state %q", form.Get("RelayState"))
	}
	req := httptest.NewRequest(http.MethodPost, p.service.AcsURL.String(), strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := req.ParseForm(); err != nil {
		t.Fatal(err)
	}
	assertion, err := p.service.ParseResponse(req, []string{id})
	if err != nil {
		t.Fatal(err)
	}
	if got := assertion.Subject.NameID; got.Value != "g-1" || got.Format != string(saml.PersistentNameIDFormat) {
		t.Errorf("name id %+v", got)
	}
	got := map[string][]string{}
	for _, a := range assertion.AttributeStatements[0].Attributes {
		for _, value := range a.Values {
			got[a.Name] = append(got[a.Name], value.Value)
		}
	}
	if got["mail"][0] != accounts[0].Email || got["displayName"][0] != "Gil Member" || len(got["groups"]) != 2 {
		t.Errorf("attributes %v", got)
	}
	signed, err := base64.StdEncoding.DecodeString(form.Get("SAMLResponse"))
	if err != nil || !bytes.Contains(signed, []byte(dsig.RSASHA256SignatureMethod)) || bytes.Contains(signed, []byte("rsa-sha1")) {
		t.Errorf("the response is not signed with RSA-SHA256: %v", err)
	}
}

func TestWrongPasswordAsksAgain(t *testing.T) {
	p := start(t)
	_, address := p.request(t)
	resp, err := browse.SignIn(t.Context(), &http.Client{}, address, accounts[0].Email, "wrong")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), "is wrong") {
		t.Errorf("status %d, %v: %s", resp.StatusCode, err, body)
	}
	if len(p.landed) > 0 {
		t.Error("a wrong password reached the service")
	}
}

func TestUnknownServicesAndGarbageAreRefused(t *testing.T) {
	p := start(t)
	p.service.EntityID = "https://evil.example/metadata"
	_, address := p.request(t)
	base, _, _ := strings.Cut(address, "?")
	for _, target := range []string{address, base, base + "?SAMLRequest=garbage"} {
		resp, err := browse.Open(t.Context(), &http.Client{}, target)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d for %.80s", resp.StatusCode, target)
		}
	}
}

func TestAdministrationIsNotServed(t *testing.T) {
	p := start(t)
	base := strings.TrimSuffix(p.provider.MetadataURL(), "/metadata")
	for _, path := range []string{"/users/", "/services/", "/sessions/", "/shortcuts/", "/login"} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s answered %d", path, resp.StatusCode)
		}
	}
}

// logoutRequest makes a LogoutRequest by redirect, signed by the service's key or by
// another.
func (p *party) logoutRequest(t *testing.T, key *rsa.PrivateKey, change func(string) string) string {
	t.Helper()
	base := strings.TrimSuffix(p.provider.MetadataURL(), "/metadata")
	request := &saml.LogoutRequest{ID: "_1", Version: "2.0", IssueInstant: time.Now().UTC(), Destination: base + "/slo",
		Issuer: &saml.Issuer{Value: p.service.EntityID}, NameID: &saml.NameID{Value: "g-1"}}
	raw, err := request.Deflate()
	if err != nil {
		t.Fatal(err)
	}
	query := "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(raw)) + "&RelayState=back&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base + "/slo?" + change(query+"&Signature="+url.QueryEscape(base64.StdEncoding.EncodeToString(signature)))
}

func TestSignOutsAreVerified(t *testing.T) {
	p := start(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	same := func(q string) string { return q }
	once := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(address string) *http.Response {
		resp, err := browse.Open(t.Context(), once, address)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	for name, address := range map[string]string{
		"another key": p.logoutRequest(t, stranger, same),
		"unsigned":    p.logoutRequest(t, p.key, func(q string) string { q, _, _ = strings.Cut(q, "&SigAlg"); return q }),
		"changed":     p.logoutRequest(t, p.key, func(q string) string { return strings.Replace(q, "=back", "=evil", 1) }),
	} {
		if resp := ask(address); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	resp := ask(p.logoutRequest(t, p.key, same))
	to, err := resp.Location()
	if err != nil || !strings.HasPrefix(to.String(), p.service.SloURL.String()+"?SAMLResponse=") || to.Query().Get("RelayState") != "back" || !to.Query().Has("Signature") {
		t.Errorf("%s: sent to %s, %v", resp.Status, to, err)
	}
}
