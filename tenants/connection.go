package tenants

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// ConnectionType is the protocol of a connection.
type ConnectionType string

const (
	// OIDC is OpenID Connect Core 1.0, by the code flow.
	OIDC ConnectionType = "oidc"
	// SAML is SAML 2.0 web browser single sign-on.
	SAML ConnectionType = "saml"
	// OAuth2 is OAuth 2.0 alone, by the authorisation code flow (RFC 6749 §4.1) and
	// the provider's own user API.
	OAuth2 ConnectionType = "oauth2"
	// Local is the gateway itself: accounts with credentials of their own, for
	// operators and for who must get in while no identity provider lets them.
	Local ConnectionType = "local"
)

// Connection is one way for a tenant's people to sign in: a relation to one
// identity provider.
type Connection struct {
	ID          identity.ConnectionID
	Name        string // unique in the tenant, part of our URLs: [a-z0-9-]
	DisplayName string // what people choose it by; empty: Name
	Type        ConnectionType
	Enabled     bool
	DefaultRole string // account-wide role of people made by their first sign-in; empty: none
	// Link says whether a person who was provisioned but never signed in here is
	// taken over by an assertion: the identity key stays (tenant, connection,
	// subject), and the default is not to guess.
	Link LinkRule
	// Unknown says what becomes of somebody whom nobody here knows.
	Unknown UnknownRule
	// Admits says who of the provider's people may use the connection.
	Admits Admission
	// Anybody says that whoever can have an account at the provider may come in, where
	// anybody can have one.
	Anybody bool
	// GroupRules put people into groups by what the provider says of them, at every
	// sign-in.
	GroupRules []GroupRule
	OIDC       *OIDCSpec
	SAML       *SAMLSpec
	OAuth2     *OAuth2Spec
	Signals    *Signals // nil: none are heard
	Version    uint64
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// LinkRule says when a first sign-in takes over an existing person.
type LinkRule string

const (
	// LinkNever makes a new person, or refuses if the user name is taken.
	LinkNever LinkRule = ""
	// LinkByEmail takes over the person whose user name is the asserted, verified
	// email, if no identity of this connection is linked to that person yet.
	LinkByEmail LinkRule = "email"
	// LinkByExternalID takes over the person whom SCIM provisioned with the
	// provider's own name for them (the subject) as externalId.
	LinkByExternalID LinkRule = "external_id"
)

// UnknownRule says what becomes of somebody who signs in for the first time and
// is linked to nobody.
type UnknownRule string

const (
	// MakeUnknown makes a person (just-in-time provisioning).
	MakeUnknown UnknownRule = ""
	// RefuseUnknown lets in only whom SCIM or an admin has made.
	RefuseUnknown UnknownRule = "refuse"
)

// Admission says who of a provider's people may use a connection; what is empty
// lets everybody in.
type Admission struct {
	// Domains are those of verified email addresses.
	Domains []string `json:"domains,omitempty"`
	// Groups are names of the provider's groups, one of which people must be in.
	Groups []string `json:"groups,omitempty"`
}

// GroupRule puts whoever has a claim or attribute with one of these values into
// a group, and takes out who has not. The group is one of this connection's, as
// those that the provider names itself.
type GroupRule struct {
	Claim  string   `json:"claim"`
	Values []string `json:"values"`
	Group  string   `json:"group"`
}

// AttributeMap names the claims or attributes that hold a person's data.
type AttributeMap struct {
	Email  string `json:"email,omitempty" yaml:"email,omitempty"`
	Name   string `json:"name,omitempty" yaml:"name,omitempty"`
	Groups string `json:"groups,omitempty" yaml:"groups,omitempty"`
}

// Title is what people choose the connection by.
func (c Connection) Title() string {
	if c.DisplayName != "" {
		return c.DisplayName
	}
	return c.Name
}

// HasSecret reports whether the connection shows a secret to its provider.
func (c Connection) HasSecret() bool {
	secret := c.secret()
	return secret != nil && *secret != ""
}

// secret is where the connection's secret stands; nil if its type has none. It is
// sealed at rest and never given out.
func (c Connection) secret() *string {
	switch {
	case c.OIDC != nil:
		return &c.OIDC.ClientSecret
	case c.OAuth2 != nil:
		return &c.OAuth2.ClientSecret
	}
	return nil
}

// Same reports whether both say the same, secrets included.
func (c Connection) Same(o Connection) bool {
	c, o = c.clone(), o.clone()
	var kept [2][]byte
	var secrets [2]string
	for i, x := range []Connection{c, o} {
		if secret := x.secret(); secret != nil {
			secrets[i] = *secret
		}
		kept[i], _ = json.Marshal(specOf(x)) // plain text and lists of it: cannot fail
	}
	return c.Type == o.Type && c.Enabled == o.Enabled && bytes.Equal(kept[0], kept[1]) && secrets[0] == secrets[1] && c.Signals.Same(o.Signals)
}

// TrustsAnew reports whether this connection believes something that the one
// before it did not: another provider, other words of it, or people by what it
// says of them. Whoever decides that decides who people are.
func (c Connection) TrustsAnew(before Connection) bool {
	return c.Link != LinkNever && c.Link != before.Link ||
		!slices.EqualFunc(c.GroupRules, before.GroupRules, GroupRule.equal) || c.believesAnew(before)
}

// believesAnew reports whether the connection believes another provider than the one
// before it, or other words of it.
func (c Connection) believesAnew(before Connection) bool {
	switch {
	case c.Type != before.Type:
		return true
	case c.OIDC != nil && before.OIDC != nil:
		return c.OIDC.trustsAnew(*before.OIDC)
	case c.SAML != nil && before.SAML != nil:
		return c.SAML.trustsAnew(*before.SAML)
	case c.OAuth2 != nil && before.OAuth2 != nil:
		return c.OAuth2.trustsAnew(*before.OAuth2)
	case c.Type == Local:
		return false // there is nobody else to believe
	}
	return true
}

// StillRuled are the groups in which people may stay whom the rules of the connection
// before this one have put there: each of those rules is still there, by the word of
// the same provider, and lets nobody less in. A connection that lets nobody in rules
// nothing: nobody would notice that a rule has ceased to hold of somebody.
func (c Connection) StillRuled(before Connection) []string {
	if !c.Enabled || !before.Enabled || c.believesAnew(before) {
		return nil
	}
	still, gone := map[string]bool{}, map[string]bool{}
	for _, r := range before.GroupRules {
		group := r.groupKey()
		still[group] = true
		gone[group] = gone[group] || !slices.ContainsFunc(c.GroupRules, r.within)
	}
	maps.DeleteFunc(still, func(group string, _ bool) bool { return gone[group] })
	return slices.Sorted(maps.Keys(still))
}

// within reports whether the other rule puts everybody into the group whom this one
// does.
func (r GroupRule) within(o GroupRule) bool {
	return r.Claim == o.Claim && r.groupKey() == o.groupKey() && !slices.ContainsFunc(r.Values, func(v string) bool { return !slices.Contains(o.Values, v) })
}

// groupKey is the group's name as far as it tells groups apart in the directory, which
// ignores space around it as well.
func (r GroupRule) groupKey() string { return identity.NameKey(strings.TrimSpace(r.Group)) }

func (r GroupRule) equal(o GroupRule) bool {
	return r.Claim == o.Claim && r.Group == o.Group && slices.Equal(r.Values, o.Values)
}

// clone copies what is behind the pointers as well.
func (c Connection) clone() Connection {
	c.Admits.Domains, c.Admits.Groups = slices.Clone(c.Admits.Domains), slices.Clone(c.Admits.Groups)
	c.GroupRules = slices.Clone(c.GroupRules)
	for i := range c.GroupRules {
		c.GroupRules[i].Values = slices.Clone(c.GroupRules[i].Values)
	}
	if c.OIDC != nil {
		spec := c.OIDC.clone()
		c.OIDC = &spec
	}
	if c.SAML != nil {
		spec := c.SAML.clone()
		c.SAML = &spec
	}
	if c.OAuth2 != nil {
		spec := c.OAuth2.clone()
		c.OAuth2 = &spec
	}
	c.Signals = c.Signals.clone()
	return c
}

// CheckRules validates all but what is said of the provider. It brings domains to
// their canonical form.
func (c *Connection) CheckRules() error {
	if !isName(c.Name) {
		return badConnection("its name is 1 to 63 lower-case letters, digits and hyphens, with no hyphen at an end").At("name")
	}
	if (c.Name == LocalName) != (c.Type == Local) {
		return badConnection("the name %q is that of local accounts, and of nothing else", LocalName).At("name")
	}
	if len(c.DisplayName) > maxDisplayName || !isText(c.DisplayName) {
		return badConnection("display_name is at most %d bytes of plain text", maxDisplayName).At("display_name")
	}
	if !isToken(c.DefaultRole) {
		return badConnection("default_role is not the name of a role").At("default_role")
	}
	if !slices.Contains([]LinkRule{LinkNever, LinkByEmail, LinkByExternalID}, c.Link) {
		return badConnection(`link is empty, "email" or "external_id"`).At("link")
	}
	if c.Unknown != MakeUnknown && c.Unknown != RefuseUnknown {
		return badConnection(`unknown_people is empty or "refuse"`).At("unknown_people")
	}
	if err := c.Admits.check(); err != nil {
		return err
	}
	if len(c.GroupRules) > maxGroupRules {
		return badConnection("there are at most %d group_rules", maxGroupRules).At("group_rules")
	}
	for i, r := range c.GroupRules {
		if err := r.check(fmt.Sprintf("group_rules[%d]", i)); err != nil {
			return err
		}
	}
	return c.Signals.check()
}

// Check tells what is wrong with the connection, as keeping it in the place of
// current would; that is zero if there is none.
func (c Connection) Check(current Connection) error {
	if c.closes(current) {
		return nil
	}
	c = c.clone()
	return c.check()
}

// closes reports whether this says nothing of the current connection but that
// nobody gets in by it. That must never fail: what was kept under the rules of its
// day may be against those of today.
func (c Connection) closes(current Connection) bool {
	enabled := c.Enabled
	c.Enabled = current.Enabled
	return current.ID != "" && c.Name == current.Name && !enabled && c.Same(current)
}

func (c *Connection) check() error {
	if err := c.CheckRules(); err != nil {
		return err
	}
	switch {
	case c.Type == Local:
		return c.checkLocal()
	case c.Type == OIDC && c.OIDC != nil && c.SAML == nil && c.OAuth2 == nil:
		return cmp.Or(c.OIDC.check(), c.checkOpen())
	case c.Type == SAML && c.SAML != nil && c.OIDC == nil && c.OAuth2 == nil:
		return c.SAML.check()
	case c.Type == OAuth2 && c.OAuth2 != nil && c.OIDC == nil && c.SAML == nil:
		return cmp.Or(c.OAuth2.check(), c.checkOpen())
	}
	return badConnection("its type is oidc, saml, oauth2 or local, with the settings of that type alone").At("type")
}

const (
	maxGroupRules = 100
	maxAdmission  = 100 // domains, and groups
	maxGroupName  = 320
)

// check brings domains to their canonical form as well.
func (a *Admission) check() error {
	if len(a.Domains) > maxAdmission {
		return badConnection("there are at most %d allowed_domains and allowed_groups", maxAdmission).At("allowed_domains")
	}
	if len(a.Groups) > maxAdmission {
		return badConnection("there are at most %d allowed_domains and allowed_groups", maxAdmission).At("allowed_groups")
	}
	for i, given := range a.Domains {
		domain, err := CanonicalHost(given)
		if err != nil || !strings.Contains(domain, ".") {
			return badConnection("%.100q in allowed_domains is no domain such as example.com", given).At("allowed_domains")
		}
		a.Domains[i] = domain
	}
	for _, group := range a.Groups {
		if group == "" || len(group) > maxGroupName || !isText(group) {
			return badConnection("names in allowed_groups are 1 to %d bytes of plain text", maxGroupName).At("allowed_groups")
		}
	}
	return nil
}

func (r GroupRule) check(field string) error {
	if r.Claim == "" || len(r.Claim) > maxToken || !isText(r.Claim) {
		return badConnection("the claim of a group rule is 1 to %d bytes of plain text", maxToken).At(field + ".claim")
	}
	if r.Group == "" || len(r.Group) > maxGroupName || !isText(r.Group) {
		return badConnection("the group of a group rule is 1 to %d bytes of plain text", maxGroupName).At(field + ".group")
	}
	if len(r.Values) == 0 || len(r.Values) > maxAdmission {
		return badConnection("a group rule has 1 to %d values", maxAdmission).At(field + ".values")
	}
	for _, v := range r.Values {
		if v == "" || len(v) > maxGroupName || !isText(v) {
			return badConnection("the values of a group rule are 1 to %d bytes of plain text", maxGroupName).At(field + ".values")
		}
	}
	return nil
}

func (m AttributeMap) check(field string) error {
	for _, n := range []struct{ of, said string }{{"email", m.Email}, {"name", m.Name}, {"groups", m.Groups}} {
		if len(n.said) > maxToken || !isText(n.said) {
			return badConnection("the names in %s are at most %d characters", field, maxToken).At(field + "." + n.of)
		}
	}
	return nil
}

// badConnection says what is wrong; whoever refuses says where as well, as the API
// names it.
func badConnection(what string, args ...any) *fault.Fault {
	return fault.New(fault.Invalid, "bad-connection", "The connection is not right: %s.", fault.Sentence{Format: what, Args: args})
}
