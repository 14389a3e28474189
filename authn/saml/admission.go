package saml

import (
	"strings"

	"gatehouse/authn"
)

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	statusPrefix  = "urn:oasis:names:tc:SAML:2.0:status:"
	statusSuccess = statusPrefix + "Success"
)

// admitted is a response whose shape is the one that is accepted. Nothing in
// it has been verified.
type admitted struct {
	response, assertion *element
	responseSigned      bool
}

// admit is the admission: what passes has exactly one Response and one
// Assertion, at the places where they belong, ids that are unique, and
// signatures that can only mean one thing. The ways of signature wrapping all
// need a second one of something (Somorovsky et al., "On Breaking SAML").
func admit(raw []byte) (admitted, error) {
	root, err := scan(raw, false)
	if err != nil {
		return admitted{}, err
	}
	if root.name.Space != nsProtocol || root.name.Local != "Response" {
		return admitted{}, authn.Refuse(authn.Malformed, "The message is not a SAML 2.0 response.")
	}
	a := admitted{response: root}
	if err := a.places(); err != nil {
		return admitted{}, err
	}
	if err := a.status(); err != nil {
		return admitted{}, err
	}
	found := root.all(nsAssertion, "Assertion")
	if len(found) != 1 {
		return admitted{}, authn.Refuse(authn.Malformed, "The response holds %d assertions; exactly one is expected.", len(found))
	}
	a.assertion = found[0]
	for _, e := range []*element{a.response, a.assertion} {
		if version, _ := e.attr("Version"); version != "2.0" {
			return admitted{}, authn.Refuse(authn.Malformed, "The %s is not of SAML version 2.0.", e.name.Local)
		}
	}
	if err := a.subject(); err != nil {
		return admitted{}, err
	}
	if err := a.conditions(); err != nil {
		return admitted{}, err
	}
	if err := a.signatures(); err != nil {
		return admitted{}, err
	}
	return a, nil
}

// places checks that what matters stands only where it belongs, whatever
// namespace it claims.
func (a admitted) places() error {
	if err := uniqueIDs(a.response); err != nil {
		return err
	}
	return a.response.walk(a.place)
}

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

func (a admitted) place(e *element) error {
	switch e.name.Local {
	case "EncryptedAssertion", "EncryptedID", "EncryptedAttribute":
		return authn.Refuse(authn.Encrypted, "The response holds an %s. Switch encryption off at the identity provider; the transport is encrypted already.", e.name.Local)
	case "Response":
		if e != a.response {
			return authn.Refuse(authn.Malformed, "There is a response inside the response.")
		}
	case "Assertion":
		if e.parent != a.response || e.name.Space != nsAssertion {
			return authn.Refuse(authn.Malformed, "There is an assertion where none belongs.")
		}
	case "Signature":
		above := e.parent
		if e.name.Space != nsSignature || (above != a.response && (above.parent != a.response || above.name.Local != "Assertion")) {
			return authn.Refuse(authn.SignatureAmbiguous, "There is a signature where none belongs.")
		}
	case "Subject", "Conditions":
		if e.parent.name.Local != "Assertion" {
			return authn.Refuse(authn.Malformed, "There is a %s where none belongs.", e.name.Local)
		}
	}
	return nil
}

// status is the identity provider's own verdict. It is good enough for a
// refusal unsigned.
func (a admitted) status() error {
	first, second, err := statusOf(a.response)
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

func (a admitted) subject() error {
	subject := a.assertion.one(nsAssertion, "Subject")
	if subject == nil {
		return authn.Refuse(authn.SubjectUnusable, "The assertion does not have exactly one subject.")
	}
	name := subject.one(nsAssertion, "NameID")
	if name == nil || len(name.children) > 0 || !subject.only(nsAssertion, "NameID", "SubjectConfirmation") {
		return authn.Refuse(authn.SubjectUnusable, "The subject does not have exactly one plain NameID.")
	}
	confirmations := subject.all(nsAssertion, "SubjectConfirmation")
	if len(confirmations) == 0 {
		return authn.Refuse(authn.ConfirmationMissing, "The subject has no confirmation.")
	}
	for _, c := range confirmations {
		if c.one(nsAssertion, "SubjectConfirmationData") == nil {
			return authn.Refuse(authn.ConfirmationMissing, "A subject confirmation has no data.")
		}
	}
	return nil
}

// conditions refuses a condition that is not understood, as SAML core §2.5.1.1
// asks.
func (a admitted) conditions() error {
	conditions := a.assertion.one(nsAssertion, "Conditions")
	if conditions == nil {
		return authn.Refuse(authn.ConditionsMissing, "The assertion does not have exactly one set of conditions.")
	}
	if !conditions.only(nsAssertion, "AudienceRestriction", "OneTimeUse", "ProxyRestriction") {
		return authn.Refuse(authn.ConditionsMissing, "The assertion has a condition that is not understood.")
	}
	if len(a.assertion.all(nsAssertion, "AuthnStatement")) == 0 {
		return authn.Refuse(authn.Malformed, "The assertion does not say how the person signed in.")
	}
	return nil
}
