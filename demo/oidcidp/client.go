package oidcidp

import (
	"crypto/subtle"
	"errors"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	loginPath   = "/login"
	tokenLife   = time.Hour
	idTokenLife = 10 * time.Minute
	requestLife = 15 * time.Minute // a person may dither over the form
	maxRequests = 4096
	maxClients  = 1024
	maxSessions = 4096
	passwordAMR = "pwd" // RFC 8176
)

// Client is a relying party: one tenant's connection at the gate.
type Client struct {
	ID, Secret   string
	RedirectURIs []string // exact
	// SignedOutURIs are where a browser may be sent after RP-initiated logout
	// (OpenID Connect RP-Initiated Logout 1.0 §3).
	SignedOutURIs []string
	// BackChannelURI is told when a person has signed out here (OpenID Connect
	// Back-Channel Logout 1.0 §2.2); empty: nobody is.
	BackChannelURI string
}

var errSecret = errors.New("wrong client secret")

func (c Client) checkSecret(secret string) error {
	if subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) != 1 {
		return errSecret
	}
	return nil
}

// relyingParty shows a Client to the library.
type relyingParty struct{ Client }

var _ op.Client = relyingParty{}

func (c relyingParty) GetID() string                       { return c.ID }
func (c relyingParty) RedirectURIs() []string              { return c.Client.RedirectURIs }
func (c relyingParty) PostLogoutRedirectURIs() []string    { return c.SignedOutURIs }
func (c relyingParty) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c relyingParty) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c relyingParty) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c relyingParty) GrantTypes() []oidc.GrantType        { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c relyingParty) LoginURL(id string) string           { return loginPath + "?id=" + id }
func (c relyingParty) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (c relyingParty) IDTokenLifetime() time.Duration      { return idTokenLife }
func (c relyingParty) DevMode() bool                       { return false }
func (c relyingParty) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c relyingParty) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
func (c relyingParty) IsScopeAllowed(scope string) bool { return scope == "groups" }

// IDTokenUserinfoClaimsAssertion puts email, name and groups into the ID token
// itself, as most providers do.
func (c relyingParty) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c relyingParty) ClockSkew() time.Duration             { return 0 }
