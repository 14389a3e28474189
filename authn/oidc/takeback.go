package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

var _ authn.TakerBack = (*Protocol)(nil)

// TakeBack implements [authn.TakerBack] where the provider publishes a
// revocation_endpoint (RFC 7009 §2.1, RFC 8414 §2). It is shown who asks as at its
// token endpoint.
func (p *Protocol) TakeBack(ctx context.Context, tenant identity.TenantID, c tenants.Connection, text string) error {
	var kept refresh
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		return fmt.Errorf("oidc: read what was kept for a refresh: %w", err)
	}
	idp, err := p.providers.Of(ctx, tenant, c)
	if err != nil || idp.metadata.Revocation == "" {
		return err
	}
	if !safe(idp.metadata.Revocation) {
		return errors.New("oidc: revocation_endpoint is not an address over TLS")
	}
	if !idp.issuers.any(kept.Issuer) {
		return errors.New("oidc: the token is of a provider that is not the connection's any more")
	}
	form := url.Values{"token": {kept.Token}, "token_type_hint": {"refresh_token"}}
	basic := false
	switch style := idp.style(c.OIDC); {
	case c.OIDC.ClientAuth == tenants.PrivateKeyJWT:
		assertion, err := p.assertion(ctx, tenant, c, idp)
		if err != nil {
			return err
		}
		form.Set("client_id", c.OIDC.ClientID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	case style == oauth2.AuthStyleInHeader:
		basic = true
	default:
		form.Set("client_id", c.OIDC.ClientID)
		if c.OIDC.ClientSecret != "" {
			form.Set("client_secret", c.OIDC.ClientSecret)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, idp.metadata.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("oidc: ask for the end of a token: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic { // encoded first (RFC 6749 §2.3.1)
		r.SetBasicAuth(url.QueryEscape(c.OIDC.ClientID), url.QueryEscape(c.OIDC.ClientSecret))
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return unquoted(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body) // as far as the client lets it; what it says is of no use
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("oidc: answered with the status %d", answer.StatusCode)
	}
	return nil
}
