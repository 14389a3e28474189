package saml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
)

const (
	// skew is how far the identity provider's clock may be from ours.
	skew = time.Minute
	// maxReplay bounds how long a used assertion is remembered. The request that
	// it answers is used up anyway.
	maxReplay = 24 * time.Hour

	bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer" // #nosec G101 -- the name of a method
)

// verification is the verification of one response.
type verification struct {
	idp       *provider
	endpoints authn.Endpoints
	requestID string
	now       time.Time
}

// verify admits the response, has the library verify it, and then checks what
// was signed once more by the rules of the profile.
func (v *verification) verify(raw []byte) (*crewjam.Assertion, error) {
	shape, err := admit(raw)
	if err != nil {
		return nil, err
	}
	signed := &verifier{keys: v.idp.keys}
	libraryErr := v.library(raw, signed)
	if signed.refusal != nil {
		return nil, signed.refusal
	}
	var response crewjam.Response
	// #nosec G709 -- admitted; the struct decides refusals only
	if err := xml.Unmarshal(raw, &response); err != nil || response.Assertion == nil {
		return nil, authn.Refuse(authn.Malformed, "The response cannot be read.").Because(err)
	}
	if libraryErr != nil {
		// The library's errors are text; our own checks name the reason.
		if err := v.check(&response, response.Assertion, shape); err != nil {
			return nil, err
		}
		return nil, authn.Refuse(authn.Malformed, "The response was not accepted.").Because(libraryErr)
	}
	assertion, err := read(signed.verified)
	if err != nil {
		return nil, err
	}
	if err := v.check(&response, assertion, shape); err != nil {
		return nil, err
	}
	return assertion, nil
}

// library runs crewjam/saml. Admission keeps away all that is known to make it
// panic; should there be more, one sign-in fails and not the gateway.
func (v *verification) library(raw []byte, signed *verifier) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("saml: the library panicked: %v", p)
		}
	}()
	sp, err := serviceProvider(v.endpoints, v.idp)
	if err != nil {
		return err
	}
	sp.SignatureVerifier = signed
	// The library sees one audience per restriction; check looks at all.
	sp.ValidateAudienceRestriction = func(*crewjam.Assertion) error { return nil }
	acs, err := url.Parse(v.endpoints.Callback)
	if err != nil {
		return fmt.Errorf("saml: our own address: %w", err)
	}
	_, err = sp.ParseXMLResponse(raw, []string{v.requestID}, *acs)
	if invalid, ok := errors.AsType[*crewjam.InvalidResponseError](err); ok {
		return invalid.PrivateErr // the other fields hold the whole response
	}
	return err
}

// read takes the assertion out of what was signed: the assertion itself, or
// the response around it.
func read(verified *etree.Element) (*crewjam.Assertion, error) {
	unreadable := authn.Refuse(authn.Malformed, "The signed assertion cannot be read.")
	if verified == nil {
		return nil, unreadable
	}
	doc := etree.NewDocument()
	doc.SetRoot(verified.Copy())
	raw, err := doc.WriteToBytes()
	if err != nil {
		return nil, unreadable.Because(err)
	}
	if verified.Tag == "Response" {
		var r crewjam.Response
		if err := xml.Unmarshal(raw, &r); err != nil || r.Assertion == nil {
			return nil, unreadable.Because(err)
		}
		return r.Assertion, nil
	}
	var a crewjam.Assertion
	if err := xml.Unmarshal(raw, &a); err != nil {
		return nil, unreadable.Because(err)
	}
	return &a, nil
}

// check applies the web browser SSO profile (SAML profiles §4.1.4.3). The
// assertion is what was signed; the response around it may not be.
func (v *verification) check(r *crewjam.Response, a *crewjam.Assertion, shape admitted) error {
	if (r.Issuer != nil && r.Issuer.Value != v.idp.metadata.EntityID) || a.Issuer.Value != v.idp.metadata.EntityID {
		return authn.Refuse(authn.WrongIssuer, "The issuer is not the identity provider of this connection.")
	}
	if (shape.responseSigned || r.Destination != "") && r.Destination != v.endpoints.Callback {
		return authn.Refuse(authn.WrongDestination, "The response was meant for another address.")
	}
	if r.InResponseTo != v.requestID {
		return authn.Refuse(authn.WrongRequest, "The response answers another request than the one that was made.")
	}
	if err := v.checkSubject(a.Subject); err != nil {
		return err
	}
	return v.checkConditions(r, a, shape)
}

