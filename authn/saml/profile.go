package saml

import (
	"slices"
	"strings"
	"time"
	"unicode"

	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
	"gatehouse/internal/fault"
)

// These are the rules of the web browser SSO profile (SAML profiles §4.1.4.3).
// The assertion is what was signed; the response around it may not be.

// responseIssuer lets the response leave its issuer out (SAML core §3.2.2).
func (v *verification) responseIssuer() error {
	issuers := v.response.all(nsAssertion, "Issuer")
	if len(issuers) == 0 {
		return nil
	}
	return v.issuedBy(issuers...)
}

func (v *verification) issuer() error { return v.issuedBy(v.assertion.all(nsAssertion, "Issuer")...) }

func (v *verification) issuedBy(issuers ...*element) error {
	if len(issuers) != 1 || string(issuers[0].text) != v.idp.metadata.EntityID || len(issuers[0].children) > 0 {
		return authn.Refuse(authn.WrongIssuer, "The issuer is not the identity provider of this connection.")
	}
	return nil
}

func (v *verification) destination() error {
	if to, said := v.response.attr("Destination"); (said || v.signedResponse != nil) && to != v.endpoints.Callback {
		return authn.Refuse(authn.WrongDestination, "The response was meant for another address.")
	}
	return nil
}

func (v *verification) request() error {
	if !v.answers(v.response) {
		return authn.Refuse(authn.WrongRequest, "The response answers another request than the one that was made.")
	}
	return nil
}

// answers reports whether it is our request that something answers, or none if
// there was none: whoever names a request has to name the one of this browser
// (SAML profiles §4.1.5).
func (v *verification) answers(e *element) bool {
	to, said := e.attr("InResponseTo")
	if v.unsolicited {
		return !said
	}
	return to == v.requestID && to != ""
}

// confirmations are the data of the ways in which the subject is confirmed.
func (v *verification) confirmations() []*element {
	var all []*element
	for _, c := range v.subject().all(nsAssertion, "SubjectConfirmation") {
		if data := c.one(nsAssertion, "SubjectConfirmationData"); data != nil {
			all = append(all, data)
		}
	}
	return all
}

func (v *verification) confirmationMethod() error {
	for _, c := range v.subject().all(nsAssertion, "SubjectConfirmation") {
		if method, _ := c.attr("Method"); method != bearer {
			return authn.Refuse(authn.ConfirmationMissing, "The subject is not confirmed by the bearer method.")
		}
	}
	return nil
}

func (v *verification) recipient() error {
	for _, data := range v.confirmations() {
		if to, _ := data.attr("Recipient"); to != v.endpoints.Callback {
			return authn.Refuse(authn.WrongRecipient, "The assertion was meant for another recipient.")
		}
	}
	return nil
}

func (v *verification) confirmationRequest() error {
	for _, data := range v.confirmations() {
		if !v.answers(data) {
			return authn.Refuse(authn.WrongRequest, "The assertion answers another request than the one that was made.")
		}
	}
	return nil
}

// confirmationLimits wants an end and no beginning.
func (v *verification) confirmationLimits() error {
	for _, data := range v.confirmations() {
		if _, begins := data.attr("NotBefore"); begins || !has(data, "NotOnOrAfter") {
			return authn.Refuse(authn.ConfirmationMissing, "The subject confirmation is not limited in time as the profile asks.")
		}
	}
	return nil
}

func has(e *element, name string) bool {
	_, said := e.attr(name)
	return said
}

func (v *verification) confirmationEnd() error {
	for _, data := range v.confirmations() {
		if err := v.ended(data, "NotOnOrAfter", "The subject confirmation"); err != nil {
			return err
		}
	}
	return nil
}

// ended refuses what is over by a moment that it names.
func (v *verification) ended(e *element, name, what string) error {
	end, err := moment(e, name)
	if err == nil && !end.IsZero() && v.over(end) {
		return authn.Refuse(authn.Expired, "%s ended at %s.", fault.Sentence{Format: what}, stamp(end))
	}
	return err
}

func (v *verification) conditionsLimits() error {
	if !has(v.conditions(), "NotOnOrAfter") {
		return authn.Refuse(authn.ConditionsMissing, "The assertion has no conditions, or none that end it.")
	}
	return nil
}

func (v *verification) conditionsEnd() error {
	return v.ended(v.conditions(), "NotOnOrAfter", "The assertion")
}

func (v *verification) conditionsBegin() error {
	begin, err := moment(v.conditions(), "NotBefore")
	if err == nil && !begin.IsZero() && v.ahead(begin) {
		return authn.Refuse(authn.NotYetValid, "The assertion begins at %s.", stamp(begin))
	}
	return err
}

