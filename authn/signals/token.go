package signals

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
	"gatehouse/authn/keyset"
	"gatehouse/authn/strict"
)

const (
	// maxAge is how old a token may be: as long as a session lives unless a tenant
	// says otherwise, so that what waited while this gateway was away still counts.
	// Whoever keeps one back and shows it later signs somebody out, at worst.
	maxAge = 7 * 24 * time.Hour
	// skew is how far the transmitter's clock may be from ours.
	skew = time.Minute
	// maxID bounds the id of a token.
	maxID = 255
)

// verification verifies one security event token (RFC 8417 §2, as SSF 1.0 narrows it).
type verification struct {
	keys      func(context.Context) (gooidc.KeySet, error)
	issuer    string
	audiences []string
	now       time.Time
}

// claims are what is verified of a token.
type claims struct {
	id     string
	issued time.Time
	event  string        // its type
	of     strict.Object // the event itself
	whole  strict.Object
}

// verify verifies a token. Whoever sends it is a stranger until then, so that
// everything which needs no key comes first.
func (v *verification) verify(ctx context.Context, raw string) (*claims, error) {
	payload, err := v.open(raw)
	if err != nil {
		return nil, err
	}
	c, err := v.read(payload)
	if err != nil {
		return nil, err
	}
	known, err := v.keys(ctx)
	if err != nil {
		return nil, err
	}
	keys := keyset.Asked{KeySet: known}
	signed, err := keys.VerifySignature(ctx, raw)
	switch {
	case err != nil && keys.Unfetched:
		return nil, authn.Refuse(authn.ProviderUnreachable, "The transmitter's keys cannot be fetched.").Because(err)
	case err != nil:
		return nil, authn.Refuse(authn.WrongKey, "The token is not signed with a key of the transmitter.").Because(err)
	case !bytes.Equal(signed, payload):
		return nil, authn.Refuse(authn.WrongKey, "What was signed is not what was read.")
	}
	return c, nil
}

// open takes a token apart, and looks at its header.
func (v *verification) open(raw string) (payload []byte, err error) {
	if len(raw) > authn.MaxSET {
		return nil, authn.Refuse(authn.TooLarge, "The token is larger than %d bytes.", authn.MaxSET)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, authn.Refuse(authn.Malformed, "This is not a signed security event token.")
	}
	first, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	payload, err2 := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err = errors.Join(err, err2); err != nil {
		return nil, authn.Refuse(authn.Malformed, "This is not a signed security event token.").Because(err)
	}
	header, err := strict.Parse(first)
	if err != nil {
		return nil, unreadable(err)
	}
	// Explicit typing (RFC 8417 §2.3): a token for another purpose says otherwise.
	if kind := strings.ToLower(header.Text("typ")); strings.TrimPrefix(kind, "application/") != "secevent+jwt" {
		return nil, authn.Refuse(authn.Malformed, "The token is of another type than a security event token.")
	}
	if !slices.Contains(keyset.Algorithms, header.Text("alg")) {
		return nil, authn.Refuse(authn.WrongAlgorithm, "The token is signed with an algorithm that is not accepted, or not at all.")
	}
	if header.Has("crit") { // RFC 7515 §4.1.11: none is understood here
		return nil, authn.Refuse(authn.Malformed, "The token wants something to be understood that is not.")
	}
	return payload, nil
}

func unreadable(err error) *authn.Refusal {
	if errors.Is(err, strict.ErrTooDeep) {
		return authn.Refuse(authn.TooDeep, "The token is nested deeper than %d levels.", strict.MaxDepth)
	}
	return authn.Refuse(authn.Malformed, "The token does not hold JSON that can be read in one way alone.").Because(err)
}

// read makes the checks that need no key.
func (v *verification) read(payload []byte) (*claims, error) {
	all, err := strict.Parse(payload)
	if err != nil {
		return nil, unreadable(err)
	}
	issued, dated := all.Seconds("iat")
	c := &claims{id: all.Text("jti"), issued: issued, whole: all}
	switch {
	case all.Text("iss") != v.issuer:
		return nil, authn.Refuse(authn.WrongIssuer, "The token was issued by another transmitter than the one of this connection.")
	case !slices.ContainsFunc(all.Texts("aud"), func(to string) bool { return slices.Contains(v.audiences, to) }):
		return nil, authn.Refuse(authn.WrongAudience, "The token was made for another receiver.")
	case all.Has("exp"), all.Has("sub"): // RFC 8417 §4.1, §4.4; SSF 1.0: so that none is taken for the other
		return nil, authn.Refuse(authn.Malformed, "The token has exp or sub, which a security event token does not have.")
	case !dated || issued.After(v.now.Add(skew)):
		return nil, authn.Refuse(authn.NotYetValid, "The token was issued in the future, or does not say when; one of the clocks may be wrong.")
	case v.now.After(issued.Add(maxAge + skew)):
		return nil, authn.Refuse(authn.Expired, "The token was issued more than %v ago.", maxAge)
	case c.id == "" || len(c.id) > maxID:
		return nil, authn.Refuse(authn.Malformed, "The token has no id of its own, or one that is too long.")
	}
	events, _ := all["events"].(strict.Object)
	if len(events) != 1 {
		return nil, authn.Refuse(authn.Malformed, "The token does not tell of exactly one event.")
	}
	for event, about := range events {
		of, ok := about.(strict.Object)
		if !ok {
			return nil, authn.Refuse(authn.Malformed, "What the token says of its event is no JSON object.")
		}
		c.event, c.of = event, of
	}
	return c, nil
}
