package resources

import (
	"encoding/base64"

	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// TenantSpec is the spec of a Tenant.
type TenantSpec struct {
	Hosts       []string         `json:"hosts,omitempty" yaml:"hosts,omitempty" maxItems:"50"`
	DisplayName string           `json:"display_name,omitempty" yaml:"display_name,omitempty" maxLength:"200"`
	Settings    tenants.Settings `json:"settings,omitzero" yaml:"settings,omitempty"`
	Logo        *Image           `json:"logo,omitempty" yaml:"logo,omitempty" doc:"Absent: the one that there is stays"`
}

// Image is the image of a logo, given as one of File and Base64.
type Image struct {
	File   string `json:"-" yaml:"file,omitempty"` // read when the document is parsed, sent as Base64
	Base64 string `json:"base64" yaml:"base64,omitempty" maxLength:"87384" doc:"PNG, JPEG or WebP of at most 64 KiB (RFC 4648 §4)"`
}

// Data is the image itself.
func (i Image) Data() ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(i.Base64)
	if err != nil || len(data) == 0 {
		return nil, fault.New(fault.Invalid, "bad-logo", "The logo is no image in base64.")
	}
	return data, nil
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
	Type        tenants.ConnectionType `json:"type" yaml:"type" enum:"oidc,saml,oauth2,local" doc:"local: the local accounts, which have no settings but enabled and display_name"`
	Enabled     *bool                  `json:"enabled,omitempty" yaml:"enabled,omitempty" doc:"Absent: true"`
	DisplayName string                 `json:"display_name,omitempty" yaml:"display_name,omitempty" maxLength:"200" doc:"What people choose it by; absent: its name"`
	DefaultRole string                 `json:"default_role,omitempty" yaml:"default_role,omitempty" maxLength:"63" doc:"Account-wide role of people made by their first sign-in"`
	Link        tenants.LinkRule       `json:"link,omitempty" yaml:"link,omitempty" enum:",email,external_id" doc:"Whom a first sign-in takes over: email, the person whose user name is the verified email; external_id, the person whom SCIM provisioned with the provider's own name for them as externalId; absent: nobody"`

	UnknownPeople  tenants.UnknownRule `json:"unknown_people,omitempty" yaml:"unknown_people,omitempty" enum:",refuse" doc:"refuse: only whom SCIM or an admin has made may sign in; absent: a first sign-in makes a person"`
	AllowedDomains []string            `json:"allowed_domains,omitempty" yaml:"allowed_domains,omitempty" maxItems:"100" doc:"Domains of verified email addresses that may use the connection; absent: any"`
	AllowedGroups  []string            `json:"allowed_groups,omitempty" yaml:"allowed_groups,omitempty" maxItems:"100" doc:"Groups of the provider, one of which people must be in to use the connection; absent: anybody"`
	Anybody        bool                `json:"anybody,omitempty" yaml:"anybody,omitempty" of:"oidc,oauth2" doc:"Whoever has an account at the provider may come in, though anybody can have one there (Google, gitlab.com, GitHub and others): without it such a connection needs allowed_domains or allowed_groups, or unknown_people: refuse without link"`
	GroupRules     []GroupRuleSpec     `json:"group_rules,omitempty" yaml:"group_rules,omitempty" maxItems:"100" doc:"Groups that people are put into, and taken out of, by what the provider says of them at every sign-in"`

	Issuer       string    `json:"issuer,omitempty" yaml:"issuer,omitempty" maxLength:"2048" of:"oidc,oauth2"`
	ClientID     string    `json:"client_id,omitempty" yaml:"client_id,omitempty" maxLength:"512" of:"oidc,oauth2"`
	ClientSecret string    `json:"client_secret,omitempty" yaml:"client_secret,omitempty" maxLength:"4096" writeOnly:"true" of:"oidc,oauth2"`
	Scopes       []string  `json:"scopes,omitempty" yaml:"scopes,omitempty" maxItems:"20" of:"oidc,oauth2"`
	ACRValues    []string  `json:"acr_values,omitempty" yaml:"acr_values,omitempty" maxItems:"10" of:"oidc" doc:"Authentication context classes (acr) that count, the one that is wanted most first: the provider is asked for them, and a sign-in by another one is refused; absent: any"`
	Claims       *NamesMap `json:"claims,omitempty" yaml:"claims,omitempty" of:"oidc,oauth2"`

	Preset           string            `json:"preset,omitempty" yaml:"preset,omitempty" enum:",github" of:"oauth2" doc:"A provider whose addresses and claims are known; what is said besides wins"`
	AuthorizationURL string            `json:"authorization_url,omitempty" yaml:"authorization_url,omitempty" maxLength:"2048" of:"oauth2"`
	TokenURL         string            `json:"token_url,omitempty" yaml:"token_url,omitempty" maxLength:"2048" of:"oauth2"`
	UserinfoURL      string            `json:"userinfo_url,omitempty" yaml:"userinfo_url,omitempty" maxLength:"2048" of:"oauth2" doc:"The provider's API that says who a token belongs to"`
	EmailsURL        string            `json:"emails_url,omitempty" yaml:"emails_url,omitempty" maxLength:"2048" of:"oauth2" doc:"Lists a person's addresses with email, primary and verified; absent: the claims name one"`
	RevocationURL    string            `json:"revocation_url,omitempty" yaml:"revocation_url,omitempty" maxLength:"2048" of:"oauth2" doc:"Takes the access token back once it has been used (RFC 7009); absent: it stays good until it expires"`
	GroupsFrom       []GroupSourceSpec `json:"groups_from,omitempty" yaml:"groups_from,omitempty" maxItems:"5" of:"oauth2" doc:"Addresses that list a person's groups; absent: claims.groups, if that is set"`
	PKCE             string            `json:"pkce,omitempty" yaml:"pkce,omitempty" enum:",none" of:"oauth2" doc:"none: for a provider that refuses requests with PKCE; absent: S256"`

	ClientAuth   tenants.ClientAuth `json:"client_auth,omitempty" yaml:"client_auth,omitempty" enum:",client_secret_basic,client_secret_post,private_key_jwt" of:"oidc,oauth2" doc:"How the provider is shown who asks; private_key_jwt: by a key of the gateway's, published at /.gatehouse/oidc/{connection}/jwks.json; absent: by the secret, in the way that the provider takes. For oauth2, by the secret alone"`
	Prompt       []string           `json:"prompt,omitempty" yaml:"prompt,omitempty" maxItems:"3" of:"oidc" doc:"What the provider is to ask people for at every sign-in: login, select_account, consent"`
	MaxAge       tenants.Duration   `json:"max_age,omitzero" yaml:"max_age,omitempty" of:"oidc" doc:"How long ago people may have authenticated at the provider when they sign in: 1m to 720h. The provider is asked to see to that, and a sign-in of which it is not known is refused; absent: as long as the provider likes"`
	Recheck      tenants.Duration   `json:"recheck,omitzero" yaml:"recheck,omitempty" of:"oidc" doc:"How often the provider is asked, by a refresh token, whether somebody who is signed in may go on: 5m to 720h; absent: never"`
	RecheckGrace tenants.Duration   `json:"recheck_grace,omitzero" yaml:"recheck_grace,omitempty" of:"oidc" doc:"For how long people go on while the provider cannot be asked; absent: 24h"`
	EntraTenants []string           `json:"entra_tenants,omitempty" yaml:"entra_tenants,omitempty" maxItems:"100" of:"oidc" doc:"Directories (tenant ids) of Entra ID whose people may sign in, for an issuer for many of them"`
	GroupsURL    string             `json:"groups_url,omitempty" yaml:"groups_url,omitempty" maxLength:"2048" of:"oidc" doc:"Where the groups are of people who are in too many for a token (Entra ID); absent: Microsoft Graph"`

	IDPMetadata  *Metadata `json:"idp_metadata,omitempty" yaml:"idp_metadata,omitempty" of:"saml"`
	Attributes   *NamesMap `json:"attributes,omitempty" yaml:"attributes,omitempty" of:"saml"`
	IDPInitiated bool      `json:"idp_initiated,omitempty" yaml:"idp_initiated,omitempty" of:"saml" doc:"Whether the provider may begin a sign-in of its own accord; answers to requests are checked as strictly as without"`

	Signed        tenants.SignedRule     `json:"signed,omitempty" yaml:"signed,omitempty" enum:",response,assertion,both" of:"saml" doc:"What the provider must have signed; absent: the response or the assertion"`
	Encryption    tenants.EncryptionRule `json:"encryption,omitempty" yaml:"encryption,omitempty" enum:",offered,required" of:"saml" doc:"offered: our metadata shows a certificate to encrypt assertions with; required: what is not encrypted is refused as well; absent: none is shown, though what comes encrypted is decrypted"`
	AllowSHA1     bool                   `json:"allow_sha1,omitempty" yaml:"allow_sha1,omitempty" of:"saml" doc:"Take signatures by SHA-1, which is broken"`
	AllowCBC      bool                   `json:"allow_cbc,omitempty" yaml:"allow_cbc,omitempty" of:"saml" doc:"Take assertions encrypted by AES-CBC, if the response around them is signed"`
	ClockSkew     int                    `json:"clock_skew_seconds,omitempty" yaml:"clock_skew_seconds,omitempty" minimum:"0" maximum:"300" of:"saml" doc:"By how much the provider's clock may be wrong; absent: 60"`
	SignRequests  bool                   `json:"sign_requests,omitempty" yaml:"sign_requests,omitempty" of:"saml" doc:"Sign every request; absent: only where the provider's metadata wants it"`
	Binding       tenants.RequestBinding `json:"request_binding,omitempty" yaml:"request_binding,omitempty" enum:",redirect,post" of:"saml" doc:"How requests go to the provider: redirect (HTTP-Redirect) or post (HTTP-POST, a form); absent: redirect where its metadata has an address for that, else post"`
	ForceAuthn    bool                   `json:"force_authn,omitempty" yaml:"force_authn,omitempty" of:"saml" doc:"Have people authenticate at every sign-in"`
	AuthnContexts []string               `json:"requested_authn_context,omitempty" yaml:"requested_authn_context,omitempty" maxItems:"10" of:"saml" doc:"Authentication context classes that count: the provider is asked for them, and a sign-in by another one is refused; absent: any"`
	NameIDFormat  tenants.NameIDFormat   `json:"name_id_format,omitempty" yaml:"name_id_format,omitempty" enum:",persistent,email,unspecified" of:"saml" doc:"What the provider is asked to name people by; absent: its own choice"`

	Signals *SignalsSpec `json:"signals,omitempty" yaml:"signals,omitempty" doc:"Who tells of security events of its people (Shared Signals Framework); absent: none are heard"`
}

