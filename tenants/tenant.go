package tenants

import (
	"time"

	"gatehouse/identity"
)

// Status says whether a tenant is served.
type Status string

const (
	// Active tenants are served.
	Active Status = "active"
	// Suspended tenants let nobody in; nothing is deleted.
	Suspended Status = "suspended"
	// Deleting tenants are gone for everybody; what they had is being removed.
	// They are seen only while that does not succeed, and deleting them again
	// goes on with it.
	Deleting Status = "deleting"
)

// Tenant is one customer organisation. Values handed out are shared and must
// not be changed.
type Tenant struct {
	ID          identity.TenantID
	Name        string // unique, immutable: [a-z0-9-], at most 63 characters
	DisplayName string
	Hosts       []string // canonical ([CanonicalHost]); the first is the one we speak of
	Status      Status
	Settings    Settings
	Version     uint64
	CreatedAt   time.Time
	UpdatedAt   time.Time

	quiet bool // of one that is being deleted: nothing of it is open any more
}

// ConnectionType is the protocol of a connection.
type ConnectionType string

const (
	// OIDC is OpenID Connect Core 1.0, by the code flow.
	OIDC ConnectionType = "oidc"
	// SAML is SAML 2.0 web browser single sign-on.
	SAML ConnectionType = "saml"
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
	Signals   *Signals // nil: none are heard
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
	Issuer       string   `json:"issuer" yaml:"issuer"`
	ClientID     string   `json:"client_id" yaml:"client_id"`
	ClientSecret string   `json:"-" yaml:"client_secret,omitempty"` // sealed at rest, never given out
	Scopes       []string `json:"scopes,omitempty" yaml:"scopes,omitempty"`
	// ACRValues are the authentication context classes that count, the one that is
	// wanted most first; none: any. The provider is asked for them, and a sign-in by
	// another one is refused.
	ACRValues []string     `json:"acr_values,omitempty" yaml:"acr_values,omitempty"`
	Claims    AttributeMap `json:"claims,omitzero" yaml:"claims,omitempty"`
}

// String leaves the secret out, wherever the spec is printed.
func (s OIDCSpec) String() string { return "oidc " + s.Issuer + " " + s.ClientID }

// SAMLSpec is what a SAML 2.0 connection needs.
type SAMLSpec struct {
	IDPMetadata  MetadataSource `json:"idp_metadata" yaml:"idp_metadata"`
	Attributes   AttributeMap   `json:"attributes,omitzero" yaml:"attributes,omitempty"`
	IDPInitiated bool           `json:"idp_initiated,omitempty" yaml:"idp_initiated,omitempty"`
}

// MetadataSource says where the identity provider's metadata comes from; XML
// is what was given or last fetched. There is no file: whoever applies a
// resource reads it, because a tenant's admin must not name files of ours.
type MetadataSource struct {
	URL string `json:"url,omitempty" yaml:"url,omitempty"`
	XML string `json:"xml,omitempty" yaml:"xml,omitempty"`
}

// Same reports whether both name the same metadata; that of a URL is what is
// found there, not what was fetched last.
func (m MetadataSource) Same(o MetadataSource) bool {
	return m.URL == o.URL && (m.URL != "" || m.XML == o.XML)
}

// AttributeMap names the claims or attributes that hold a person's data.
type AttributeMap struct {
	Email  string `json:"email,omitempty" yaml:"email,omitempty"`
	Name   string `json:"name,omitempty" yaml:"name,omitempty"`
	Groups string `json:"groups,omitempty" yaml:"groups,omitempty"`
}
