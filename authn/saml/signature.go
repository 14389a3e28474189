package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"

	"gatehouse/authn"
)

// The algorithms that are accepted: SHA-2 with RSA or ECDSA, and exclusive
// canonicalisation (XML Signature §6; SAML core §5.4).
var (
	signatureMethods = []string{
		dsig.RSASHA256SignatureMethod, dsig.RSASHA384SignatureMethod, dsig.RSASHA512SignatureMethod,
		dsig.ECDSASHA256SignatureMethod, dsig.ECDSASHA384SignatureMethod, dsig.ECDSASHA512SignatureMethod,
	}
	digestMethods = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256",
		"http://www.w3.org/2001/04/xmldsig-more#sha384",
		"http://www.w3.org/2001/04/xmlenc#sha512",
	}
	// What a connection may have opted into, which is broken.
	sha1SignatureMethods = []string{dsig.RSASHA1SignatureMethod, dsig.ECDSASHA1SignatureMethod}
	sha1DigestMethods    = []string{"http://www.w3.org/2000/09/xmldsig#sha1"}

	exclusive = []string{
		string(dsig.CanonicalXML10ExclusiveAlgorithmId),
		string(dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId),
	}
)

// minRSABits is what RFC 8301 and every browser ask of an RSA key.
const minRSABits = 2048

// signed is a signature and the element that it stands in.
type signed struct {
	signature, owner *element
	sha1             bool // whether that is taken
}

func (s signed) ambiguous() error {
	return authn.Refuse(authn.SignatureAmbiguous, "The signature of the %s is not of the plain form that SAML asks for.", s.owner.name.Local)
}

// parts, info, reference, referenceParts, transforms and canonicalization accept
// a signature over exactly its owner, by one reference, transformed in the one
// way that SAML asks for (SAML core §5.4).
func (s signed) parts() error {
	if s.signature.one(nsSignature, "SignedInfo") == nil || s.signature.one(nsSignature, "SignatureValue") == nil ||
		len(s.signature.all(nsSignature, "KeyInfo")) > 1 || !s.signature.only(nsSignature, "SignedInfo", "SignatureValue", "KeyInfo") {
		return s.ambiguous()
	}
	return nil
}

func (s signed) signedInfo() *element { return s.signature.one(nsSignature, "SignedInfo") }

func (s signed) theReference() *element { return s.signedInfo().one(nsSignature, "Reference") }

func (s signed) info() error {
	info := s.signedInfo()
	if info.one(nsSignature, "CanonicalizationMethod") == nil || info.one(nsSignature, "SignatureMethod") == nil ||
		info.one(nsSignature, "Reference") == nil || len(info.children) != 3 {
		return s.ambiguous()
	}
	return nil
}

func (s signed) reference() error {
	id, _ := s.owner.attr("ID")
	if uri, _ := s.theReference().attr("URI"); id == "" || uri != "#"+id {
		return authn.Refuse(authn.SignatureAmbiguous, "The signature of the %s covers something else.", s.owner.name.Local)
	}
	return nil
}

func (s signed) referenceParts() error {
	reference := s.theReference()
	if reference.one(nsSignature, "Transforms") == nil || reference.one(nsSignature, "DigestMethod") == nil ||
		reference.one(nsSignature, "DigestValue") == nil || len(reference.children) != 3 {
		return s.ambiguous()
	}
	return nil
}

func (s signed) transforms() error {
	transforms := s.theReference().one(nsSignature, "Transforms")
	if found := transforms.all(nsSignature, "Transform"); len(found) != 2 || len(transforms.children) != 2 ||
		!uses(found[0], string(dsig.EnvelopedSignatureAltorithmId)) || !uses(found[1], exclusive...) {
		return s.ambiguous()
	}
	return nil
}

func (s signed) canonicalization() error {
	if !uses(s.signedInfo().one(nsSignature, "CanonicalizationMethod"), exclusive...) {
		return s.ambiguous()
	}
	return nil
}

func (s signed) method() error {
	return s.algorithm(s.signedInfo().one(nsSignature, "SignatureMethod"), signatureMethods, sha1SignatureMethods)
}

func (s signed) digest() error {
	return s.algorithm(s.theReference().one(nsSignature, "DigestMethod"), digestMethods, sha1DigestMethods)
}

func (s signed) algorithm(e *element, accepted, old []string) error {
	switch {
	case uses(e, accepted...) || s.sha1 && uses(e, old...):
		return nil
	case uses(e, old...):
		return authn.Refuse(authn.WrongAlgorithm, "The signature of the %s uses SHA-1, which is broken. Have the identity provider sign by SHA-256.", s.owner.name.Local)
	}
	return authn.Refuse(authn.WrongAlgorithm, "The signature of the %s uses an algorithm that is not accepted (SHA-256 or better is).", s.owner.name.Local)
}

func uses(e *element, algorithms ...string) bool {
	algorithm, _ := e.attr("Algorithm")
	return slices.Contains(algorithms, algorithm)
}

// verifySignature verifies an element's own signature and gives what it covers:
// the canonical form of what was signed, parsed again, which is the only thing
// that may be believed. It tries every key, so that a provider can change keys
// with an overlap. Which certificate the message itself shows does not matter and
// is not looked at for that.
func verifySignature(el *etree.Element, keys []*x509.Certificate, now time.Time) (*etree.Element, error) {
	shown := removeKeyInfo(el)
	for _, key := range keys {
		ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{key}})
		ctx.IdAttribute, ctx.Clock = "ID", dsig.NewFakeClockAt(now)
		verified, err := ctx.Validate(el)
		switch {
		case err == nil:
			return verified, nil
		case errors.Is(err, etreeutils.ErrTraversalLimit):
			return nil, tooMany(el.Tag)
		}
	}
	if shown != "" && !slices.ContainsFunc(keys, func(c *x509.Certificate) bool { return base64.StdEncoding.EncodeToString(c.Raw) == shown }) {
		return nil, authn.Refuse(authn.WrongKey, "The %s is signed with a key that the identity provider's metadata does not list.", el.Tag)
	}
	return nil, authn.Refuse(authn.SignatureInvalid, "The signature of the %s does not fit its content, or the key's certificate is out of date.", el.Tag)
}

// tooMany is for elements beyond what the library verifies, which is fewer than
// could be read.
func tooMany(what string) error {
	return authn.Refuse(authn.TooLarge, "The %s holds more elements than can be verified (about a thousand). Have the identity provider send fewer attributes or groups.", what)
}

// removeKeyInfo takes the key out of el's own signature, where the library
// would look for it, and returns the certificate it showed.
func removeKeyInfo(el *etree.Element) string {
	shown := ""
	for _, signature := range el.SelectElements("Signature") {
		for _, info := range signature.SelectElements("KeyInfo") {
			if certificate := info.FindElement("./X509Data/X509Certificate"); certificate != nil {
				shown = strings.Join(strings.Fields(certificate.Text()), "")
			}
			signature.RemoveChild(info)
		}
	}
	return shown
}

// strong reports whether a key is long enough to be believed.
func strong(c *x509.Certificate) bool {
	key, isRSA := c.PublicKey.(*rsa.PublicKey)
	return !isRSA || key.N.BitLen() >= minRSABits
}
