package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

const (
	// assertionLife is short: the assertion is made for one request.
	assertionLife = 2 * time.Minute
	// assertionType is that of RFC 7523 §2.2.
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// redeem asks for tokens (RFC 6749 §4.1.3), for a code or for what grant says.
func (p *Protocol) redeem(ctx context.Context, tenant identity.TenantID, c tenants.Connection, idp *provider, callback, code string, grant ...oauth2.AuthCodeOption) (*oauth2.Token, error) {
	config := idp.authorises(c, callback)
	config.Endpoint.AuthStyle = idp.style(c.OIDC)
	if c.OIDC.ClientAuth == tenants.PrivateKeyJWT {
		assertion, err := p.assertion(ctx, tenant, c, idp)
		if err != nil {
			return nil, err
		}
		grant = append(grant, oauth2.SetAuthURLParam("client_assertion_type", assertionType), oauth2.SetAuthURLParam("client_assertion", assertion))
	} else {
		config.ClientSecret = c.OIDC.ClientSecret
	}
	return config.Exchange(gooidc.ClientContext(ctx, p.client), code, grant...)
}

// authorises is this side of a connection, as x/oauth2 wants it.
func (p *provider) authorises(c tenants.Connection, callback string) *oauth2.Config {
	return &oauth2.Config{ClientID: c.OIDC.ClientID, Endpoint: p.Endpoint(), RedirectURL: callback, Scopes: p.scopes(c.OIDC)}
}

// style is the way to show the secret. It is chosen rather than tried out, since a
// failed try burns the code.
func (p *provider) style(spec *tenants.OIDCSpec) oauth2.AuthStyle {
	basic := len(p.metadata.AuthMethods) == 0 || slices.Contains(p.metadata.AuthMethods, string(tenants.ClientSecretBasic))
	switch {
	case spec.ClientAuth == tenants.ClientSecretBasic:
		return oauth2.AuthStyleInHeader
	case spec.ClientAuth != tenants.ClientAuthChosen, spec.ClientSecret == "", !basic:
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader // the default of OpenID Connect Core §9
}

// assertion shows the provider who we are, by a key of ours (OpenID Connect Core §9,
// RFC 7523 §3). The key is of this connection alone, so that an assertion that one
// provider was given is nothing to another, whatever either says its address is.
func (p *Protocol) assertion(ctx context.Context, tenant identity.TenantID, c tenants.Connection, idp *provider) (string, error) {
	method, err := idp.assertionMethod()
	if err != nil {
		return "", err
	}
	key, private, err := p.keys.Signing(ctx, tenant, c.ID)
	if err != nil {
		return "", err
	}
	now := p.now()
	token := jwt.NewWithClaims(method, jwt.MapClaims{"iss": c.OIDC.ClientID, "sub": c.OIDC.ClientID, "aud": idp.Endpoint().TokenURL,
		"jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix()})
	token.Header["kid"] = keyID(key.Public)
	return token.SignedString(private)
}

// assertionMethod is one by our kind of key that the provider takes.
func (p *provider) assertionMethod() (jwt.SigningMethod, error) {
	offered := p.metadata.AssertionAlgorithms
	switch {
	case len(offered) == 0, slices.Contains(offered, gooidc.RS256):
		return jwt.SigningMethodRS256, nil
	case slices.Contains(offered, gooidc.PS256):
		return jwt.SigningMethodPS256, nil
	}
	return nil, authn.Refuse(authn.ProviderUnusable, "The identity provider takes private_key_jwt neither by RS256 nor by PS256.")
}

// exchangeFailed tells a refused code from a provider that is not there.
func exchangeFailed(err error) error {
	answered, ok := errors.AsType[*oauth2.RetrieveError](err)
	if ours(err) {
		return err
	}
	if !ok || answered.Response == nil || answered.Response.StatusCode >= http.StatusInternalServerError {
		return authn.Refuse(authn.ProviderUnreachable, "The identity provider did not redeem the code.").Because(unquoted(err))
	}
	return authn.Refuse(authn.CodeRejected, "The identity provider rejected the code with the error %s.", errorName(answered.ErrorCode))
}

// unquoted is the failure of a request that has shown a secret, without what the
// provider has answered: it may be what was sent (P6).
func unquoted(err error) error {
	if answered, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answered.Response != nil {
		return fmt.Errorf("oidc: answered with the status %d", answered.Response.StatusCode)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	if errors.Is(err, httpkit.ErrEgressTooLarge) {
		return httpkit.ErrEgressTooLarge
	}
	return errors.New("oidc: answered with something else")
}

// ours reports whether an error is not the provider's: a refusal already, or
// something that this side lacks.
func ours(err error) bool {
	if _, refused := errors.AsType[*authn.Refusal](err); refused {
		return true
	}
	_, failed := errors.AsType[*fault.Fault](err)
	return failed
}
