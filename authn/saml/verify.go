package saml

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"

	"gatehouse/authn"
	"gatehouse/tenants"
)

const (
	// usualSkew is how far a provider's clock may be from ours where the connection
	// does not say.
	usualSkew = time.Minute
	// maxSkew is the most that a connection may say.
	maxSkew = tenants.MaxClockSkew * time.Second
	// maxIssueAge is how long ago a response may have been made: it is on its way by
	// a browser that was just sent here.
	maxIssueAge = 90 * time.Second
	// maxReplay bounds how long a used assertion is remembered: longer than it can be
	// of use, which maxIssueAge ends.
	maxReplay = 24 * time.Hour

	bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer" // #nosec G101 -- the name of a method
)

// The library's limits are the whole program's, so they are the widest that a
// connection may have; the profile checks each connection's own.
func init() {
	crewjam.MaxClockSkew, crewjam.MaxIssueDelay = maxSkew, maxIssueAge+maxSkew
}

// verification is the verification of one response.
type verification struct {
	rules     *rules
	spec      tenants.SAMLSpec
	idp       *provider
	endpoints authn.Endpoints
	requestID string
	// unsolicited is a response that the provider sends of its own accord.
	unsolicited bool
	now         time.Time
	// keys gives those that assertions may be encrypted for.
	keys func() ([]*rsa.PrivateKey, error)

	// What the response is, as far as has been read: as it came, and with the
	// assertion clear.
	raw                 []byte
	doc                 *etree.Document
	response, assertion *element
	encrypted           bool           // the assertion came so
	believed            bool           // the assertion is what was signed
	decrypted           *etree.Element // the assertion, then
	// What the provider's signatures cover; nil if they do not.
	signedResponse, signedAssertion *etree.Element
}

// verify admits the response, verifies what is signed in it, and checks that by
// the rules of the profile. The assertion is then what may be believed.
func (v *verification) verify(raw []byte) error {
	if err := v.read(raw); err != nil {
		return err
	}
	if err := pass(v.rules.message, v); err != nil {
		return err
	}
	var err error
	if v.signedResponse, err = v.signature(v.response, v.doc.Root()); err != nil {
		return err
	}
	if v.response.one(nsAssertion, "EncryptedAssertion") != nil {
		if err := v.unseal(); err != nil {
			return err
		}
		// What was hidden has to have the one shape as well.
		if err := pass(v.rules.message, v); err != nil {
			return err
		}
	}
	found := v.response.all(nsAssertion, "Assertion")
	if len(found) == 0 {
		return authn.Refuse(authn.Malformed, "The response holds no assertion.")
	}
	v.assertion = found[0]
	if err := pass(v.rules.assertion, v); err != nil {
		return err
	}
	if v.signedAssertion, err = v.signature(v.assertion, child(v.doc.Root(), "Assertion")); err != nil {
		return err
	}
	if err := pass(v.rules.trust, v); err != nil {
		return err
	}
	if err := v.believe(); err != nil {
		return err
	}
	return pass(v.rules.profile, v)
}

// read parses the response for our eyes and for the libraries'.
func (v *verification) read(raw []byte) (err error) {
	if v.response, err = v.rules.scan(raw); err != nil {
		return err
	}
	v.raw, v.doc = raw, etree.NewDocument()
	if err := v.doc.ReadFromBytes(raw); err != nil || v.doc.Root() == nil {
		return authn.Refuse(authn.Malformed, "The response cannot be read.").Because(err)
	}
	return nil
}

// signature verifies the signature of an element, in both readings of it, and
// gives what it covers; nil if there is none.
func (v *verification) signature(owner *element, el *etree.Element) (covered *etree.Element, err error) {
	found := owner.all(nsSignature, "Signature")
	if len(found) == 0 {
		return nil, nil
	}
	if err := pass(v.rules.signature, signed{found[0], owner, v.spec.AllowSHA1}); err != nil {
		return nil, err
	}
	defer guard(&err)
	el, err = alone(el)
	if errors.Is(err, etreeutils.ErrTraversalLimit) {
		return nil, tooMany(owner.name.Local)
	}
	if err != nil {
		return nil, authn.Refuse(authn.Malformed, "The %s cannot be read.", owner.name.Local).Because(err)
	}
	return verifySignature(el, v.idp.keys, v.now)
}

