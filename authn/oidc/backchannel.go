package oidc

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

const (
	// maxLogoutAge is how old a logout token may be: it is made for the moment.
	maxLogoutAge = 5 * time.Minute
	logoutEvent  = "http://schemas.openid.net/event/backchannel-logout"
	maxTokenID   = 255
	maxSession   = 255
)

// logoutTypes are what a logout token may say it is. Explicit typing is
// recommended (Back-Channel Logout §2.4), and many providers do without.
var logoutTypes = []string{"", "jwt", "logout+jwt", "application/logout+jwt"}

// logoutClaims are those of a logout token (Back-Channel Logout §2.4).
type logoutClaims struct {
	protocolClaims

	Subject string
	Session string
	ID      string
	Events  map[string]json.RawMessage
	Nonce   json.RawMessage
}

func (c *logoutClaims) members() members {
	m := c.protocolClaims.members()
	m["sub"], m["sid"], m["jti"], m["events"], m["nonce"] = &c.Subject, &c.Session, &c.ID, &c.Events, &c.Nonce
	return m
}

// folded implements [readable].
func (*logoutClaims) folded() []string {
	return []string{"iss", "sub", "aud", "exp", "iat", "jti", "sid", "events", "nonce"}
}

// SignedOut implements [authn.SignOutListener]: OpenID Connect Back-Channel
// Logout §2.5.
func (p *Protocol) SignedOut(ctx context.Context, tenant identity.TenantID, c tenants.Connection, r *http.Request) (authn.SignedOut, error) {
	sent := r.PostForm["logout_token"]
	if len(sent) != 1 {
		return authn.SignedOut{}, authn.Refuse(authn.Malformed, "The request does not hold exactly one logout token.")
	}
	idp, err := p.providers.Of(ctx, tenant, c)
	if err != nil {
		return authn.SignedOut{}, err
	}
	v := p.verifying(aLogoutToken, idp, c.OIDC)
	token, err := v.verifyLogout(ctx, sent[0])
	if err != nil {
		return authn.SignedOut{}, err
	}
	over := authn.SignedOut{Subject: token.Subject, Replay: token.TokenID, ReplayUntil: token.IssuedAt.Add(maxLogoutAge + 2*skew)}
	if token.SessionID != "" {
		over.Sessions = []string{token.SessionID}
	}
	return over, nil
}

// verifyLogout verifies a logout token (§2.6). Whoever sends it is a stranger
// until then, so that everything which needs no key comes first.
func (v *verification) verifyLogout(ctx context.Context, raw string) (*gooidc.LogoutToken, error) {
	var claims logoutClaims
	kind, err := v.peek(raw, &claims)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(logoutTypes, strings.ToLower(kind)) {
		return nil, authn.Refuse(authn.Malformed, "The token is of another type than a logout token.")
	}
	if refusal := cmp.Or(v.check(claims.protocolClaims), v.checkLogout(&claims)); refusal != nil {
		return nil, refusal
	}
	verifier, keys := v.verifier()
	token, err := verifier.VerifyLogout(ctx, raw)
	if err != nil {
		return nil, v.unverified(keys, err)
	}
	return token, nil
}

// checkLogout makes the checks of §2.6 that are a logout token's own.
func (v *verification) checkLogout(c *logoutClaims) *authn.Refusal {
	var event map[string]any
	switch {
	case v.now.After(seconds(c.Issued).Add(maxLogoutAge + skew)):
		return authn.Refuse(authn.Expired, "The logout token was issued more than %v ago.", maxLogoutAge)
	case json.Unmarshal(c.Events[logoutEvent], &event) != nil || event == nil:
		return authn.Refuse(authn.Malformed, "The token does not say that it is about a sign-out.")
	case c.Nonce != nil:
		return authn.Refuse(authn.WrongNonce, "The logout token has a nonce, as an id token has.")
	case c.ID == "" || len(c.ID) > maxTokenID:
		return authn.Refuse(authn.Malformed, "The logout token has no id of its own, or one that is too long.")
	case c.Subject == "" && c.Session == "", len(c.Subject) > maxSubject, len(c.Session) > maxSession:
		return authn.Refuse(authn.SubjectUnusable, "The logout token does not say who has signed out, or at too great a length.")
	}
	return nil
}
