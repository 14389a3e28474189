package saml

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"gatehouse/authn"
)

// reading is what has been read of the response, for a test of the connection. What
// came encrypted is shown only if it is the provider's and for the request of this very
// test: whoever tries a connection must not have us open what was sealed for somebody
// else.
func (v *verification) reading() (r authn.Reading) {
	if v.response == nil {
		return r
	}
	r.Marks = believed(v.signedResponse != nil, v.marksOfResponse())
	came := v.response.one(nsAssertion, "Assertion") // with its signature, if it is there
	if v.assertion == nil {
		v.assertion = came
	}
	if v.assertion != nil && (!v.encrypted || v.believed && v.confirmationRequest() == nil) {
		r.Claims, r.Believed = v.claims(), v.believed
		r.Marks = append(r.Marks, believed(v.believed, v.marksOfAssertion(came))...)
	}
	r.Marks = append(r.Marks, authn.Clock(v.now))
	return r
}

func believed(are bool, marks []authn.Mark) []authn.Mark {
	for i := range marks {
		marks[i].Believed = are
	}
	return marks
}

func (v *verification) marksOfResponse() []authn.Mark {
	marks := []authn.Mark{
		{Name: "Issuer of the response", Received: textsOf(v.response.all(nsAssertion, "Issuer")...), Expected: []string{v.idp.metadata.EntityID}},
		{Name: "Destination", Received: attrsOf("Destination", v.response), Expected: []string{v.endpoints.Callback}},
		{Name: "Answers the request", Received: attrsOf("InResponseTo", v.response), Expected: []string{v.requestID}},
	}
	status := v.response.one(nsProtocol, "Status")
	code := status.one(nsProtocol, "StatusCode")
	if codes := attrsOf("Value", code, code.one(nsProtocol, "StatusCode")); len(codes) != 1 || codes[0] != statusSuccess {
		marks = append(marks, []authn.Mark{{Name: "Status", Received: codes, Expected: []string{statusSuccess}},
			{Name: "Description", Received: textsOf(status.one(nsProtocol, "StatusMessage"))}}...)
	}
	return marks
}

// marksOfAssertion are those of the assertion; came is the one that the response holds.
// The certificate that a signature shows is no part of what it signs: which key fits is
// seen to elsewhere.
func (v *verification) marksOfAssertion(came *element) []authn.Mark {
	var audiences []*element
	for _, restriction := range v.conditions().all(nsAssertion, "AudienceRestriction") {
		audiences = append(audiences, restriction.all(nsAssertion, "Audience")...)
	}
	known := make([]string, len(v.idp.keys))
	for i, key := range v.idp.keys {
		known[i] = fingerprint(key.Raw)
	}
	return []authn.Mark{
		{Name: "Issuer", Received: textsOf(v.assertion.all(nsAssertion, "Issuer")...), Expected: []string{v.idp.metadata.EntityID}},
		{Name: "Audience", Received: textsOf(audiences...), Expected: []string{v.endpoints.Metadata}},
		{Name: "Recipient", Received: attrsOf("Recipient", v.confirmations()...), Expected: []string{v.endpoints.Callback}},
		{Name: "The assertion answers the request", Received: attrsOf("InResponseTo", v.confirmations()...), Expected: []string{v.requestID}},
		{Name: "Subject", Received: textsOf(v.nameID())},
		{Name: "Kind of subject", Received: attrsOf("Format", v.nameID())},
		{Name: "Class", Received: v.classes(), Expected: v.spec.AuthnContexts},
		{Name: "Issued at", Received: attrsOf("IssueInstant", v.assertion)},
		{Name: "Valid from", Received: attrsOf("NotBefore", v.conditions())},
		{Name: "Valid until", Received: attrsOf("NotOnOrAfter", append(v.confirmations(), v.conditions())...)},
		{Name: "Certificate (SHA-256)", Received: certificatesOf(v.response, came), Expected: known},
	}
}

// certificatesOf are the fingerprints of the certificates that signatures show.
func certificatesOf(owners ...*element) (all []string) {
	for _, owner := range owners {
		shown := owner.one(nsSignature, "Signature").one(nsSignature, "KeyInfo").one(nsSignature, "X509Data").one(nsSignature, "X509Certificate")
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(shown.plainText()), ""))
		if certificate, parsed := x509.ParseCertificate(raw); err == nil && parsed == nil {
			all = append(all, fingerprint(certificate.Raw))
		}
	}
	return all
}

func fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return hex.EncodeToString(sum[:])
}

// textsOf are the texts of elements, and attrsOf their attributes of a name.
func textsOf(elements ...*element) (all []string) {
	for _, e := range elements {
		if text := e.plainText(); text != "" {
			all = append(all, text)
		}
	}
	return all
}

func attrsOf(name string, elements ...*element) (all []string) {
	for _, e := range elements {
		if value, said := e.attr(name); said {
			all = append(all, value)
		}
	}
	return all
}
