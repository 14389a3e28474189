package saml

import (
	"slices"
	"strings"

	"gatehouse/authn"
	"gatehouse/tenants"
)

const (
	nsProtocol   = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion  = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsSignature  = "http://www.w3.org/2000/09/xmldsig#"
	nsEncryption = "http://www.w3.org/2001/04/xmlenc#"

	statusPrefix  = "urn:oasis:names:tc:SAML:2.0:status:"
	statusSuccess = statusPrefix + "Success"
)

// This is the admission: what passes has exactly one Response and one Assertion,
// at the places where they belong, ids that are unique, and signatures that can
// only mean one thing. The ways of signature wrapping all need a second one of
// something (Somorovsky et al., "On Breaking SAML"). Nothing in it is verified.

func (v *verification) isResponse() error {
	if v.response.name.Space != nsProtocol || v.response.name.Local != "Response" {
		return authn.Refuse(authn.Malformed, "The message is not a SAML 2.0 response.")
	}
	return nil
}

func (v *verification) responseVersion() error { return version(v.response) }

func (v *verification) assertionVersion() error { return version(v.assertion) }

func version(e *element) error {
	if version, _ := e.attr("Version"); version != "2.0" {
		return authn.Refuse(authn.Malformed, "The %s is not of SAML version 2.0.", e.name.Local)
	}
	return nil
}

func (v *verification) uniqueIDs() error { return uniqueIDs(v.response) }

// uniqueIDs checks that an id can only mean one element.
func uniqueIDs(root *element) error {
	ids := map[string]bool{}
	return root.walk(func(e *element) error {
		for _, attr := range e.attrs {
			if !isID(attr.Name) {
				continue
			}
			if attr.Value == "" || ids[attr.Value] {
				return authn.Refuse(authn.Malformed, "An id is empty or given twice.")
			}
			ids[attr.Value] = true
		}
		return nil
	})
}

// What matters stands only where it belongs, whatever namespace it claims.

func (v *verification) responsePlace() error {
	return v.response.walk(func(e *element) error {
		if e.name.Local == "Response" && e != v.response {
			return authn.Refuse(authn.Malformed, "There is a response inside the response.")
		}
		return nil
	})
}

func (v *verification) encryptedPart() error {
	return v.response.walk(func(e *element) error {
		switch {
		case e.name.Local == "EncryptedID", e.name.Local == "EncryptedAttribute":
			return authn.Refuse(authn.Encrypted, "The response holds an %s. Have the identity provider encrypt the whole assertion, or nothing.", e.name.Local)
		case e.name.Local == "EncryptedAssertion" && (e.parent != v.response || e.name.Space != nsAssertion):
			return authn.Refuse(authn.Malformed, "There is an encrypted assertion where none belongs.")
		}
		return nil
	})
}

func (v *verification) assertionPlace() error {
	return v.response.walk(func(e *element) error {
		if e.name.Local == "Assertion" && (e.parent != v.response || e.name.Space != nsAssertion) {
			return authn.Refuse(authn.Malformed, "There is an assertion where none belongs.")
		}
		return nil
	})
}

func (v *verification) signaturePlace() error {
	return v.response.walk(func(e *element) error {
		if above := e.parent; e.name.Local == "Signature" && (e.name.Space != nsSignature || above != v.response &&
			(above == nil || above.parent != v.response || above.name.Local != "Assertion")) {
			return authn.Refuse(authn.SignatureAmbiguous, "There is a signature where none belongs.")
		}
		return nil
	})
}

func (v *verification) subjectPlace() error { return v.inAssertion("Subject") }

func (v *verification) conditionsPlace() error { return v.inAssertion("Conditions") }

func (v *verification) inAssertion(name string) error {
	return v.response.walk(func(e *element) error {
		if e.name.Local == name && (e.parent != v.assertion || e.name.Space != nsAssertion) {
			return authn.Refuse(authn.Malformed, "There is a %s where none belongs.", name)
		}
		return nil
	})
}

// status is the identity provider's own verdict. It is good enough for a
// refusal unsigned.
func (v *verification) status() error {
	first, second, err := statusOf(v.response)
	if err != nil || first == statusSuccess {
		return err
	}
	return authn.Refuse(authn.ProviderRefused, "The identity provider answered with the status %s.", statusName(second))
}

// statusOf gives the codes of a response: the first level, and the second, which
// says more (SAML core §3.2.2.2), or the first again.
func statusOf(root *element) (first, second string, err error) {
	status := root.one(nsProtocol, "Status")
	if status == nil {
		return "", "", authn.Refuse(authn.Malformed, "The response has no status.")
	}
	code := status.one(nsProtocol, "StatusCode")
	if code == nil {
		return "", "", authn.Refuse(authn.Malformed, "The response has no status code.")
	}
	first, _ = code.attr("Value")
	if inner := code.one(nsProtocol, "StatusCode"); inner != nil {
		code = inner
	}
	second, _ = code.attr("Value")
	return first, second, nil
}

