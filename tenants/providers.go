package tenants

import "slices"

// Provider is what is known of an identity provider that many organisations have:
// what to enter for it, and what to look out for.
type Provider struct {
	ID    string         `json:"id"`
	Title string         `json:"title"`
	Type  ConnectionType `json:"type"`
	// Issuer is what its issuer looks like, for [OIDC]; Metadata what the address of
	// its metadata looks like, for [SAML].
	Issuer   string `json:"issuer,omitempty" doc:"What its issuer looks like"`
	Metadata string `json:"metadata,omitempty" doc:"What the address of its metadata looks like"`
	// Scopes, Claims and Attributes are what to set, where the defaults do not do.
	Scopes []string     `json:"scopes,omitempty"`
	Names  AttributeMap `json:"names,omitzero" doc:"Claims or attributes that hold a person's data, where they are not the usual ones"`
	// Preset is the preset of an [OAuth2] connection.
	Preset string `json:"preset,omitempty" doc:"The preset of an oauth2 connection"`
	// Public is what must bound who comes in, because anybody can have an account
	// there: "domains" or "groups"; empty: only the organisation's own people have one.
	Public string   `json:"public,omitempty" enum:"domains,groups" doc:"Anybody can have an account there: which of allowed_domains and allowed_groups must be set"`
	Guide  string   `json:"guide" doc:"Its page in docs/guides"`
	Notes  []string `json:"notes,omitempty"`
}

// Names of attributes that Microsoft's products send.
const (
	claimEmail  = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"
	claimName   = "http://schemas.microsoft.com/identity/claims/displayname"
	claimGroups = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"
)

var providers = []Provider{
	{ID: "okta", Title: "Okta", Type: OIDC, Issuer: "https://YOUR-COMPANY.okta.com", Scopes: []string{"openid", "profile", "email", "groups"}, Guide: "okta", Notes: []string{
		"Use the org's own address as the issuer, unless you have set up an authorization server for this.",
		"Groups come only if a groups claim is added to the app's sign-on settings."}},
	{ID: "entra", Title: "Microsoft Entra ID", Type: OIDC, Issuer: "https://login.microsoftonline.com/YOUR-TENANT-ID/v2.0", Guide: "entra", Notes: []string{
		"Entra ID says nothing of whether an address is verified: people are known by their lasting id, and their address counts only from SCIM.",
		"Groups come as ids, and only if a groups claim is added in the token configuration."}},
	{ID: "google", Title: "Google Workspace", Type: OIDC, Issuer: "https://accounts.google.com", Public: "domains", Guide: "google", Notes: []string{
		"Anybody with a Google account can come this way: set allowed domains to those of your organisation.",
		"Google sends no groups by OpenID Connect."}},
	{ID: "keycloak", Title: "Keycloak", Type: OIDC, Issuer: "https://KEYCLOAK-HOST/realms/YOUR-REALM", Guide: "keycloak", Notes: []string{
		"Groups come only with a Group Membership mapper that writes to the ID token; switch its full path off."}},
	{ID: "auth0", Title: "Auth0", Type: OIDC, Issuer: "https://YOUR-TENANT.auth0.com/", Guide: "auth0", Notes: []string{
		"The issuer ends with a slash.",
		"Groups and roles come only by an Action that adds a claim."}},
	{ID: "gitlab", Title: "GitLab", Type: OIDC, Issuer: "https://gitlab.com", Public: "groups", Guide: "gitlab", Names: AttributeMap{Groups: "groups_direct"}, Notes: []string{
		"Anybody with an account on gitlab.com can come this way: set allowed groups, or use your own GitLab."}},
	{ID: "github", Title: "GitHub", Type: OAuth2, Preset: PresetGitHub, Public: "groups", Guide: "github", Notes: []string{
		"Anybody with an account on GitHub can come this way: set allowed groups to your organisation, or to teams of it as organisation/team.",
		"GitHub lists an organisation only if it has approved the OAuth app."}},
	{ID: "oidc", Title: "Another provider with OpenID Connect", Type: OIDC, Issuer: "https://", Guide: "README"},
	{ID: "okta-saml", Title: "Okta (SAML)", Type: SAML, Metadata: "https://YOUR-COMPANY.okta.com/app/APP-ID/sso/saml/metadata", Guide: "okta",
		Names: AttributeMap{Email: "email", Name: "name", Groups: "groups"}, Notes: []string{
			"Attributes come only as they are named in the app's attribute statements."}},
	{ID: "entra-saml", Title: "Microsoft Entra ID (SAML)", Type: SAML, Metadata: "https://login.microsoftonline.com/TENANT-ID/federationmetadata/2007-06/federationmetadata.xml?appid=APP-ID", Guide: "entra",
		Names: AttributeMap{Email: claimEmail, Name: claimName, Groups: claimGroups}, Notes: []string{
			"Groups come as ids, and only if a group claim is added."}},
	{ID: "google-saml", Title: "Google Workspace (SAML)", Type: SAML, Guide: "google", Names: AttributeMap{Email: "email", Name: "name", Groups: "groups"}, Notes: []string{
		"Google publishes no address of its metadata: download the file, and paste what is in it."}},
	{ID: "adfs", Title: "AD FS", Type: SAML, Metadata: "https://ADFS-HOST/FederationMetadata/2007-06/FederationMetadata.xml", Guide: "adfs",
		Names: AttributeMap{Email: claimEmail}, Notes: []string{
			"A lasting name for people (NameID) comes only by an issuance rule."}},
	{ID: "onelogin", Title: "OneLogin", Type: SAML, Metadata: "https://YOUR-COMPANY.onelogin.com/saml/metadata/APP-ID", Guide: "onelogin",
		Names: AttributeMap{Email: "email", Name: "name", Groups: "groups"}},
	{ID: "jumpcloud", Title: "JumpCloud", Type: SAML, Guide: "jumpcloud", Names: AttributeMap{Email: "email", Name: "name", Groups: "groups"}},
	{ID: "saml", Title: "Another provider with SAML", Type: SAML, Metadata: "https://", Guide: "README"},
}

// Providers are the identity providers of which something is known, those that most
// organisations have first. What they hold is shared and must not be changed.
func Providers() []Provider { return slices.Clone(providers) }
