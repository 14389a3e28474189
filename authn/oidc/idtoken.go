package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
)

// idVerification verifies an id token (OpenID Connect Core §3.1.3.7).
type idVerification struct {
	verification

	checks []idTokenCheck
	// nonce is that of the request.
	nonce string
	// subject and issuer are of the sign-in, if this is a token that a refresh has
	// brought (§12.2); "" if it is the sign-in's.
	subject, issuer string
	// classes are the authentication context classes that count; none: any.
	classes []string
	// maxAge is how long ago the person may have authenticated; 0: at any time.
	maxAge time.Duration
	// seen, if set, is where to put what is read of the token.
	seen *authn.Reading
}

// idToken is an id token that is being verified.
type idToken struct {
	raw, accessToken string
	header           header
	claims           idClaims // believed only once the signature is
	believed         *gooidc.IDToken
}

// idClaims are the claims that are looked at before they are believed.
type idClaims struct {
	protocolClaims

	Subject string
	Nonce   string
	Class   json.RawMessage
	When    json.RawMessage
}

func (c *idClaims) members() members {
	m := c.protocolClaims.members()
	m["sub"], m["nonce"], m["acr"], m["auth_time"] = &c.Subject, &c.Nonce, &c.Class, &c.When
	return m
}

// folded implements [readable]. How go-oidc reads _claim_names decides nothing.
func (*idClaims) folded() []string {
	return []string{"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash"}
}

// idTokenCheck is one thing that an id token must be.
type idTokenCheck struct {
	name   string
	refuse func(ctx context.Context, v *idVerification, t *idToken) *authn.Refusal
}

// ofClaims is a check of what every kind of token says of itself.
func ofClaims(refuse func(*verification, protocolClaims) *authn.Refusal) func(context.Context, *idVerification, *idToken) *authn.Refusal {
	return func(_ context.Context, v *idVerification, t *idToken) *authn.Refusal {
		return refuse(&v.verification, t.claims.protocolClaims)
	}
}

// idTokenChecks are all of them, in the order in which they are made: what needs
// no key comes first, so that nothing costly happens to a token that cannot be good.
// Each is the only one, together with go-oidc's of the same thing, to refuse some
// attack (TestEveryCheckIsNeeded); without the reading there is nothing to refuse.
var idTokenChecks = []idTokenCheck{
	{"size", func(_ context.Context, v *idVerification, t *idToken) *authn.Refusal { return v.small(t.raw) }},
	{"reading", func(_ context.Context, v *idVerification, t *idToken) (refusal *authn.Refusal) {
		t.header, refusal = v.read(t.raw, &t.claims)
		return refusal
	}},
	{"form", func(_ context.Context, v *idVerification, t *idToken) *authn.Refusal { return v.strict(t.raw) }},
	{"algorithm", func(_ context.Context, v *idVerification, t *idToken) *authn.Refusal { return v.signedBy(t.header) }},
	{"type", typed},
	{"issuer", ofClaims((*verification).issued)},
	{"audience", ofClaims((*verification).forUs)},
	{"authorised party", ofClaims((*verification).usedByUs)},
	{"expiry", ofClaims((*verification).unexpired)},
	{"time of issue", ofClaims((*verification).begun)},
	{"not before", ofClaims((*verification).valid)},
	{"nonce", answers},
	{"subject", about},
	{"signature", believe},
	{"access token", belongs},
	{"context", strong},
	{"authentication", recent},
}

// verify makes the checks.
func (v *idVerification) verify(ctx context.Context, raw, accessToken string) (*gooidc.IDToken, error) {
	t := idToken{raw: raw, accessToken: accessToken}
	defer v.seen.Take(func() authn.Reading { return v.reading(&t) })
	for _, c := range v.checks {
		if refusal := c.refuse(ctx, v, &t); refusal != nil {
			return nil, refusal
		}
	}
	return t.believed, nil
}

// typed refuses tokens that say that they are for something else, such as at+jwt or
// logout+jwt (RFC 8725 §3.11). An id token has no type of its own.
func typed(_ context.Context, _ *idVerification, t *idToken) *authn.Refusal {
	if strings.Contains(t.header.Type, "+") {
		return authn.Refuse(authn.Malformed, "The token is of another type than an id token.")
	}
	return nil
}

// answers refuses a token that was made for another sign-in.
func answers(_ context.Context, v *idVerification, t *idToken) *authn.Refusal {
	if v.subject != "" && t.claims.Nonce == "" {
		return nil // a refresh should bring none, and brings the same if it does (§12.2)
	}
	if subtle.ConstantTimeCompare([]byte(t.claims.Nonce), []byte(v.nonce)) != 1 {
		return authn.Refuse(authn.WrongNonce, "The id token was made for another sign-in.")
	}
	return nil
}

func about(_ context.Context, v *idVerification, t *idToken) *authn.Refusal {
	if v.subject != "" && (t.claims.Subject != v.subject || t.claims.Issuer != v.issuer) {
		return authn.Refuse(authn.SubjectUnusable, "The id token of the refresh is about another person than the one who signed in.")
	}
	if t.claims.Subject == "" || len(t.claims.Subject) > maxSubject {
		return authn.Refuse(authn.SubjectUnusable, "The id token's subject is empty or too long.")
	}
	return nil
}

// believe has go-oidc verify the signature, and all that it can verify besides.
func believe(ctx context.Context, v *idVerification, t *idToken) *authn.Refusal {
	verifier, keys := v.verifier()
	id, err := verifier.Verify(ctx, t.raw)
	if err != nil {
		return v.unverified(keys, err)
	}
	t.believed = id
	return nil
}

// belongs refuses an access token that was swapped (§3.1.3.6).
func belongs(_ context.Context, _ *idVerification, t *idToken) *authn.Refusal {
	if t.believed.AccessTokenHash == "" {
		return nil
	}
	if err := t.believed.VerifyAccessToken(t.accessToken); err != nil {
		return authn.Refuse(authn.SignatureInvalid, "The access token does not belong to the id token.").Because(err)
	}
	return nil
}

// strong refuses a context that does not count: acr_values alone is a wish, which
// the provider need not heed (§3.1.2.1).
func strong(_ context.Context, v *idVerification, t *idToken) *authn.Refusal {
	class := claims{"acr": t.claims.Class}.text("acr")
	if len(v.classes) > 0 && !slices.Contains(v.classes, class) {
		return authn.Refuse(authn.WrongContext, "The identity provider answered with an authentication of the class %.64q, which is none of acr_values.", class)
	}
	return nil
}

// recent refuses an authentication that is older than the connection allows, and one of
// which nobody knows: a provider that was asked by max_age has to say (§3.1.2.1,
// §3.1.3.7 item 13), and if it was not, somebody has taken that out of the request on its
// way through the browser.
func recent(_ context.Context, v *idVerification, t *idToken) *authn.Refusal {
	if v.maxAge == 0 {
		return nil
	}
	at := claims{"auth_time": t.claims.When}.authenticated()
	switch {
	case at.IsZero() || at.After(v.now.Add(skew)):
		return authn.Refuse(authn.AuthenticationUndated, "The connection has max_age set, and the identity provider does not say when the person authenticated.")
	case v.now.Sub(at) > v.maxAge+skew:
		return authn.Refuse(authn.AuthenticationTooOld, "The identity provider answered with an authentication of %s, which is longer ago than max_age.", at.UTC().Format(time.RFC3339))
	}
	return nil
}
