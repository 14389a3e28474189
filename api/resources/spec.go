package resources

import "gatehouse/tenants"

// TenantSpec is the spec of a Tenant.
type TenantSpec struct {
	Hosts       []string         `json:"hosts,omitempty" yaml:"hosts,omitempty" maxItems:"50"`
	DisplayName string           `json:"display_name,omitempty" yaml:"display_name,omitempty" maxLength:"200"`
	Settings    tenants.Settings `json:"settings,omitzero" yaml:"settings,omitempty"`
}

// TeamSpec is the spec of a Team.
type TeamSpec struct {
	DisplayName string `json:"display_name,omitempty" yaml:"display_name,omitempty" maxLength:"200"`
}

// RoleSpec is the spec of a Role of the tenant's own.
type RoleSpec struct {
	Description string   `json:"description,omitempty" yaml:"description,omitempty" maxLength:"500"`
	Permissions []string `json:"permissions,omitempty" yaml:"permissions,omitempty" minItems:"1" maxItems:"200" doc:"object:action, with * for either; team/ in front limits it to teams, account/ to the account"`
}

// AssignmentSpec is the spec of an Assignment: who has which role. Exactly one
// of User and Group is set.
type AssignmentSpec struct {
	Role  string `json:"role" yaml:"role" minLength:"1" maxLength:"63"`
	Team  string `json:"team,omitempty" yaml:"team,omitempty" maxLength:"63" doc:"Name of a team; absent: account-wide"`
	User  string `json:"user,omitempty" yaml:"user,omitempty" maxLength:"320" doc:"User name or id of a person"`
	Group string `json:"group,omitempty" yaml:"group,omitempty" maxLength:"320" doc:"Name or id of a group"`
}

// ConnectionSpec is the spec of a Connection. The tag "of" names the types of
// connection that a field is for; fields without one are every type's.
type ConnectionSpec struct {
	Type        tenants.ConnectionType `json:"type" yaml:"type" enum:"oidc,saml"`
	Enabled     *bool                  `json:"enabled,omitempty" yaml:"enabled,omitempty" doc:"Absent: true"`
	DisplayName string                 `json:"display_name,omitempty" yaml:"display_name,omitempty" maxLength:"200" doc:"What people choose it by; absent: its name"`
	DefaultRole string                 `json:"default_role,omitempty" yaml:"default_role,omitempty" maxLength:"63" doc:"Account-wide role of people made by their first sign-in"`
	Link        tenants.LinkRule       `json:"link,omitempty" yaml:"link,omitempty" enum:",email,external_id" doc:"Whom a first sign-in takes over: email, the person whose user name is the verified email; external_id, the person whom SCIM provisioned with the provider's own name for them as externalId; absent: nobody"`

	UnknownPeople  tenants.UnknownRule `json:"unknown_people,omitempty" yaml:"unknown_people,omitempty" enum:",refuse" doc:"refuse: only whom SCIM or an admin has made may sign in; absent: a first sign-in makes a person"`
	AllowedDomains []string            `json:"allowed_domains,omitempty" yaml:"allowed_domains,omitempty" maxItems:"100" doc:"Domains of verified email addresses that may use the connection; absent: any"`
	AllowedGroups  []string            `json:"allowed_groups,omitempty" yaml:"allowed_groups,omitempty" maxItems:"100" doc:"Groups of the provider, one of which people must be in to use the connection; absent: anybody"`
	GroupRules     []GroupRuleSpec     `json:"group_rules,omitempty" yaml:"group_rules,omitempty" maxItems:"100" doc:"Groups that people are put into, and taken out of, by what the provider says of them at every sign-in"`

	Issuer       string    `json:"issuer,omitempty" yaml:"issuer,omitempty" maxLength:"2048" of:"oidc"`
	ClientID     string    `json:"client_id,omitempty" yaml:"client_id,omitempty" maxLength:"512" of:"oidc"`
	ClientSecret string    `json:"client_secret,omitempty" yaml:"client_secret,omitempty" maxLength:"4096" writeOnly:"true" of:"oidc"`
	Scopes       []string  `json:"scopes,omitempty" yaml:"scopes,omitempty" maxItems:"20" of:"oidc"`
	ACRValues    []string  `json:"acr_values,omitempty" yaml:"acr_values,omitempty" maxItems:"10" of:"oidc" doc:"Authentication context classes (acr) that count, the one that is wanted most first: the provider is asked for them, and a sign-in by another one is refused; absent: any"`
	Claims       *NamesMap `json:"claims,omitempty" yaml:"claims,omitempty" of:"oidc"`

	ClientAuth   tenants.ClientAuth `json:"client_auth,omitempty" yaml:"client_auth,omitempty" enum:",client_secret_basic,client_secret_post,private_key_jwt" of:"oidc" doc:"How the provider is shown who asks; private_key_jwt: by a key of the gateway's, published at /.gatehouse/oidc/{connection}/jwks.json; absent: by the secret, in the way that the provider takes"`
	Prompt       []string           `json:"prompt,omitempty" yaml:"prompt,omitempty" maxItems:"3" of:"oidc" doc:"What the provider is to ask people for at every sign-in: login, select_account, consent"`
	Recheck      tenants.Duration   `json:"recheck,omitzero" yaml:"recheck,omitempty" of:"oidc" doc:"How often the provider is asked, by a refresh token, whether somebody who is signed in may go on: 5m to 720h; absent: never"`
	RecheckGrace tenants.Duration   `json:"recheck_grace,omitzero" yaml:"recheck_grace,omitempty" of:"oidc" doc:"For how long people go on while the provider cannot be asked; absent: 24h"`
	EntraTenants []string           `json:"entra_tenants,omitempty" yaml:"entra_tenants,omitempty" maxItems:"100" of:"oidc" doc:"Directories (tenant ids) of Entra ID whose people may sign in, for an issuer for many of them"`
	GroupsURL    string             `json:"groups_url,omitempty" yaml:"groups_url,omitempty" maxLength:"2048" of:"oidc" doc:"Where the groups are of people who are in too many for a token (Entra ID); absent: Microsoft Graph"`

	IDPMetadata  *Metadata `json:"idp_metadata,omitempty" yaml:"idp_metadata,omitempty" of:"saml"`
	Attributes   *NamesMap `json:"attributes,omitempty" yaml:"attributes,omitempty" of:"saml"`
	IDPInitiated bool      `json:"idp_initiated,omitempty" yaml:"idp_initiated,omitempty" of:"saml"`

	Signals *SignalsSpec `json:"signals,omitempty" yaml:"signals,omitempty" doc:"Who tells of security events of its people (Shared Signals Framework); absent: none are heard"`
}

