package resources

import "gatehouse/tenants"

// showOAuth2 shows the settings of an OAuth 2.0 connection as they were said.
func (s *ConnectionSpec) showOAuth2(c tenants.OAuth2Spec) {
	s.Preset, s.Issuer, s.ClientID, s.ClientAuth, s.PKCE, s.Scopes = c.Preset, c.Issuer, c.ClientID, c.ClientAuth, c.PKCE, c.Scopes
	s.AuthorizationURL, s.TokenURL, s.UserinfoURL = c.AuthorizationURL, c.TokenURL, c.UserinfoURL
	s.EmailsURL, s.RevocationURL = c.EmailsURL, c.RevocationURL
	for _, from := range c.GroupsFrom {
		s.GroupsFrom = append(s.GroupsFrom, GroupSourceSpec(from))
	}
	if c.Claims != (tenants.OAuth2Claims{}) {
		s.Claims = &NamesMap{Subject: c.Claims.Subject, Email: c.Claims.Email, EmailVerified: c.Claims.EmailVerified,
			Name: c.Claims.Name, Groups: c.Claims.Groups}
	}
}

// oauth2 keeps the current secret where none is said anew, but shows it to nobody
// else than it was meant for.
func (s ConnectionSpec) oauth2(current *tenants.OAuth2Spec) *tenants.OAuth2Spec {
	wanted := &tenants.OAuth2Spec{Preset: s.Preset, Issuer: s.Issuer, AuthorizationURL: s.AuthorizationURL, TokenURL: s.TokenURL,
		UserinfoURL: s.UserinfoURL, EmailsURL: s.EmailsURL, RevocationURL: s.RevocationURL, ClientID: s.ClientID, ClientSecret: s.ClientSecret,
		ClientAuth: s.ClientAuth, PKCE: s.PKCE, Scopes: s.Scopes}
	for _, from := range s.GroupsFrom {
		wanted.GroupsFrom = append(wanted.GroupsFrom, tenants.GroupSource(from))
	}
	if names := s.Claims; names != nil {
		wanted.Claims = tenants.OAuth2Claims{Subject: names.Subject, Email: names.Email, EmailVerified: names.EmailVerified,
			Name: names.Name, Groups: names.Groups}
	}
	if wanted.ClientSecret == "" && current != nil && wanted.ShowsSecretTo(*current) {
		wanted.ClientSecret = current.ClientSecret
	}
	return wanted
}
