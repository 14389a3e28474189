package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

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
	exclusive = []string{
		string(dsig.CanonicalXML10ExclusiveAlgorithmId),
		string(dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId),
	}
)

// minRSABits is what RFC 8301 and every browser ask of an RSA key.
const minRSABits = 2048

// signatures checks the shape of the signatures, and that there is one.
func (a *admitted) signatures() error {
	signed := 0
	for _, owner := range []*element{a.response, a.assertion} {
		found := owner.all(nsSignature, "Signature")
		switch {
		case len(found) > 1:
			return authn.Refuse(authn.SignatureAmbiguous, "The %s is signed more than once.", owner.name.Local)
		case len(found) == 0:
			continue
		}
		if err := plainSignature(found[0], owner); err != nil {
			return err
		}
		signed++
		a.responseSigned = a.responseSigned || owner == a.response
	}
	if signed == 0 {
		return authn.Refuse(authn.SignatureMissing, "Neither the response nor the assertion is signed.")
	}
	return nil
}

// plainSignature accepts a signature over exactly its owner, by one reference,
// transformed in the one way that SAML asks for (SAML core §5.4).
func plainSignature(signature, owner *element) error {
	ambiguous := authn.Refuse(authn.SignatureAmbiguous, "The signature of the %s is not of the plain form that SAML asks for.", owner.name.Local)
	info := signature.one(nsSignature, "SignedInfo")
	if info == nil || signature.one(nsSignature, "SignatureValue") == nil || len(signature.all(nsSignature, "KeyInfo")) > 1 ||
		!signature.only(nsSignature, "SignedInfo", "SignatureValue", "KeyInfo") {
		return ambiguous
	}
	canonical, method, reference := info.one(nsSignature, "CanonicalizationMethod"), info.one(nsSignature, "SignatureMethod"), info.one(nsSignature, "Reference")
	if canonical == nil || method == nil || reference == nil || len(info.children) != 3 {
		return ambiguous
	}
	id, _ := owner.attr("ID")
	if uri, _ := reference.attr("URI"); id == "" || uri != "#"+id {
		return authn.Refuse(authn.SignatureAmbiguous, "The signature of the %s covers something else.", owner.name.Local)
	}
	transforms, digest := reference.one(nsSignature, "Transforms"), reference.one(nsSignature, "DigestMethod")
	if transforms == nil || digest == nil || reference.one(nsSignature, "DigestValue") == nil || len(reference.children) != 3 {
		return ambiguous
	}
	if len(transforms.children) != 2 || !transforms.only(nsSignature, "Transform") ||
		!uses(transforms.children[0], string(dsig.EnvelopedSignatureAltorithmId)) || !uses(transforms.children[1], exclusive...) || !uses(canonical, exclusive...) {
		return ambiguous
	}
	if !uses(method, signatureMethods...) || !uses(digest, digestMethods...) {
		return authn.Refuse(authn.WrongAlgorithm, "The signature of the %s uses an algorithm that is not accepted (SHA-256 or better is).", owner.name.Local)
	}
	return nil
}

func uses(e *element, algorithms ...string) bool {
	algorithm, _ := e.attr("Algorithm")
	return slices.Contains(algorithms, algorithm)
}

// verifier verifies signatures with the keys of the metadata and keeps what
// they cover. It implements the library's SignatureVerifier.
type verifier struct {
	keys []*x509.Certificate
	// verified is the canonical form of what was signed, parsed again: the only
	// thing that may be believed.
	verified *etree.Element
	refusal  *authn.Refusal
}

// VerifySignature tries every key of the metadata, so that a provider can
// change keys with an overlap. Which certificate the message itself shows does
// not matter and is not looked at for that.
func (v *verifier) VerifySignature(_ *dsig.ValidationContext, el *etree.Element) error {
	shown := removeKeyInfo(el)
	for _, key := range v.keys {
		ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{key}})
		ctx.IdAttribute = "ID"
		if verified, err := ctx.Validate(el); err == nil {
			v.verified = verified
			return nil
		}
	}
	v.refusal = authn.Refuse(authn.SignatureInvalid, "The signature of the %s does not fit its content, or the key's certificate is out of date.", el.Tag)
	if shown != "" && !slices.ContainsFunc(v.keys, func(c *x509.Certificate) bool { return base64.StdEncoding.EncodeToString(c.Raw) == shown }) {
		v.refusal = authn.Refuse(authn.WrongKey, "The %s is signed with a key that the identity provider's metadata does not list.", el.Tag)
	}
	return v.refusal
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
