package saml

import (
	"maps"
	"slices"
	"strings"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse/authn"
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
func (v *verification) person() (authn.Assertion, error) {
	id := v.nameID()
	format, _ := id.attr("Format")
	replay, _ := v.assertion.attr("ID")
	p := authn.Assertion{
		Subject: id.plainText(),
		Issuer:  v.idp.metadata.EntityID,
		// The tenant's admin chose this provider to vouch for the tenant's people.
		EmailVerified: true,
		Replay:        replay,
		Claims:        v.claims(),
	}
	wanted := v.spec.Attributes
	p.Email = first(v.values(wanted.Email, emailAttributes))
	if p.Email == "" && format == string(crewjam.EmailAddressNameIDFormat) {
		p.Email = p.Subject
	}
	p.Name = first(v.values(wanted.Name, nameAttributes))
	p.Groups = v.values(wanted.Groups, groupAttributes)
	p.ACR = first(v.classes())
	var index string
	if statements := v.assertion.all(nsAssertion, "AuthnStatement"); len(statements) > 0 {
		var err error
		if p.AuthTime, err = moment(statements[0], "AuthnInstant"); err != nil {
			return authn.Assertion{}, err
		}
		index, _ = statements[0].attr("SessionIndex")
		p.IDPSession = strings.TrimSpace(index) // as a sign-out's is
	}
	var err error
	if p.Until, err = v.sessionEnd(); err != nil {
		return authn.Assertion{}, err
	}
	if p.LogoutHint, err = hintOf(id, index); err != nil {
		return authn.Assertion{}, err
	}
	p.ReplayUntil = v.now
	for _, data := range v.confirmations() {
		end, err := moment(data, "NotOnOrAfter")
		if err != nil {
			return authn.Assertion{}, err
		}
		// And the other nodes' clocks may be behind this one's.
		p.ReplayUntil = later(p.ReplayUntil, end.Add(v.skew()+maxSkew))
	}
	if latest := v.now.Add(maxReplay); p.ReplayUntil.After(latest) {
		p.ReplayUntil = latest
	}
	return p, nil
}

// attributes visits the attributes of the assertion.
func (v *verification) attributes(visit func(name, friendly string, values []string)) {
	for _, statement := range v.assertion.all(nsAssertion, "AttributeStatement") {
		for _, attribute := range statement.all(nsAssertion, "Attribute") {
			name, _ := attribute.attr("Name")
			friendly, _ := attribute.attr("FriendlyName")
			var found []string
			for _, value := range attribute.all(nsAssertion, "AttributeValue") {
				if text := value.plainText(); text != "" {
					found = append(found, text)
				}
			}
			visit(name, friendly, found)
		}
	}
}

// values gives the values of the attribute of this name, or of the first known
// one that is there.
func (v *verification) values(name string, known []string) []string {
	names := known
	if name != "" {
		names = []string{name}
	}
	for _, wanted := range names {
		var found []string
		v.attributes(func(name, friendly string, values []string) {
			if name == wanted || friendly == wanted {
				found = append(found, values...)
			}
		})
		if len(found) > 0 {
			return slices.Clip(found[:min(len(found), maxValues)])
		}
	}
	return nil
}

// claims are all attributes by their names and, where nothing is called so, by
// their friendly names.
func (v *verification) claims() map[string][]string {
	claims, left := map[string][]string{}, authn.MaxClaims
	put := func(name string, values []string) {
		for _, value := range values {
			if name == "" || len(name) > authn.MaxClaim || len(value) > authn.MaxClaim || left == 0 {
				continue
			}
			claims[name] = append(claims[name], value)
			left--
		}
	}
	v.attributes(func(name, _ string, values []string) { put(name, values) })
	named := maps.Clone(claims)
	v.attributes(func(name, friendly string, values []string) {
		if _, taken := named[friendly]; !taken && friendly != name {
			put(friendly, values)
		}
	})
	return claims
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
