package samlidp_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
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
	landed   chan url.Values // what the assertion consumer service received
}

func start(t *testing.T) *party {
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
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	p := &party{landed: make(chan url.Values, 4)}
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
	p.service = saml.ServiceProvider{EntityID: consumer.URL + "/metadata", AcsURL: *base.JoinPath("/acs"), MetadataURL: *base.JoinPath("/metadata"),
		AuthnNameIDFormat: saml.PersistentNameIDFormat, IDPMetadata: &saml.EntityDescriptor{}}
	if err := xml.NewDecoder(resp.Body).Decode(p.service.IDPMetadata); err != nil {
		t.Fatal(err)
	}
	metadata, err := xml.Marshal(p.service.Metadata())
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
