package machines

import (
	"reflect"
	"slices"
	"time"

	"gatehouse/identity"
)

// Machine is a service: one program, or several that need not be told apart.
type Machine struct {
	ID          identity.ServiceID
	Name        string // unique in the tenant
	DisplayName string
	Enabled     bool
	Role        string // account-wide
	// Credentials are what it is recognised by; any of them is enough.
	Credentials []Credential
	Version     uint64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Credential is one thing that a service is recognised by: exactly one field is
// set.
type Credential struct {
	JWT           *JWT           `json:"jwt,omitempty"`
	Introspection *Introspection `json:"introspection,omitempty"`
	Certificate   *Certificate   `json:"certificate,omitempty"`
}

// Claims are what a token must say, whoever vouches for it.
type Claims struct {
	// Audience is whom the token must be for, among others.
	Audience string `json:"audience"`
	// Subject and ClientID are whose it must be. One may be empty, and then is not
	// asked for.
	Subject  string `json:"subject,omitempty"`
	ClientID string `json:"client_id,omitempty"`
}

// JWT is a signed access token (RFC 9068) of an OpenID Connect connection's
// provider, or of another issuer.
type JWT struct {
	// Connection is the name of a connection, and ConnectionID which one: another that
	// is made by the same name believes whom somebody else has chosen. Where they are
	// not set, Issuer is, and JWKSURL says where its keys are; "": where its own
	// metadata says so.
	Connection   string                `json:"connection,omitempty"`
	ConnectionID identity.ConnectionID `json:"connection_id,omitempty"`
	Issuer       string                `json:"issuer,omitempty"`
	JWKSURL      string                `json:"jwks_url,omitempty"`
	Claims
	// Types are the types of token that count; none: at+jwt alone.
	Types []TokenType `json:"types,omitempty"`
}

// TokenType is what a token says of itself in its header (RFC 8725 §3.11).
type TokenType string

const (
	// TypeAccess is an access token of RFC 9068.
	TypeAccess TokenType = "at+jwt"
	// TypeJWT is a token that does not say what it is for. Many authorization servers
	// issue no others.
	TypeJWT TokenType = "jwt"
)

// Takes reports whether tokens of a type count.
func (j *JWT) Takes(t TokenType) bool {
	if len(j.Types) == 0 {
		return t == TypeAccess
	}
	return slices.Contains(j.Types, t)
}

// Introspection is a token of which its authorization server is asked (RFC 7662).
type Introspection struct {
	Endpoint string `json:"endpoint"`
	// AuthClientID and AuthClientSecret are by whom it is asked.
	AuthClientID     string `json:"auth_client_id"`
	AuthClientSecret string `json:"-"` // sealed at rest, never given out
	// Issuer, if set, must be in the answer.
	Issuer string `json:"issuer,omitempty"`
	Claims
}

// String leaves the secret out, wherever it is printed.
func (i Introspection) String() string { return "introspection " + i.Endpoint }

// Certificate is a client certificate of TLS: one that these authorities have
// issued for this name (RFC 8705 §2.1), or this very one (§2.2).
type Certificate struct {
	CA     string `json:"ca,omitempty"`      // PEM
	SANURI string `json:"san_uri,omitempty"` // such as spiffe://example.org/billing
	SANDNS string `json:"san_dns,omitempty"`
	Pinned string `json:"certificate,omitempty"` // PEM
}

// Same reports whether both say the same, secrets included, whatever versions of
// the service they are.
func (m Machine) Same(o Machine) bool {
	return m.Name == o.Name && m.DisplayName == o.DisplayName && m.Enabled == o.Enabled && m.Role == o.Role &&
		slices.EqualFunc(m.Credentials, o.Credentials, func(a, b Credential) bool { return reflect.DeepEqual(a, b) })
}

func (m Machine) clone() Machine {
	m.Credentials = slices.Clone(m.Credentials)
	for i, c := range m.Credentials {
		switch {
		case c.JWT != nil:
			jwt := *c.JWT
			jwt.Types = slices.Clone(jwt.Types)
			m.Credentials[i].JWT = &jwt
		case c.Introspection != nil:
			introspection := *c.Introspection
			m.Credentials[i].Introspection = &introspection
		case c.Certificate != nil:
			certificate := *c.Certificate
			m.Credentials[i].Certificate = &certificate
		}
	}
	return m
}

// clashes reports whether whatever shows one of these would be both services at
// once, as far as that can be seen here.
func (c Credential) clashes(o Credential) bool {
	switch {
	case c.JWT != nil && o.JWT != nil:
		return c.JWT.Connection == o.JWT.Connection && c.JWT.Issuer == o.JWT.Issuer && c.JWT.Claims == o.JWT.Claims
	case c.Introspection != nil && o.Introspection != nil:
		return c.Introspection.Issuer == o.Introspection.Issuer && c.Introspection.Claims == o.Introspection.Claims
	case c.Certificate != nil && o.Certificate != nil:
		return *c.Certificate == *o.Certificate
	}
	return false
}
