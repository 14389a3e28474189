package resources

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// SpecOfConnection shows a connection as a spec, without its secrets.
func SpecOfConnection(c tenants.Connection) ConnectionSpec {
	spec := ConnectionSpec{Type: c.Type, DisplayName: c.DisplayName, DefaultRole: c.DefaultRole, Link: c.Link, UnknownPeople: c.Unknown,
		AllowedDomains: c.Admits.Domains, AllowedGroups: c.Admits.Groups, Anybody: c.Anybody}
	if !c.Enabled {
		spec.Enabled = new(bool)
	}
	for _, r := range c.GroupRules {
		spec.GroupRules = append(spec.GroupRules, GroupRuleSpec(r))
	}
	switch {
	case c.OIDC != nil:
		spec.Issuer, spec.ClientID, spec.Scopes = c.OIDC.Issuer, c.OIDC.ClientID, c.OIDC.Scopes
		spec.ACRValues, spec.Claims = c.OIDC.ACRValues, namesOf(c.OIDC.Claims)
		spec.ClientAuth, spec.Prompt, spec.Recheck, spec.RecheckGrace = c.OIDC.ClientAuth, c.OIDC.Prompt, c.OIDC.Recheck, c.OIDC.RecheckGrace
		spec.MaxAge, spec.EntraTenants, spec.GroupsURL = c.OIDC.MaxAge, c.OIDC.EntraTenants, c.OIDC.GroupsURL
	case c.SAML != nil:
		spec.IDPMetadata = &Metadata{URL: c.SAML.IDPMetadata.URL, XML: c.SAML.IDPMetadata.XML, Fingerprint: c.SAML.IDPMetadata.Fingerprint}
		spec.Attributes, spec.IDPInitiated = namesOf(c.SAML.Attributes), c.SAML.IDPInitiated
		spec.Signed, spec.Encryption, spec.AllowSHA1, spec.AllowCBC = c.SAML.Signed, c.SAML.Encryption, c.SAML.AllowSHA1, c.SAML.AllowCBC
		spec.ClockSkew, spec.SignRequests, spec.ForceAuthn = c.SAML.ClockSkew, c.SAML.SignRequests, c.SAML.ForceAuthn
		spec.AuthnContexts, spec.NameIDFormat, spec.Binding = c.SAML.AuthnContexts, c.SAML.NameIDFormat, c.SAML.RequestBinding
	case c.OAuth2 != nil:
		spec.showOAuth2(*c.OAuth2)
	}
	spec.Signals = signalsOf(c.Signals)
	return spec
}

// Connection makes the connection that the spec describes, keeping of the
// current one (zero if there is none) its identity, and its secrets where the
// spec has none.
func (s ConnectionSpec) Connection(name string, current tenants.Connection) (tenants.Connection, error) {
	if err := s.checkFields(); err != nil {
		return tenants.Connection{}, err
	}
	wanted := tenants.Connection{ID: current.ID, Name: name, DisplayName: s.DisplayName, Type: s.Type, Enabled: s.Enabled == nil || *s.Enabled,
		DefaultRole: s.DefaultRole, Link: s.Link, Unknown: s.UnknownPeople, Admits: tenants.Admission{Domains: s.AllowedDomains, Groups: s.AllowedGroups}, Anybody: s.Anybody,
		Version: current.Version, CreatedAt: current.CreatedAt, UpdatedAt: current.UpdatedAt, Signals: s.Signals.signals(current.Signals)}
	for _, r := range s.GroupRules {
		wanted.GroupRules = append(wanted.GroupRules, tenants.GroupRule(r))
	}
	switch s.Type {
	case tenants.OIDC:
		wanted.OIDC = s.oidc(current.OIDC)
	case tenants.SAML:
		wanted.SAML = s.saml()
	case tenants.OAuth2:
		wanted.OAuth2 = s.oauth2(current.OAuth2)
	case tenants.Local:
		// Nothing else is to be said of it, which tenants sees to.
	default:
		return tenants.Connection{}, bad("The type of a connection is oidc, saml, oauth2 or local.").At("type")
	}
	return wanted, nil
}