func (v *verification) checkSubject(s *crewjam.Subject) error {
	if s == nil || s.NameID == nil || len(s.SubjectConfirmations) == 0 {
		return authn.Refuse(authn.SubjectUnusable, "The assertion does not say who it is about.")
	}
	for _, c := range s.SubjectConfirmations {
		d := c.SubjectConfirmationData
		switch {
		case c.Method != bearer || d == nil:
			return authn.Refuse(authn.ConfirmationMissing, "The subject is not confirmed by the bearer method.")
		case d.Recipient != v.endpoints.Callback:
			return authn.Refuse(authn.WrongRecipient, "The assertion was meant for another recipient.")
		case d.InResponseTo != v.requestID:
			return authn.Refuse(authn.WrongRequest, "The assertion answers another request than the one that was made.")
		case d.NotOnOrAfter.IsZero() || !d.NotBefore.IsZero():
			return authn.Refuse(authn.ConfirmationMissing, "The subject confirmation is not limited in time as the profile asks.")
		case v.over(d.NotOnOrAfter):
			return authn.Refuse(authn.Expired, "The subject confirmation ended at %s.", stamp(d.NotOnOrAfter))
		}
	}
	return nil
}

func (v *verification) checkConditions(r *crewjam.Response, a *crewjam.Assertion, shape admitted) error {
	c := a.Conditions
	switch {
	case c == nil || c.NotOnOrAfter.IsZero():
		return authn.Refuse(authn.ConditionsMissing, "The assertion has no conditions, or none that end it.")
	case v.over(c.NotOnOrAfter):
		return authn.Refuse(authn.Expired, "The assertion ended at %s.", stamp(c.NotOnOrAfter))
	case v.ahead(c.NotBefore):
		return authn.Refuse(authn.NotYetValid, "The assertion begins at %s.", stamp(c.NotBefore))
	case v.ahead(r.IssueInstant) || v.ahead(a.IssueInstant):
		return authn.Refuse(authn.NotYetValid, "The assertion was issued in the future; one of the clocks is wrong.")
	case v.over(r.IssueInstant.Add(crewjam.MaxIssueDelay)) || v.over(a.IssueInstant.Add(crewjam.MaxIssueDelay)):
		return authn.Refuse(authn.Expired, "The assertion was issued at %s, which is too long ago.", stamp(a.IssueInstant))
	}
	for _, s := range a.AuthnStatements {
		if s.SessionNotOnOrAfter != nil && v.over(*s.SessionNotOnOrAfter) {
			return authn.Refuse(authn.Expired, "The session at the identity provider ended at %s.", stamp(*s.SessionNotOnOrAfter))
		}
	}
	return v.checkAudience(shape)
}

// checkAudience wants every restriction to name us (SAML core §2.5.1.4). The
// texts are those of the admitted document, which the signature covers: it has
// one assertion, and no comments.
func (v *verification) checkAudience(shape admitted) error {
	restrictions := shape.assertion.one(nsAssertion, "Conditions").all(nsAssertion, "AudienceRestriction")
	for _, r := range restrictions {
		if !slices.ContainsFunc(r.all(nsAssertion, "Audience"), func(e *element) bool { return string(e.text) == v.endpoints.Metadata }) {
			return authn.Refuse(authn.WrongAudience, "The assertion was meant for another audience.")
		}
	}
	if len(restrictions) == 0 {
		return authn.Refuse(authn.WrongAudience, "The assertion does not say whom it is meant for.")
	}
	return nil
}

// over reports whether a moment has passed, and ahead whether it is still to
// come, by any clock within the skew.
func (v *verification) over(t time.Time) bool  { return !v.now.Before(t.Add(skew)) }
func (v *verification) ahead(t time.Time) bool { return v.now.Before(t.Add(-skew)) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