// GroupRuleSpec puts whoever has a claim or attribute with one of these values
// into a group.
type GroupRuleSpec struct {
	Claim  string   `json:"claim" yaml:"claim" minLength:"1" maxLength:"256"`
	Values []string `json:"values" yaml:"values" minItems:"1" maxItems:"100"`
	Group  string   `json:"group" yaml:"group" minLength:"1" maxLength:"320"`
}

// SignalsSpec says who tells of security events, and how they come here.
type SignalsSpec struct {
	Issuer        string           `json:"issuer" yaml:"issuer" minLength:"1" maxLength:"2048" doc:"The transmitter, as its tokens name it"`
	JWKSURL       string           `json:"jwks_url,omitempty" yaml:"jwks_url,omitempty" maxLength:"2048" doc:"Where its keys are; absent: where its own configuration says so"`
	Audience      string           `json:"audience,omitempty" yaml:"audience,omitempty" maxLength:"2048" doc:"Whom its tokens are for; absent: the address that they are pushed to"`
	Authorization string           `json:"authorization,omitempty" yaml:"authorization,omitempty" maxLength:"4096" writeOnly:"true" doc:"What a push must carry in its Authorization header; absent: the one that there is for this issuer stays"`
	Poll          *SignalsPollSpec `json:"poll,omitempty" yaml:"poll,omitempty" doc:"Where events are fetched; absent: they are pushed"`
}

// SignalsPollSpec says where events wait to be fetched (RFC 8936).
type SignalsPollSpec struct {
	Endpoint string `json:"endpoint" yaml:"endpoint" minLength:"1" maxLength:"2048"`
	Token    string `json:"token,omitempty" yaml:"token,omitempty" maxLength:"4096" writeOnly:"true" doc:"Bearer token; absent: the one that there is for this endpoint stays"`
}

// NamesMap names the claims or attributes that hold a person's data.
type NamesMap struct {
	Email  string `json:"email,omitempty" yaml:"email,omitempty" maxLength:"200"`
	Name   string `json:"name,omitempty" yaml:"name,omitempty" maxLength:"200"`
	Groups string `json:"groups,omitempty" yaml:"groups,omitempty" maxLength:"200"`
}

// Metadata says where a SAML provider's metadata comes from: exactly one field.
type Metadata struct {
	URL  string `json:"url,omitempty" yaml:"url,omitempty" maxLength:"2048"`
	File string `json:"-" yaml:"file,omitempty"` // read when the document is parsed, sent as XML
	XML  string `json:"xml,omitempty" yaml:"xml,omitempty" maxLength:"262144"`
}
