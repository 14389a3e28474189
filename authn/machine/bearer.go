package machine

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"gatehouse/authn"
	"gatehouse/authn/keyset"
	"gatehouse/authn/strict"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/machines"
)

const (
	// maxToken bounds a token before anything of it is looked at.
	maxToken = 16 << 10
	// maxKeyID bounds the name of a key, which is looked for.
	maxKeyID = 256
	// skew is how far an authorization server's clock may be ahead of ours. A token
	// that has expired by ours is not good for longer.
	skew = time.Minute
)

// Why a token is not taken, beside the reasons of [authn.Reason].
const (
	wrongType      authn.Reason = "wrong-type"
	unknownClient  authn.Reason = "unknown-client"
	inactiveToken  authn.Reason = "token-inactive"
	ambiguousToken authn.Reason = "service-ambiguous"
	wrongBinding   authn.Reason = "wrong-binding"
)

const badToken = "The token is not valid here."

// Bearer implements [authn.Machines]. Whoever shows a token is a stranger until it
// is verified.
func (v *Verifier) Bearer(ctx context.Context, tenant identity.TenantID, token string, shown []*x509.Certificate) (*identity.Principal, error) {
	s, err := v.of(ctx, tenant)
	if err != nil || !s.bearers() {
		return nil, err
	}
	if len(token) > maxToken {
		return nil, answer(authn.Refuse(authn.TooLarge, "The token is larger than %d bytes.", maxToken), fault.ForeignToken, badToken)
	}
	key := tokenKey(token)
	known, ok := s.good.get(key, v.now())
	if !ok {
		if err := httpkit.Haste(ctx); err != nil {
			return nil, err
		}
		if known, err = v.judge(ctx, s, key, token); err != nil {
			return nil, err
		}
	}
	if err := known.boundTo(shown); err != nil {
		return nil, err
	}
	return known.principal, nil
}

// judge finds out whose a token is that nobody remembers.
func (v *Verifier) judge(ctx context.Context, s *snapshot, key digest, token string) (verdict, error) {
	signed, refusal := s.claimed(token)
	switch {
	case refusal != nil:
		return verdict{}, answer(refusal, fault.InvalidToken, badToken)
	case signed != nil:
		known, err := v.verify(ctx, s, signed)
		if err != nil {
			return verdict{}, answer(err, fault.InvalidToken, badToken)
		}
		s.good.put(key, known)
		return known, nil
	case len(s.asked) > 0:
		return v.introspect(ctx, s, key, token)
	}
	return verdict{}, answer(authn.Refuse(authn.WrongIssuer, "The token was issued by nobody whose tokens a service shows."), fault.ForeignToken, badToken)
}

// MayBear implements [authn.Machines].
func (v *Verifier) MayBear(ctx context.Context, tenant identity.TenantID, token string) (bool, error) {
	s, err := v.of(ctx, tenant)
	if err != nil || !s.bearers() || len(token) > maxToken {
		return false, err
	}
	signed, bad := s.claimed(token)
	may := signed != nil || bad != nil || len(s.asked) > 0
	return may, nil //nolint:nilerr // a token that is bad is one nevertheless
}

// boundTo refuses a token that is bound to the certificate of another connection
// (RFC 8705 §3).
func (k verdict) boundTo(shown []*x509.Certificate) error {
	if k.bound == nil || len(shown) > 0 && certificateKey(shown[0]) == *k.bound {
		return nil
	}
	return answer(authn.Refuse(wrongBinding, "The token is bound to a client certificate that the connection was not opened with."), fault.InvalidToken, badToken)
}

// signedToken is a token that was taken apart, and of which nothing is believed.
type signedToken struct {
	raw     string
	kind    machines.TokenType
	payload []byte
	claims  strict.Object
	rules   []signedRule // of its issuer
}

// claimed takes a token apart that says to be of an issuer whose tokens services
// show; else there is none. Where it cannot be told it is refused: nobody else is
// shown a token that may be such a one.
func (s *snapshot) claimed(raw string) (*signedToken, *authn.Refusal) {
	if len(s.signed) == 0 || strings.Count(raw, ".") != 2 {
		return nil, nil
	}
	first, rest, _ := strings.Cut(raw, ".")
	second, _, _ := strings.Cut(rest, ".")
	head, payload := decoded(first), decoded(second)
	if payload == nil || !bytes.HasPrefix(head, []byte("{")) {
		return nil, nil // opaque
	}
	t := &signedToken{raw: raw, payload: payload}
	if strings.ContainsAny(raw, "\r\n") { // which Go's decoder passes over (RFC 7515 §2)
		return nil, authn.Refuse(authn.Malformed, "The token is not a signed JWT.")
	}
	header, err := strict.Parse(head)
	if err != nil {
		return nil, unreadable(err)
	}
	if t.claims, err = strict.Parse(payload); err != nil {
		return nil, unreadable(err)
	}
	if t.rules = s.signed[t.claims.Text("iss")]; len(t.rules) == 0 {
		return nil, nil
	}
	return t, t.admit(header)
}

// decoded is nil for what is not base64url (RFC 7515 §2).
func decoded(part string) []byte {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil
	}
	return raw
}

func unreadable(err error) *authn.Refusal {
	if errors.Is(err, strict.ErrTooDeep) {
		return authn.Refuse(authn.TooDeep, "The token is nested deeper than %d levels.", strict.MaxDepth)
	}
	return authn.Refuse(authn.Malformed, "The token does not hold JSON that can be read in one way alone.").Because(err)
}

