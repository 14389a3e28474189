package resources

import (
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// SpecOfConnection shows a connection as a spec, without its secrets.
func SpecOfConnection(c tenants.Connection) ConnectionSpec {
	spec := ConnectionSpec{Type: c.Type, DefaultRole: c.DefaultRole, Link: c.Link}
	if !c.Enabled {
		spec.Enabled = new(bool)
	}
	switch {
	case c.OIDC != nil:
		spec.Issuer, spec.ClientID, spec.Scopes = c.OIDC.Issuer, c.OIDC.ClientID, c.OIDC.Scopes
		spec.ACRValues, spec.Claims = c.OIDC.ACRValues, namesOf(c.OIDC.Claims)
	case c.SAML != nil:
		spec.IDPMetadata = &Metadata{URL: c.SAML.IDPMetadata.URL}
		if spec.IDPMetadata.URL == "" { // XML of a URL is what was fetched last
			spec.IDPMetadata.XML = c.SAML.IDPMetadata.XML
		}
		spec.Attributes, spec.IDPInitiated = namesOf(c.SAML.Attributes), c.SAML.IDPInitiated
	}
	spec.Signals = signalsOf(c.Signals)
	return spec
}

// Connection makes the connection that the spec describes, keeping of the
// current one (zero if there is none) its identity, and its secrets where the
// spec has none.
func (s ConnectionSpec) Connection(name string, current tenants.Connection) (tenants.Connection, error) {
	wanted := tenants.Connection{ID: current.ID, Name: name, Type: s.Type, Enabled: s.Enabled == nil || *s.Enabled,
		DefaultRole: s.DefaultRole, Link: s.Link, Version: current.Version, CreatedAt: current.CreatedAt, UpdatedAt: current.UpdatedAt,
		Signals: s.Signals.signals(current.Signals)}
	oidc := s.Issuer != "" || s.ClientID != "" || s.ClientSecret != "" || len(s.Scopes) > 0 || len(s.ACRValues) > 0 || s.Claims != nil
	saml := s.IDPMetadata != nil || s.Attributes != nil || s.IDPInitiated
	switch s.Type {
	case tenants.OIDC:
		if saml {
			return tenants.Connection{}, mixed("idp_metadata, attributes and idp_initiated belong to saml")
		}
		wanted.OIDC = &tenants.OIDCSpec{Issuer: s.Issuer, ClientID: s.ClientID, ClientSecret: s.ClientSecret, Scopes: s.Scopes,
			ACRValues: s.ACRValues, Claims: s.Claims.attributes()}
		if wanted.OIDC.ClientSecret == "" && current.OIDC != nil && current.OIDC.ClientID == s.ClientID && current.OIDC.Issuer == s.Issuer {
			wanted.OIDC.ClientSecret = current.OIDC.ClientSecret
		}
	case tenants.SAML:
		if oidc {
			return tenants.Connection{}, mixed("issuer, client_id, client_secret, scopes, acr_values and claims belong to oidc")
		}
		if s.IDPMetadata == nil || (s.IDPMetadata.URL == "") == (s.IDPMetadata.XML == "") {
			return tenants.Connection{}, fault.New(fault.Invalid, "bad-connection", "A saml connection needs idp_metadata with exactly one of url and xml.")
		}
		wanted.SAML = &tenants.SAMLSpec{IDPMetadata: tenants.MetadataSource{URL: s.IDPMetadata.URL, XML: s.IDPMetadata.XML},
			Attributes: s.Attributes.attributes(), IDPInitiated: s.IDPInitiated}
		if s.IDPMetadata.URL != "" && current.SAML != nil && current.SAML.IDPMetadata.URL == s.IDPMetadata.URL {
			wanted.SAML.IDPMetadata.XML = current.SAML.IDPMetadata.XML
		}
	default:
		return tenants.Connection{}, fault.New(fault.Invalid, "bad-connection", "The type of a connection is oidc or saml.")
	}
	return wanted, nil
}

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

func mixed(what string) error {
	return fault.New(fault.Invalid, "bad-connection", "The connection mixes two types: "+what+".")
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
