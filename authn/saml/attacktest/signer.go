package attacktest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

// Signer is a key with its certificate, as identity providers have them.
type Signer struct {
	Pair tls.Certificate
	Cert *x509.Certificate
}

// NewSigner makes a key whose certificate is good until then.
func NewSigner(until time.Time) (Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Signer{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Signer{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return Signer{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, cert}, err
}

// OurKey is the provider's key in all tests, made once because that takes a while.
var OurKey = sync.OnceValue(mustSigner)

// OtherKey is one that nobody trusts unless a test says so.
var OtherKey = sync.OnceValue(mustSigner)

func mustSigner() Signer {
	s, err := NewSigner(time.Now().Add(time.Hour))
	if err != nil {
		panic(err)
	}
	return s
}

// Private is the key itself.
func (s Signer) Private() *rsa.PrivateKey {
	key, _ := s.Pair.PrivateKey.(*rsa.PrivateKey) // NewSigner makes no others
	return key
}

// Sign puts an enveloped signature into an element, where the schema wants it.
func (s Signer) Sign(t testing.TB, el *etree.Element, method string) {
	t.Helper()
	ctx := dsig.NewDefaultSigningContext(dsig.TLSCertKeyStore(s.Pair))
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	check(t, ctx.SetSignatureMethod(method))
	signed, err := ctx.SignEnveloped(el)
	check(t, err)
	all := signed.SelectElements("Signature") // the new one comes last
	el.InsertChildAt(1, all[len(all)-1].Copy())
}

var (
	hashes = map[string]crypto.Hash{
		"http://www.w3.org/2000/09/xmldsig#sha1": crypto.SHA1, dsig.RSASHA1SignatureMethod: crypto.SHA1,
		"http://www.w3.org/2001/04/xmlenc#sha256": crypto.SHA256, dsig.RSASHA256SignatureMethod: crypto.SHA256}
	canonicalizers = map[string]func() dsig.Canonicalizer{
		string(dsig.CanonicalXML10ExclusiveAlgorithmId): func() dsig.Canonicalizer { return dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("") },
		string(dsig.CanonicalXML10RecAlgorithmId):       dsig.MakeC14N10RecCanonicalizer}
)

// SignOddly signs an element as a provider would whose SignedInfo is not of the
// plain form: what odd makes of it is what is signed.
func (s Signer) SignOddly(t testing.TB, el *etree.Element, odd func(info *etree.Element)) {
	t.Helper()
	content := el.Copy()
	s.Sign(t, el, dsig.RSASHA256SignatureMethod)
	signature := el.SelectElement("Signature")
	info := signature.SelectElement("SignedInfo")
	odd(info)
	around, err := etreeutils.NSBuildParentContext(el)
	check(t, err)
	around, err = around.SubContext(el)
	check(t, err)
	content, err = etreeutils.NSDetatch(around, content)
	check(t, err)
	covered, err := canonicalizers[string(dsig.CanonicalXML10ExclusiveAlgorithmId)]().Canonicalize(content)
	check(t, err)
	for _, reference := range info.SelectElements("Reference") {
		h := hashes[reference.SelectElement("DigestMethod").SelectAttrValue("Algorithm", "")].New()
		_, _ = h.Write(covered) // a hash never fails
		reference.SelectElement("DigestValue").SetText(base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	around, err = etreeutils.NSBuildParentContext(info)
	check(t, err)
	around, err = around.SubContext(info)
	check(t, err)
	detached, err := etreeutils.NSDetatch(around, info)
	check(t, err)
	said, err := canonicalizers[info.SelectElement("CanonicalizationMethod").SelectAttrValue("Algorithm", "")]().Canonicalize(detached)
	check(t, err)
	hash := hashes[info.SelectElement("SignatureMethod").SelectAttrValue("Algorithm", "")]
	h := hash.New()
	_, _ = h.Write(said) // a hash never fails
	value, err := s.Private().Sign(rand.Reader, h.Sum(nil), hash)
	check(t, err)
	signature.SelectElement("SignatureValue").SetText(base64.StdEncoding.EncodeToString(value))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
