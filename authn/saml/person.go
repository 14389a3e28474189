package saml

import (
	"slices"
	"strings"
	"time"
	"unicode"

	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
	"gatehouse/tenants"
)

// Where identity providers keep a person's data unless the connection says
// otherwise: the plain names, LDAP's, and those of ADFS and Entra.
var (
	emailAttributes = []string{"email", "mail", "emailAddress", "urn:oid:0.9.2342.19200300.100.1.3",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"}
	nameAttributes = []string{"displayName", "name", "urn:oid:2.16.840.1.113730.3.1.241",
		"http://schemas.microsoft.com/identity/claims/displayname", "cn", "urn:oid:2.5.4.3"}
	groupAttributes = []string{"groups", "memberOf", "http://schemas.xmlsoap.org/claims/Group",
		"http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"}
)

const (
	maxSubject = 1024
	maxValues  = 1000
)

// person says who a verified assertion is about.
func (v *verification) person(a *crewjam.Assertion, c tenants.Connection) (authn.Assertion, error) {
	id := a.Subject.NameID
	subject := strings.TrimSpace(id.Value)
	switch {
	case subject == "" || len(subject) > maxSubject || strings.ContainsFunc(subject, unicode.IsControl):
		return authn.Assertion{}, authn.Refuse(authn.SubjectUnusable, "The NameID is empty, too long, or holds control characters.")
	case id.Format == string(crewjam.TransientNameIDFormat):
		return authn.Assertion{}, authn.Refuse(authn.SubjectUnusable,
			"The NameID is transient: another one at every sign-in. Set the identity provider to send a persistent NameID or the email address.")
	}
	p := authn.Assertion{
		Subject: subject,
		// The tenant's admin chose this provider to vouch for the tenant's people.
		EmailVerified: true,
		Replay:        a.ID,
	}
	var wanted tenants.AttributeMap
	if c.SAML != nil {
		wanted = c.SAML.Attributes
	}
	p.Email = first(values(a, wanted.Email, emailAttributes))
	if p.Email == "" && id.Format == string(crewjam.EmailAddressNameIDFormat) {
		p.Email = subject
	}
	p.Name = first(values(a, wanted.Name, nameAttributes))
	p.Groups = values(a, wanted.Groups, groupAttributes)
	statement := a.AuthnStatements[0]
	p.AuthTime, p.IDPSession = statement.AuthnInstant, strings.TrimSpace(statement.SessionIndex) // as a sign-out's is
	var err error
	if p.LogoutHint, err = hintOf(id, statement.SessionIndex); err != nil {
		return authn.Assertion{}, err
	}
	if ref := statement.AuthnContext.AuthnContextClassRef; ref != nil {
		p.ACR = strings.TrimSpace(ref.Value)
	}
	p.ReplayUntil = v.now
	for _, confirmation := range a.Subject.SubjectConfirmations {
		p.ReplayUntil = later(p.ReplayUntil, confirmation.SubjectConfirmationData.NotOnOrAfter.Add(skew))
	}
	if latest := v.now.Add(maxReplay); p.ReplayUntil.After(latest) {
		p.ReplayUntil = latest
	}
	return p, nil
}

// values gives the values of the attribute of this name, or of the first known
// one that is there.
func values(a *crewjam.Assertion, name string, known []string) []string {
	names := known
	if name != "" {
		names = []string{name}
	}
	for _, name := range names {
		var found []string
		for _, statement := range a.AttributeStatements {
			for _, attribute := range statement.Attributes {
				if attribute.Name != name && attribute.FriendlyName != name {
					continue
				}
				for _, value := range attribute.Values {
					if text := strings.TrimSpace(value.Value); text != "" {
						found = append(found, text)
					}
				}
			}
		}
		if len(found) > 0 {
			return slices.Clip(found[:min(len(found), maxValues)])
		}
	}
	return nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