// issued are the moments at which the response and the assertion were made, which
// they have to say (SAML core §2.3.3, §3.2.2); none makes them as old as can be.
func (v *verification) issued() (all [2]time.Time, err error) {
	for i, e := range []*element{v.response, v.assertion} {
		if all[i], err = moment(e, "IssueInstant"); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (v *verification) issuedAhead() error {
	all, err := v.issued()
	if err == nil && slices.ContainsFunc(all[:], v.ahead) {
		return authn.Refuse(authn.NotYetValid, "The assertion was issued in the future; one of the clocks is wrong.")
	}
	return err
}

func (v *verification) issuedLongAgo() error {
	all, err := v.issued()
	for _, at := range all {
		if err == nil && v.over(at.Add(maxIssueAge)) {
			return authn.Refuse(authn.Expired, "The assertion was issued at %s, which is too long ago.", stamp(at))
		}
	}
	return err
}

func (v *verification) providerSession() error {
	for _, s := range v.assertion.all(nsAssertion, "AuthnStatement") {
		if err := v.ended(s, "SessionNotOnOrAfter", "The session at the identity provider"); err != nil {
			return err
		}
	}
	return nil
}

// sessionEnd is when the session at the provider ends, by the clock of which it may be
// a little later here (SAML profiles §4.1.4.3); zero if it does not say.
func (v *verification) sessionEnd() (end time.Time, err error) {
	for _, s := range v.assertion.all(nsAssertion, "AuthnStatement") {
		at, err := moment(s, "SessionNotOnOrAfter")
		if err != nil {
			return end, err
		}
		if !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	if !end.IsZero() {
		end = end.Add(v.skew())
	}
	return end, nil
}

// audience wants every restriction to name us (SAML core §2.5.1.4).
func (v *verification) audience() error {
	for _, r := range v.conditions().all(nsAssertion, "AudienceRestriction") {
		if !slices.ContainsFunc(r.all(nsAssertion, "Audience"), func(e *element) bool { return string(e.text) == v.endpoints.Metadata }) {
			return authn.Refuse(authn.WrongAudience, "The assertion was meant for another audience.")
		}
	}
	return nil
}

func (v *verification) audienceNamed() error {
	if len(v.conditions().all(nsAssertion, "AudienceRestriction")) == 0 {
		return authn.Refuse(authn.WrongAudience, "The assertion does not say whom it is meant for.")
	}
	return nil
}

func (v *verification) nameText() error {
	if name := v.nameID().plainText(); name == "" || len(name) > maxSubject || strings.ContainsFunc(name, unicode.IsControl) {
		return authn.Refuse(authn.SubjectUnusable, "The NameID is empty, too long, or holds control characters.")
	}
	return nil
}

func (v *verification) nameLasting() error {
	if format, _ := v.nameID().attr("Format"); format == string(crewjam.TransientNameIDFormat) {
		return authn.Refuse(authn.SubjectUnusable,
			"The NameID is transient: another one at every sign-in. Set the identity provider to send a persistent NameID or the email address.")
	}
	return nil
}

// nameOfProvider and nameForUs want a name that is the provider's own for us. The
// same one qualified otherwise is somebody else's: of another domain, or for another
// service or several (SAML core §2.2.2, §8.3.7); and the qualifiers are no part of
// what people are known by here.
func (v *verification) nameOfProvider() error {
	if q, _ := v.nameID().attr("NameQualifier"); q != "" && q != v.idp.metadata.EntityID {
		return authn.Refuse(authn.SubjectForeign, "The NameID is a name of another domain than the identity provider (NameQualifier), where it may be somebody else's. Set the identity provider to send a NameID without NameQualifier, or with its own entity ID there.")
	}
	return nil
}

func (v *verification) nameForUs() error {
	if q, _ := v.nameID().attr("SPNameQualifier"); q != "" && q != v.endpoints.Metadata {
		return authn.Refuse(authn.SubjectForeign, "The NameID is a name for another service, or for several (SPNameQualifier), where it may be somebody else's. Set the identity provider to send a NameID without SPNameQualifier, or with our entity ID there.")
	}
	return nil
}

// over reports whether a moment has passed, and ahead whether it is still to
// come, by any clock within the skew.
func (v *verification) over(t time.Time) bool  { return !v.now.Before(t.Add(v.skew())) }
func (v *verification) ahead(t time.Time) bool { return v.now.Before(t.Add(-v.skew())) }

func (v *verification) skew() time.Duration {
	if v.spec.ClockSkew == 0 {
		return usualSkew
	}
	return time.Duration(v.spec.ClockSkew) * time.Second
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
