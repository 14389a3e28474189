package tenants

import (
	"time"

	"gatehouse/identity"
)

// Status says whether a tenant is served.
type Status string

const (
	Active    Status = "active"
	Suspended Status = "suspended" // nobody gets in; nothing is deleted
)

// Tenant is one customer organisation. Values handed out are shared and must
// not be changed.
type Tenant struct {
	ID          identity.TenantID
	Name        string // unique, immutable: [a-z0-9-], at most 63 characters
	DisplayName string
	Hosts       []string // canonical: lower case, no port, no trailing dot
	Status      Status
	Settings    Settings
	Version     uint64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Settings are what a tenant's admin may set. Zero values mean the defaults.
type Settings struct {
	Session SessionSettings `json:"session,omitzero" yaml:"session,omitempty"`
}

// SessionSettings bound how long a sign-in lasts.
type SessionSettings struct {
	Idle     Duration `json:"idle,omitzero" yaml:"idle,omitempty"`         // since the last request; default 8h
	Absolute Duration `json:"absolute,omitzero" yaml:"absolute,omitempty"` // since the sign-in; default 168h
}

// Duration is a time.Duration that reads and writes as text: "8h".
type Duration time.Duration

// ConnectionType is the protocol of a connection.
type ConnectionType string

const (
	OIDC   ConnectionType = "oidc"
	SAML   ConnectionType = "saml"
	OAuth2 ConnectionType = "oauth2"
)

// Connection is one way for a tenant's people to sign in: a relation to one
// identity provider.
type Connection struct {
	ID          identity.ConnectionID
	Name        string // unique in the tenant, part of our URLs: [a-z0-9-]
	Type        ConnectionType
	Enabled     bool
	DefaultRole string // account-wide role of people made by their first sign-in; empty: none
	// Link says whether a person who was provisioned but never signed in here is
	// taken over by an assertion: the identity key stays (tenant, connection,
	// subject), and the default is not to guess.
	Link      LinkRule
	OIDC      *OIDCSpec
	SAML      *SAMLSpec
	Version   uint64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// LinkRule says when a first sign-in takes over an existing person.
type LinkRule string

const (
	// LinkNever makes a new person, or refuses if the user name is taken.
	LinkNever LinkRule = ""
	// LinkByEmail takes over the person whose user name is the asserted, verified
	// email, if no identity of this connection is linked to that person yet.
	LinkByEmail LinkRule = "email"
)

// OIDCSpec is what an OpenID Connect connection needs.
type OIDCSpec struct {
	Issuer       string       `json:"issuer" yaml:"issuer"`
	ClientID     string       `json:"client_id" yaml:"client_id"`
	ClientSecret string       `json:"-" yaml:"client_secret,omitempty"` // sealed at rest, never given out
	Scopes       []string     `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	Claims       AttributeMap `json:"claims,omitzero" yaml:"claims,omitempty"`
}

// SAMLSpec is what a SAML 2.0 connection needs.
type SAMLSpec struct {
	IDPMetadata  MetadataSource `json:"idp_metadata" yaml:"idp_metadata"`
	Attributes   AttributeMap   `json:"attributes,omitzero" yaml:"attributes,omitempty"`
	IDPInitiated bool           `json:"idp_initiated,omitempty" yaml:"idp_initiated,omitempty"`
}

// MetadataSource says where the identity provider's metadata comes from; XML
// is what was given or last fetched.
type MetadataSource struct {
	URL  string `json:"url,omitempty" yaml:"url,omitempty"`
	File string `json:"-" yaml:"file,omitempty"` // read when applied, kept as XML
	XML  string `json:"xml,omitempty" yaml:"xml,omitempty"`
}

// AttributeMap names the claims or attributes that hold a person's data.
type AttributeMap struct {
	Email  string `json:"email,omitempty" yaml:"email,omitempty"`
	Name   string `json:"name,omitempty" yaml:"name,omitempty"`
	Groups string `json:"groups,omitempty" yaml:"groups,omitempty"`
}