// admit looks at a token's header.
func (t *signedToken) admit(header strict.Object) *authn.Refusal {
	if !slices.Contains(keyset.Algorithms, header.Text("alg")) {
		return authn.Refuse(authn.WrongAlgorithm, "The token is signed with an algorithm that is not accepted, or not at all.")
	}
	for _, name := range []string{"crit", "b64", "zip", "enc"} { // RFC 7515 §4.1.11: none is understood here
		if header.Has(name) {
			return authn.Refuse(authn.Malformed, "The token wants something to be understood that is not (%s).", name)
		}
	}
	for _, name := range []string{"jku", "jwk", "x5u", "x5c"} { // RFC 8725 §3.10
		if header.Has(name) {
			return authn.Refuse(authn.WrongKey, "The token says itself which key is to be believed (%s).", name)
		}
	}
	if len(header.Text("kid")) > maxKeyID || header.Has("kid") && header.Text("kid") == "" {
		return authn.Refuse(authn.Malformed, "The name of the token's key is longer than %d bytes, or none.", maxKeyID)
	}
	// RFC 9068 §4 and RFC 7515 §4.1.9: in any case, with application/ or without.
	switch kind := strings.TrimPrefix(strings.ToLower(header.Text("typ")), "application/"); {
	case kind == "at+jwt":
		t.kind = machines.TypeAccess
	case kind == "jwt", !header.Has("typ"):
		t.kind = machines.TypeJWT
	default:
		return authn.Refuse(wrongType, "The token is of another type than an access token.")
	}
	return nil
}

// purpose refuses what was made for another purpose, and does not say so in its
// header: an id token (OpenID Connect Core §2), a logout token (Back-Channel
// Logout §2.4), a security event, and what some servers call so in a claim.
func (t *signedToken) purpose() *authn.Refusal {
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events", "sub_id", "toe"} {
		if t.claims.Has(name) {
			return authn.Refuse(wrongType, "The token has %s, as an id token, a logout token or a security event has, and no access token.", name)
		}
	}
	use := strings.ToLower(t.claims.Text("token_use"))
	kind := strings.ToLower(t.claims.Text("typ"))
	if use != "" && use != "access" || slices.Contains([]string{"id", "refresh", "offline", "logout"}, kind) {
		return authn.Refuse(wrongType, "The token says that it is another one than an access token.")
	}
	return nil
}

// valid makes the checks that are the same whoever the token is for.
func (t *signedToken) valid(now time.Time) (expires time.Time, refusal *authn.Refusal) {
	if refusal := t.purpose(); refusal != nil {
		return time.Time{}, refusal
	}
	return validTimes(registered{t.claims}, now)
}

// validTimes checks when a token is good. golang-jwt allows for skew in both
// directions, an expiry that is past is past.
func validTimes(claims registered, now time.Time) (time.Time, *authn.Refusal) {
	expires, _ := claims.Seconds("exp")
	err := jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(skew),
		jwt.WithTimeFunc(func() time.Time { return now })).Validate(claims)
	switch {
	case errors.Is(err, jwt.ErrTokenInvalidClaims) && (errors.Is(err, jwt.ErrInvalidType) || errors.Is(err, jwt.ErrTokenRequiredClaimMissing)), errors.Is(err, jwt.ErrInvalidType):
		return time.Time{}, authn.Refuse(authn.Malformed, "The token does not say until when it is good, or a time in it is none.").Because(err)
	case errors.Is(err, jwt.ErrTokenExpired), err == nil && !now.Before(expires):
		return time.Time{}, authn.Refuse(authn.Expired, "The token has expired.")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return time.Time{}, authn.Refuse(authn.NotYetValid, "The token was issued in the future, or is not good yet; one of the clocks may be wrong.")
	case err != nil:
		return time.Time{}, authn.Refuse(authn.Malformed, "The token's claims cannot be read.").Because(err)
	}
	return expires, nil
}

// registered are the registered claims, as golang-jwt asks for them.
type registered struct{ strict.Object }

func (r registered) seconds(name string) (*jwt.NumericDate, error) {
	if !r.Has(name) {
		return nil, nil
	}
	at, ok := r.Seconds(name)
	if !ok {
		return nil, jwt.ErrInvalidType
	}
	return jwt.NewNumericDate(at), nil
}

func (r registered) GetExpirationTime() (*jwt.NumericDate, error) { return r.seconds("exp") }
func (r registered) GetIssuedAt() (*jwt.NumericDate, error)       { return r.seconds("iat") }
func (r registered) GetNotBefore() (*jwt.NumericDate, error)      { return r.seconds("nbf") }
func (r registered) GetIssuer() (string, error)                   { return r.Text("iss"), nil }
func (r registered) GetSubject() (string, error)                  { return r.Text("sub"), nil }
func (r registered) GetAudience() (jwt.ClaimStrings, error)       { return r.Texts("aud"), nil }

// clients are the names that a token gives the client that it was issued to: by
// RFC 9068 §2.2, and by those who came before it. All of them must be the same.
func clients(claims strict.Object) (all []string) {
	for _, name := range []string{"client_id", "azp", "appid", "cid"} {
		if claims.Has(name) {
			all = append(all, claims.Text(name))
		}
	}
	return all
}

// bindingOf gives the certificate that a token is bound to. A token that is bound
// to something that is not looked at here is not good.
func bindingOf(claims strict.Object) (*digest, *authn.Refusal) {
	if !claims.Has("cnf") {
		return nil, nil
	}
	confirmation, _ := claims["cnf"].(strict.Object)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(confirmation.Text("x5t#S256"))
	if err != nil || len(confirmation) != 1 || len(raw) != len(digest{}) {
		return nil, authn.Refuse(wrongBinding, "The token is bound to something else than a client certificate.")
	}
	bound := digest(raw)
	return &bound, nil
}
