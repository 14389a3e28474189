package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
	"gatehouse/authn/keyset"
)

const (
	// skew is how far the provider's clock may be from ours.
	skew = time.Minute
	// maxToken bounds a token before it is parsed.
	maxToken = 64 << 10
)

// verification verifies one token: an id token (OpenID Connect Core §3.1.3.7) or
// a logout token.
type verification struct {
	what             string // it is, for whoever reads why it was refused
	idp              *provider
	issuer, clientID string
	now              time.Time
}

// protocolClaims are the claims that say whether a token is good, not who it
// is about.
type protocolClaims struct {
	Issuer     string     `json:"iss"`
	Audience   stringList `json:"aud"`
	Authorized string     `json:"azp"`
	Expires    float64    `json:"exp"`
	Issued     float64    `json:"iat"`
	NotBefore  float64    `json:"nbf"`
}

// verify has go-oidc decide and then makes the checks that it leaves out. The
// form of the token and its algorithm are looked at first, so that nothing
// costly happens to a token that cannot be good.
func (v *verification) verify(ctx context.Context, raw, accessToken string) (*gooidc.IDToken, error) {
	var claims protocolClaims
	if _, err := v.peek(raw, &claims); err != nil {
		return nil, err
	}
	verifier, keys := v.verifier()
	id, err := verifier.Verify(ctx, raw)
	if err != nil {
		if refusal := v.check(claims); refusal != nil {
			return nil, refusal.Because(err)
		}
		return nil, v.unverified(keys, err)
	}
	if refusal := v.check(claims); refusal != nil {
		return nil, refusal
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(accessToken); err != nil {
			return nil, authn.Refuse(authn.SignatureInvalid, "The access token does not belong to the id token.").Because(err)
		}
	}
	return id, nil
}

// verifier has go-oidc verify one token, by a clock that is behind ours.
func (v *verification) verifier() (*gooidc.IDTokenVerifier, *keyset.Asked) {
	keys := &keyset.Asked{KeySet: v.idp.keys}
	return gooidc.NewVerifier(v.issuer, keys, &gooidc.Config{ClientID: v.clientID, SupportedSigningAlgs: v.idp.algorithms,
		Now: func() time.Time { return v.now.Add(-skew) }}), keys
}

// unverified tells a token that nobody could verify from one that is not good:
// a provider may send the former again.
func (v *verification) unverified(keys *keyset.Asked, err error) *authn.Refusal {
	if keys.Unfetched {
		return authn.Refuse(authn.ProviderUnreachable, "The identity provider's keys cannot be fetched.").Because(err)
	}
	return authn.Refuse(authn.WrongKey, "The %s is not signed with a key of the identity provider.", v.what).Because(err)
}

// peek reads a token without believing it: what it says decides refusals only,
// until go-oidc has verified the same bytes.
func (v *verification) peek(raw string, claims any) (kind string, err error) {
	if len(raw) > maxToken {
		return "", authn.Refuse(authn.TooLarge, "The %s is larger than %d bytes.", v.what, maxToken)
	}
	malformed := authn.Refuse(authn.Malformed, "The %s is not a signed JWT.", v.what)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || strings.ContainsAny(raw, "\r\n") { // which Go's decoder passes over (RFC 7515 §2)
		return "", malformed
	}
	var header struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
	}
	if err := errors.Join(decodeSegment(parts[0], &header), decodeSegment(parts[1], claims)); err != nil {
		return "", malformed.Because(err)
	}
	if !slices.Contains(v.idp.algorithms, header.Algorithm) {
		return "", authn.Refuse(authn.WrongAlgorithm, "The %s is signed with an algorithm that is not accepted.", v.what)
	}
	return header.Type, nil
}

func decodeSegment(segment string, into any) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// check makes the checks of §3.1.3.7 that need no key.
func (v *verification) check(c protocolClaims) *authn.Refusal {
	switch {
	case c.Issuer != v.issuer:
		return authn.Refuse(authn.WrongIssuer, "The %s was issued by another identity provider than the one of this connection.", v.what)
	case !slices.Contains(c.Audience, v.clientID):
		return authn.Refuse(authn.WrongAudience, "The %s was made for another client.", v.what)
	case c.Authorized != "" && c.Authorized != v.clientID, len(c.Audience) > 1 && c.Authorized == "":
		return authn.Refuse(authn.WrongAudience, "The %s was made for several clients and names another one as its user.", v.what)
	case !v.now.Before(seconds(c.Expires).Add(skew)):
		return authn.Refuse(authn.Expired, "The %s has expired.", v.what)
	case c.Issued == 0 || seconds(c.Issued).After(v.now.Add(skew)) || seconds(c.NotBefore).After(v.now.Add(skew)):
		return authn.Refuse(authn.NotYetValid, "The %s was issued in the future, or does not say when; one of the clocks may be wrong.", v.what)
	}
	return nil
}

// seconds reads a NumericDate (RFC 7519 §2), as far as it can be a time.
func seconds(n float64) time.Time {
	const latest = 1 << 40
	return time.Unix(int64(max(0, min(n, latest))), 0)
}

// stringList is a JSON string or a list of them, as aud and many providers'
// claims are.
type stringList []string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *stringList) UnmarshalJSON(raw []byte) error {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		*l = stringList{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(l))
}