// GroupRuleSpec puts whoever has a claim or attribute with one of these values
// into a group.
type GroupRuleSpec struct {
	Claim  string   `json:"claim" yaml:"claim" minLength:"1" maxLength:"256"`
	Values []string `json:"values" yaml:"values" minItems:"1" maxItems:"100"`
	Group  string   `json:"group" yaml:"group" minLength:"1" maxLength:"320"`
}

// GroupSourceSpec is an address that lists groups of the person who asks.
type GroupSourceSpec struct {
	URL  string   `json:"url" yaml:"url" minLength:"1" maxLength:"2048"`
	Name []string `json:"name" yaml:"name" minItems:"1" maxItems:"4" doc:"Where an entry holds the group's name, as paths by dots; several are joined with a slash"`
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

// NamesMap names the claims or attributes that hold a person's data. Subject and
// EmailVerified are for oauth2 alone: elsewhere the protocol says where they stand.
type NamesMap struct {
	Subject       string `json:"subject,omitempty" yaml:"subject,omitempty" maxLength:"200" doc:"oauth2 alone: the provider's lasting id for a person"`
	EmailVerified string `json:"email_verified,omitempty" yaml:"email_verified,omitempty" maxLength:"200" doc:"oauth2 alone"`

	Email  string `json:"email,omitempty" yaml:"email,omitempty" maxLength:"200"`
	Name   string `json:"name,omitempty" yaml:"name,omitempty" maxLength:"200"`
	Groups string `json:"groups,omitempty" yaml:"groups,omitempty" maxLength:"200"`
}

// Metadata says where a SAML provider's metadata comes from: exactly one of URL,
// File and XML.
type Metadata struct {
	URL  string `json:"url,omitempty" yaml:"url,omitempty" maxLength:"2048"`
	File string `json:"-" yaml:"file,omitempty"` // read when the document is parsed, sent as XML
	XML  string `json:"xml,omitempty" yaml:"xml,omitempty" maxLength:"262144"`

	Fingerprint string `json:"fingerprint,omitempty" yaml:"fingerprint,omitempty" maxLength:"95" doc:"SHA-256, in hex, of the certificate that must have signed the metadata; absent: it need not be signed"`
}
