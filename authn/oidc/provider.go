package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
	"gatehouse/authn/keyset"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// metadata is what go-oidc leaves unread of the discovery document (OpenID
// Connect Discovery §3, RFC 9207 §3, RP-Initiated Logout §2.1).
type metadata struct {
	Issuer      string   `json:"issuer"`
	JWKS        string   `json:"jwks_uri"`
	EndSession  string   `json:"end_session_endpoint"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	NamesItself bool     `json:"authorization_response_iss_parameter_supported"`
	Scopes      []string `json:"scopes_supported"`
	Claims      []string `json:"claims_supported"`
	// AssertionAlgorithms are those of private_key_jwt.
	AssertionAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported"`
}

// provider is a discovered identity provider.
type provider struct {
	*gooidc.Provider
	issuers    issuers
	metadata   metadata
	algorithms []string
	keys       gooidc.KeySet
}

// discover reads what a connection's provider publishes. Where its keys are not to
// be had, what was known before stays.
func (p *Protocol) discover(ctx context.Context, c tenants.Connection) (*provider, error) {
	if c.OIDC == nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The connection has no OpenID Connect settings.")
	}
	believed := issuersOf(c.OIDC)
	ctx = gooidc.ClientContext(ctx, p.client)
	asking := ctx
	if believed.template != "" {
		asking = gooidc.InsecureIssuerURLContext(ctx, believed.template) // which is looked at below
	}
	discovered, err := gooidc.NewProvider(asking, c.OIDC.Issuer)
	if other, ok := errors.AsType[*gooidc.IssuerMismatchError](err); ok { // often by a slash at the end
		return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider calls itself %.200q, and the connection calls it %q.", other.Discovered, other.Provided)
	}
	if err != nil {
		return nil, authn.Refuse(authn.ProviderUnreachable, "The identity provider's settings cannot be discovered.").Because(err)
	}
	fresh := &provider{Provider: discovered, issuers: believed}
	if err := discovered.Claims(&fresh.metadata); err != nil {
		return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider's settings cannot be read.").Because(err)
	}
	if believed.template != "" && fresh.metadata.Issuer != believed.template {
		return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider calls itself otherwise than %s.", believed.template)
	}
	endpoint := discovered.Endpoint()
	addresses := map[string]string{"authorization_endpoint": endpoint.AuthURL, "token_endpoint": endpoint.TokenURL, "jwks_uri": fresh.metadata.JWKS}
	if info := discovered.UserInfoEndpoint(); info != "" { // there need not be one
		addresses["userinfo_endpoint"] = info
	}
	for name, address := range addresses {
		if !safe(address) {
			return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider's %s is missing or not an address over TLS.", name)
		}
	}
	fresh.algorithms = fresh.metadata.algorithms()
	if fresh.keys, err = keyset.Fetch(ctx, p.client, fresh.metadata.JWKS); err != nil {
		return nil, authn.Refuse(authn.ProviderUnreachable, "The identity provider's keys cannot be fetched.").Because(err)
	}
	return fresh, nil
}

// algorithms are those of the provider's that are accepted.
func (m *metadata) algorithms() (accepted []string) {
	for _, a := range m.Algorithms {
		if slices.Contains(keyset.Algorithms, a) {
			accepted = append(accepted, a)
		}
	}
	if len(accepted) == 0 {
		return []string{gooidc.RS256} // what every provider must speak (OpenID Connect Core §15.1)
	}
	return accepted
}

// safe reports whether a browser or this gateway may be sent to an address.
func safe(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || httpkit.PlainLoopback(u.Scheme, u.Hostname()))
}

// scopes are what is asked for. A refresh token takes one more where the provider
// has it, or does not say (OpenID Connect Core §11).
func (p *provider) scopes(spec *tenants.OIDCSpec) []string {
	wanted := slices.Clone(spec.Scopes)
	if len(wanted) == 0 {
		wanted = []string{gooidc.ScopeOpenID, gooidc.ScopeEmail, gooidc.ScopeProfile}
	}
	if !slices.Contains(wanted, gooidc.ScopeOpenID) {
		wanted = append([]string{gooidc.ScopeOpenID}, wanted...)
	}
	offered := len(p.metadata.Scopes) == 0 || slices.Contains(p.metadata.Scopes, gooidc.ScopeOfflineAccess)
	if spec.Recheck > 0 && offered && !slices.Contains(wanted, gooidc.ScopeOfflineAccess) {
		wanted = append(wanted, gooidc.ScopeOfflineAccess)
	}
	return wanted
}

// signOut is the address that ends the provider's session (RP-Initiated
// Logout §2).
func (p *provider) signOut(c tenants.Connection, hint, back string) (string, error) {
	if p.metadata.EndSession == "" {
		return "", nil
	}
	if !safe(p.metadata.EndSession) {
		return "", fmt.Errorf("oidc: end_session_endpoint of %s is not an address over TLS", c.Name)
	}
	u, err := url.Parse(p.metadata.EndSession)
	if err != nil {
		return "", fmt.Errorf("oidc: end_session_endpoint of %s: %w", c.Name, err)
	}
	q := u.Query()
	q.Set("client_id", c.OIDC.ClientID)
	q.Set("post_logout_redirect_uri", back)
	if hint != "" {
		q.Set("id_token_hint", hint)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}
