package saml

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
	"gatehouse/authn/saml/attacktest"
	"gatehouse/tenants"
)

// certified makes a key of this length with a certificate that is good between.
func certified(t *testing.T, bits int, from, until time.Time) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	if bits < minRSABits {
		t.Setenv("GODEBUG", "rsa1024min=0")
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, certificate
}

// A browser is sent to an address over TLS alone, whatever the metadata says: not in
// the clear, and never to a script.
func TestSignInGoesToAnAddressOverTLSAlone(t *testing.T) {
	p := New(Config{Client: http.DefaultClient, Now: time.Now})
	t.Cleanup(p.Close)
	n := uint64(0)
	begin := func(sso, binding string, wanted tenants.RequestBinding) (authn.Departure, error) {
		n++
		metadata := strings.Replace(attacktest.Metadata(sso, attacktest.OurKey()), "HTTP-Redirect", binding, 1)
		return p.Start(t.Context(), tenants.Connection{ID: "con_1", Version: n, Name: "adfs", Type: tenants.SAML, Enabled: true,
			SAML: &tenants.SAMLSpec{IDPMetadata: tenants.MetadataSource{XML: metadata}, RequestBinding: wanted}},
			authn.Step{Tenant: "ten_acme", Token: "token", Endpoints: authn.Endpoints{Callback: testACS, Metadata: testAudience}})
	}
	const good = "https://idp.acme.example/sso"
	if d, err := begin(good, "HTTP-Redirect", ""); err != nil || !strings.HasPrefix(d.URL, good+"?SAMLRequest=") || d.Form != nil {
		t.Fatalf("%+v: %v", d, err)
	}
	if d, err := begin(good, "HTTP-POST", ""); err != nil || d.URL != good || d.Form.Get("SAMLRequest") == "" || d.Form.Get("RelayState") != "token" {
		t.Fatalf("%+v: %v", d, err)
	}
	unusable := func(sso, binding string, wanted tenants.RequestBinding) {
		t.Helper()
		d, err := begin(sso, binding, wanted)
		if refusal, ok := errors.AsType[*authn.Refusal](err); !ok || refusal.Reason != authn.ProviderUnusable || d.URL != "" || d.Form != nil {
			t.Errorf("%.80q by %s: sent to %.80q, %v", sso, binding, d.URL, err)
		}
	}
	for _, binding := range []string{"HTTP-Redirect", "HTTP-POST"} {
		for _, sso := range []string{
			"http://idp.acme.example/sso", "javascript:alert(document.domain)//", "javascript://idp.acme.example/%0aalert(1)", "data:text/html,x",
			"//idp.acme.example/sso", "/sso", "https:///sso", "https://user:secret@idp.acme.example/sso", "ftp://idp.acme.example/sso", " https://idp.acme.example/sso", "",
			// Hosts that would say something else in the policy of a page with the form.
			"https://*/sso", "https://idp.bücher.example/sso", "https://*.example/sso", "https://idp.acme.example;sandbox/sso", "https://'self'/sso", "https://idp.acme.example,evil.example/sso",
			good + "?" + strings.Repeat("x", maxLocation), "https://" + strings.Repeat("x", maxLocation) + ".example/sso",
		} {
			unusable(sso, binding, "")
		}
	}
	// What is asked for alone counts, and no binding that is not spoken.
	unusable(good, "HTTP-Redirect", tenants.RequestPost)
	unusable(good, "HTTP-POST", tenants.RequestRedirect)
	unusable(good, "SOAP", "")
	unusable(good, "HTTP-POST-SimpleSign", "")
}

// A key that could be broken by now vouches for nobody (RFC 8301 §3.2).
func TestShortKeysInMetadataAreRefused(t *testing.T) {
	for bits, good := range map[int]bool{1024: false, 2047: false, 2048: true} {
		_, certificate := certified(t, bits, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		for name, keys := range map[string][]attacktest.Signer{"alone": {{Cert: certificate}}, "beside a long one": {attacktest.OurKey(), {Cert: certificate}}} {
			_, err := parseMetadata([]byte(attacktest.Metadata("https://idp.acme.example/sso", keys...)))
			if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "shorter than 2048 bits") {
				t.Errorf("%d bits, %s: %v", bits, name, err)
			}
		}
	}
}

// The signature of a redirect counts between the dates of its key's certificate, as
// that of a document does.
func TestARedirectIsSignedWhileItsCertificateIsGood(t *testing.T) {
	now := time.Now()
	for name, try := range map[string]struct {
		from, until time.Duration
		good        bool
	}{"in time": {-time.Hour, time.Hour, true}, "over": {-2 * time.Hour, -time.Hour, false}, "not yet": {time.Hour, 2 * time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			key, certificate := certified(t, minRSABits, now.Add(try.from), now.Add(try.until))
			query := paramRequest + "=" + url.QueryEscape(packedMark(t, logoutDocument)) + "&" + paramAlg + "=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
			sum := sha256.Sum256([]byte(query))
			signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
			if err != nil {
				t.Fatal(err)
			}
			query += "&" + paramSig + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
			m, err := readMessage(httptest.NewRequest(http.MethodGet, "/slo?"+query, http.NoBody), paramRequest)
			if err != nil {
				t.Fatal(err)
			}
			err = m.detached.verify([]*x509.Certificate{certificate}, now, false)
			refusal, _ := errors.AsType[*authn.Refusal](err)
			if (err == nil) != try.good || err != nil && (refusal == nil || refusal.Reason != authn.SignatureInvalid) {
				t.Errorf("%v", err)
			}
		})
	}
}

// What stands behind the packed message is signed and not read: somebody else may
// read it.
func TestNothingStandsBehindAPackedMessage(t *testing.T) {
	packed, err := base64.StdEncoding.DecodeString(packedMark(t, logoutDocument))
	if err != nil {
		t.Fatal(err)
	}
	other, err := base64.StdEncoding.DecodeString(packedMark(t, strings.Replace(logoutDocument, "gil", "boss", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := inflate(base64.StdEncoding.EncodeToString(packed)); err != nil || string(raw) != logoutDocument {
		t.Fatalf("%q: %v", raw, err)
	}
	for name, more := range map[string][]byte{"a byte": {0}, "a line": []byte("\n"), "another message": other} {
		_, err := inflate(base64.StdEncoding.EncodeToString(bytes.Join([][]byte{packed, more}, nil)))
		if refusal, ok := errors.AsType[*authn.Refusal](err); !ok || refusal.Reason != authn.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