// checkFields refuses fields of another type than the spec's.
func (s ConnectionSpec) checkFields() error {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if of := field.Tag.Get("of"); of != "" && !v.Field(i).IsZero() && !slices.Contains(strings.Split(of, ","), string(s.Type)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			return bad(fmt.Sprintf("The connection mixes two types: %s belongs to %s.", name, strings.ReplaceAll(of, ",", " and "))).At(name)
		}
	}
	for i, names := range []*NamesMap{s.Claims, s.Attributes} {
		if names != nil && s.Type != tenants.OAuth2 && (names.Subject != "" || names.EmailVerified != "") {
			return bad("The connection mixes two types: subject and email_verified belong to oauth2.").At([]string{"claims", "attributes"}[i])
		}
	}
	return nil
}

// oidc keeps the current secret where none is said anew, but shows it to nobody
// else than it was meant for.
func (s ConnectionSpec) oidc(current *tenants.OIDCSpec) *tenants.OIDCSpec {
	wanted := &tenants.OIDCSpec{Issuer: s.Issuer, ClientID: s.ClientID, ClientSecret: s.ClientSecret, Scopes: s.Scopes,
		ACRValues: s.ACRValues, Claims: s.Claims.attributes(), ClientAuth: s.ClientAuth, Prompt: s.Prompt, MaxAge: s.MaxAge,
		Recheck: s.Recheck, RecheckGrace: s.RecheckGrace, EntraTenants: s.EntraTenants, GroupsURL: s.GroupsURL}
	if wanted.ClientSecret == "" && current != nil && current.ClientID == s.ClientID && current.Issuer == s.Issuer {
		wanted.ClientSecret = current.ClientSecret
	}
	return wanted
}

func (s ConnectionSpec) saml() *tenants.SAMLSpec {
	wanted := &tenants.SAMLSpec{Attributes: s.Attributes.attributes(), IDPInitiated: s.IDPInitiated, Signed: s.Signed, Encryption: s.Encryption,
		AllowSHA1: s.AllowSHA1, AllowCBC: s.AllowCBC, ClockSkew: s.ClockSkew, SignRequests: s.SignRequests, ForceAuthn: s.ForceAuthn,
		AuthnContexts: s.AuthnContexts, NameIDFormat: s.NameIDFormat, RequestBinding: s.Binding}
	if m := s.IDPMetadata; m != nil {
		wanted.IDPMetadata = tenants.MetadataSource{URL: m.URL, XML: m.XML, Fingerprint: m.Fingerprint}
	}
	return wanted
}

func bad(detail string) *fault.Fault { return fault.New(fault.Invalid, "bad-connection", detail) }

func signalsOf(s *tenants.Signals) *SignalsSpec {
	if s == nil {
		return nil
	}
	spec := &SignalsSpec{Issuer: s.Issuer, JWKSURL: s.JWKSURL, Audience: s.Audience}
	if s.Poll != nil {
		spec.Poll = &SignalsPollSpec{Endpoint: s.Poll.Endpoint}
	}
	return spec
}

// signals makes the signals that the spec describes. A secret stays where it is
// not said anew, but is shown to nobody else than it was meant for.
func (s *SignalsSpec) signals(current *tenants.Signals) *tenants.Signals {
	if s == nil {
		return nil
	}
	wanted := &tenants.Signals{Issuer: s.Issuer, JWKSURL: s.JWKSURL, Audience: s.Audience, Authorization: s.Authorization}
	if wanted.Authorization == "" && s.Poll == nil && current != nil && current.Issuer == s.Issuer {
		wanted.Authorization = current.Authorization
	}
	if s.Poll == nil {
		return wanted
	}
	wanted.Poll = &tenants.SignalsPoll{Endpoint: s.Poll.Endpoint, Token: s.Poll.Token}
	if wanted.Poll.Token == "" && current != nil && current.Poll != nil && current.Poll.Endpoint == s.Poll.Endpoint {
		wanted.Poll.Token = current.Poll.Token
	}
	return wanted
}

func namesOf(m tenants.AttributeMap) *NamesMap {
	if m == (tenants.AttributeMap{}) {
		return nil
	}
	return &NamesMap{Email: m.Email, Name: m.Name, Groups: m.Groups}
}

func (n *NamesMap) attributes() tenants.AttributeMap {
	if n == nil {
		return tenants.AttributeMap{}
	}
	return tenants.AttributeMap{Email: n.Email, Name: n.Name, Groups: n.Groups}
}