// statusName keeps what a stranger could write out of the journal.
func statusName(value string) string {
	name, ok := strings.CutPrefix(value, statusPrefix)
	if !ok || len(name) > 40 || strings.ContainsFunc(name, func(r rune) bool { return r < 'A' || r > 'z' }) {
		return "unknown"
	}
	return name
}

func (v *verification) oneAssertion() error {
	if n := len(v.response.all(nsAssertion, "Assertion")) + len(v.response.all(nsAssertion, "EncryptedAssertion")); n != 1 {
		return authn.Refuse(authn.Malformed, "The response holds %d assertions; exactly one is expected.", n)
	}
	return nil
}

func (v *verification) encryptionWanted() error {
	if v.spec.Encryption == tenants.EncryptionRequired && !v.encrypted && len(v.response.all(nsAssertion, "EncryptedAssertion")) == 0 {
		return authn.Refuse(authn.NotEncrypted, "The assertion is not encrypted, as the connection wants it. The certificate to encrypt with is in our metadata.")
	}
	return nil
}

func (v *verification) responseSignatureOnce() error { return signatureOnce(v.response) }

func (v *verification) assertionSignatureOnce() error { return signatureOnce(v.assertion) }

func signatureOnce(owner *element) error {
	if len(owner.all(nsSignature, "Signature")) > 1 {
		return authn.Refuse(authn.SignatureAmbiguous, "The %s is signed more than once.", owner.name.Local)
	}
	return nil
}

func (v *verification) anySigned() error {
	if v.signedResponse == nil && len(v.assertion.all(nsSignature, "Signature")) == 0 {
		return authn.Refuse(authn.SignatureMissing, "Neither the response nor the assertion is signed.")
	}
	return nil
}

func (v *verification) subject() *element { return v.assertion.one(nsAssertion, "Subject") }

func (v *verification) nameID() *element { return v.subject().one(nsAssertion, "NameID") }

func (v *verification) conditions() *element { return v.assertion.one(nsAssertion, "Conditions") }

func (v *verification) oneSubject() error {
	if v.subject() == nil {
		return authn.Refuse(authn.SubjectUnusable, "The assertion does not have exactly one subject.")
	}
	return nil
}

func (v *verification) plainName() error {
	if name := v.nameID(); name == nil || len(name.children) > 0 {
		return authn.Refuse(authn.SubjectUnusable, "The subject does not have exactly one plain NameID.")
	}
	return nil
}

func (v *verification) subjectParts() error {
	if !v.subject().only(nsAssertion, "NameID", "SubjectConfirmation") {
		return authn.Refuse(authn.SubjectUnusable, "The subject holds something else than a NameID and its confirmation.")
	}
	return nil
}

func (v *verification) confirmed() error {
	if len(v.subject().all(nsAssertion, "SubjectConfirmation")) == 0 {
		return authn.Refuse(authn.ConfirmationMissing, "The subject has no confirmation.")
	}
	return nil
}

func (v *verification) confirmationData() error {
	for _, c := range v.subject().all(nsAssertion, "SubjectConfirmation") {
		if c.one(nsAssertion, "SubjectConfirmationData") == nil {
			return authn.Refuse(authn.ConfirmationMissing, "A subject confirmation has no data.")
		}
	}
	return nil
}

func (v *verification) oneConditions() error {
	if v.conditions() == nil {
		return authn.Refuse(authn.ConditionsMissing, "The assertion does not have exactly one set of conditions.")
	}
	return nil
}

// knownConditions refuses a condition that is not understood, as SAML core
// §2.5.1.1 asks.
func (v *verification) knownConditions() error {
	if !v.conditions().only(nsAssertion, "AudienceRestriction", "OneTimeUse", "ProxyRestriction") {
		return authn.Refuse(authn.ConditionsMissing, "The assertion has a condition that is not understood.")
	}
	return nil
}

func (v *verification) authenticated() error {
	if len(v.assertion.all(nsAssertion, "AuthnStatement")) == 0 {
		return authn.Refuse(authn.Malformed, "The assertion does not say how the person signed in.")
	}
	return nil
}

// classes are the ways to authenticate that the assertion names.
func (v *verification) classes() []string {
	var all []string
	for _, s := range v.assertion.all(nsAssertion, "AuthnStatement") {
		all = append(all, s.one(nsAssertion, "AuthnContext").one(nsAssertion, "AuthnContextClassRef").plainText())
	}
	return all
}

func (v *verification) context() error {
	wanted := v.spec.AuthnContexts
	if len(wanted) == 0 || !slices.ContainsFunc(v.classes(), func(class string) bool { return !slices.Contains(wanted, class) }) && len(v.classes()) > 0 {
		return nil
	}
	return authn.Refuse(authn.WrongContext, "The person authenticated in another way than the connection asks for.")
}
