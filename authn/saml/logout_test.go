package saml

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"hash"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/authn"
)

const (
	logoutDocument = `<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0" IssueInstant="2026-01-01T00:00:00Z" Destination="https://acme.example/slo"><saml:Issuer>https://idp.acme.example/saml</saml:Issuer><saml:NameID>gil</saml:NameID><samlp:SessionIndex>s1</samlp:SessionIndex></samlp:LogoutRequest>`
	signatureMark  = `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#_1"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>eA==</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>eA==</ds:SignatureValue></ds:Signature>`
)

func signedMark() string {
	return strings.Replace(logoutDocument, "<saml:NameID>", signatureMark+"<saml:NameID>", 1)
}

func packedMark(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(text)) // into memory
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func refusedByName(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*authn.Refusal](err); !ok || strings.Contains(err.Error(), "panicked") {
		t.Fatalf("refused without a reason: %v", err)
	}
}

// FuzzLogoutMessage: what is admitted is one message of its kind, signed in one
// place; what is refused is refused by name; and nothing is ever believed, since
// nobody has the key.
func FuzzLogoutMessage(f *testing.F) {
	f.Add([]byte(logoutDocument), true, true)
	f.Add([]byte(signedMark()), false, true)
	f.Add([]byte(strings.ReplaceAll(logoutDocument, "LogoutRequest", "LogoutResponse")), true, false)
	f.Add([]byte(strings.Repeat("<a>", 100)), false, true)
	idp, err := parseMetadata([]byte(testMetadata(f)))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, redirect, request bool) {
		m, kind := message{raw: raw}, kindLogoutAnswer
		if redirect {
			m.detached = &detached{algorithm: dsig.RSASHA256SignatureMethod, over: string(raw)}
		}
		if request {
			kind = kindLogoutRequest
		}
		v := verification{idp: idp, endpoints: authn.Endpoints{Logout: "https://acme.example/slo"}, now: time.Unix(1767225600, 0)}
		if _, err := v.logout(m, kind); err == nil {
			t.Fatal("believed without a signature")
		} else {
			refusedByName(t, err)
		}
		root, err := admitLogout(m, kind, false)
		if err != nil {
			refusedByName(t, err)
			return
		}
		counts := map[string]int{}
		_ = root.walk(func(e *element) error { counts[e.name.Local]++; return nil })
		want := 1
		if redirect {
			want = 0
		}
		if counts[kind] != 1 || counts["Signature"] != want || counts["EncryptedID"] != 0 {
			t.Fatalf("admitted with %v", counts)
		}
		// Nobody is named in two ways.
		if asked := v.whose(root); asked.Refusal == nil && (asked.Subject == "" || counts["NameID"] < 1) {
			t.Fatalf("%+v", asked)
		}
	})
}

// FuzzLogoutQuery: what is signed is what was sent, octet for octet, and says
// the message that is read; reading that alone gives the same.
func FuzzLogoutQuery(f *testing.F) {
	good := "SAMLRequest=" + url.QueryEscape(packedMark(f, logoutDocument)) + "&RelayState=x%2fy&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod) + "&Signature=eA%3D%3D"
	for _, q := range []string{good, "a=b&" + good, good + "&SAMLRequest=x", strings.Replace(good, "SAMLR", "SAML%52", 1),
		strings.Replace(good, "&RelayState=x%2fy", "", 1), "Signature=eA==&" + strings.TrimSuffix(good, "&Signature=eA%3D%3D"), ""} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		m, err := redirected(query, paramRequest)
		if err != nil {
			refusedByName(t, err)
			return
		}
		if len(m.raw) > maxDocument || len(m.relay) > maxRelayState {
			t.Fatal("longer than is allowed")
		}
		for pair := range strings.SplitSeq(m.detached.over, "&") {
			if !strings.Contains("&"+query+"&", "&"+pair+"&") {
				t.Fatalf("%q is signed, and was not sent", pair)
			}
		}
		again, err := redirected(m.detached.over+"&Signature="+url.QueryEscape(base64.StdEncoding.EncodeToString(m.detached.signature)), paramRequest)
		if err != nil || !bytes.Equal(again.raw, m.raw) || again.relay != m.relay || again.detached.over != m.detached.over || again.detached.algorithm != m.detached.algorithm {
			t.Fatalf("read anew: %+v, %v", again, err)
		}
	})
}

// Elliptic curves sign two numbers side by side (XML Signature §6.4.3); some
// providers send what their library makes instead.
func TestRedirectsSignedByEllipticCurves(t *testing.T) {
	for _, c := range []struct {
		curve  elliptic.Curve
		method string
		hash   func() hash.Hash
		half   int
	}{
		{elliptic.P256(), dsig.ECDSASHA256SignatureMethod, sha256.New, 32},
		{elliptic.P384(), dsig.ECDSASHA384SignatureMethod, sha512.New384, 48},
		{elliptic.P521(), dsig.ECDSASHA512SignatureMethod, sha512.New, 66},
	} {
		key, err := ecdsa.GenerateKey(c.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		h := c.hash()
		_, _ = h.Write([]byte("text"))
		sum := h.Sum(nil)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum)
		if err != nil {
			t.Fatal(err)
		}
		asn, err := ecdsa.SignASN1(rand.Reader, key, sum)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, 2*c.half)
		r.FillBytes(raw[:c.half])
		s.FillBytes(raw[c.half:])
		keys := []*x509.Certificate{certificate}
		for _, signature := range [][]byte{raw, asn} {
			d := detached{algorithm: c.method, signature: signature, over: "text"}
			if err := d.verify(keys, time.Now(), false); err != nil {
				t.Errorf("%s: %v", c.method, err)
			}
			d.over = "other"
			if err := d.verify(keys, time.Now(), false); err == nil {
				t.Errorf("%s: another text is believed", c.method)
			}
			d.over = "text"
			if err := d.verify(keys, time.Now().Add(2*time.Hour), false); err == nil {
				t.Errorf("%s: a certificate out of date is believed", c.method)
			}
		}
	}
}