// guard turns a panic into an error. Admission keeps away all that is known to
// make the libraries panic; should there be more, one sign-in fails and not the
// gateway.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = authn.Refuse(authn.Malformed, "The response cannot be read.").Because(fmt.Errorf("saml: a library panicked: %v", p))
	}
}

// child gives the first assertion, or whatever else, of a response.
func child(root *etree.Element, tag string) *etree.Element {
	for _, c := range root.ChildElements() {
		if c.Tag == tag && c.NamespaceURI() == nsAssertion {
			return c
		}
	}
	return nil
}

// alone is a copy of an element with the namespaces of its surroundings.
func alone(el *etree.Element) (*etree.Element, error) {
	if el == nil {
		return nil, errors.New("saml: the element is not there")
	}
	around, err := etreeutils.NSBuildParentContext(el)
	if err != nil {
		return nil, err
	}
	if around, err = around.SubContext(el); err != nil {
		return nil, err
	}
	return etreeutils.NSDetatch(around, el)
}

func (v *verification) signedAsWanted() error {
	wanted := v.spec.Signed
	if (wanted == tenants.SignedResponse || wanted == tenants.SignedBoth) && v.signedResponse == nil {
		return authn.Refuse(authn.SignatureMissing, "The response is not signed, as the connection wants it.")
	}
	if (wanted == tenants.SignedAssertion || wanted == tenants.SignedBoth) && v.signedAssertion == nil {
		return authn.Refuse(authn.SignatureMissing, "The assertion is not signed, as the connection wants it.")
	}
	return nil
}

// believe takes the assertion out of what was signed: the assertion itself, or
// the response around it. Of an encrypted one in a signed response it is what was
// decrypted from what was signed.
func (v *verification) believe() (err error) {
	defer guard(&err)
	unreadable := authn.Refuse(authn.Malformed, "The signed assertion cannot be read.")
	believed := v.signedAssertion
	switch {
	case believed != nil:
	case v.signedResponse == nil:
		return authn.Refuse(authn.SignatureMissing, "Nothing that the response says is signed.")
	case v.encrypted:
		believed = v.decrypted
	default:
		believed = child(v.signedResponse, "Assertion")
	}
	if believed, err = alone(believed); err != nil {
		return unreadable.Because(err)
	}
	doc := etree.NewDocument()
	doc.SetRoot(believed)
	raw, err := doc.WriteToBytes()
	if err != nil {
		return unreadable.Because(err)
	}
	if v.assertion, err = v.rules.scan(raw); err != nil || v.assertion.name.Local != "Assertion" || v.assertion.name.Space != nsAssertion {
		return unreadable.Because(err)
	}
	v.believed = true
	return nil
}

// library has crewjam/saml look at the response as well, which must have no
// objection.
func (v *verification) library() (err error) {
	defer guard(&err)
	sp, err := serviceProvider(v.endpoints, v.idp)
	if err != nil {
		return err
	}
	sp.SignatureVerifier = verdict{v}
	// It sees one audience per restriction, and either wants a request or does not
	// look at any; the profile has seen to both.
	sp.ValidateAudienceRestriction = func(*crewjam.Assertion) error { return nil }
	sp.AllowIDPInitiated = v.unsolicited
	acs, err := url.Parse(v.endpoints.Callback)
	if err != nil {
		return fmt.Errorf("saml: our own address: %w", err)
	}
	_, err = sp.ParseXMLResponse(v.raw, []string{v.requestID}, *acs)
	if invalid, ok := errors.AsType[*crewjam.InvalidResponseError](err); ok {
		err = invalid.PrivateErr // the other fields hold the whole response
	}
	if err != nil {
		return authn.Refuse(authn.Malformed, "The response was not accepted.").Because(err)
	}
	return nil
}

// verdict tells the library what has been found out about signatures. It
// implements its SignatureVerifier.
type verdict struct{ v *verification }

func (d verdict) VerifySignature(_ *dsig.ValidationContext, el *etree.Element) error {
	covered := d.v.signedAssertion
	if el.Tag == "Response" {
		covered = d.v.signedResponse
	}
	if covered == nil {
		return errors.New("saml: nobody has verified this")
	}
	return nil
}
