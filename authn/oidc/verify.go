package oidc

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
	"gatehouse/authn/keyset"
	"gatehouse/tenants"
)

const (
	// skew is how far the provider's clock may be from ours.
	skew = time.Minute
	// maxToken bounds a token before it is parsed.
	maxToken = 64 << 10
)

// verification verifies one token: an id token ([checks]) or a logout token.
type verification struct {
	what     word // it is, for whoever reads why it was refused
	idp      *provider
	issuers  issuers
	clientID string
	now      time.Time
	config   gooidc.Config // of go-oidc's part
}

// verifying begins the verification of a token of a connection's provider.
func (p *Protocol) verifying(what word, idp *provider, spec *tenants.OIDCSpec) verification {
	now := p.now()
	return verification{what: what, idp: idp, issuers: idp.issuers, clientID: spec.ClientID, now: now, config: configOf(idp, spec.ClientID, now)}
}

// configOf has go-oidc make its checks by a clock that is behind ours. It knows of
// one issuer alone.
func configOf(idp *provider, clientID string, now time.Time) gooidc.Config {
	return gooidc.Config{ClientID: clientID, SupportedSigningAlgs: idp.algorithms, SkipIssuerCheck: idp.issuers.template != "", Now: func() time.Time { return now.Add(-skew) }}
}

// protocolClaims are the claims that say whether a token is good, not who it
// is about.
type protocolClaims struct {
	Issuer     string
	Directory  string // of Entra ID
	Audience   stringList
	Authorized string
	Expires    float64
	Issued     float64
	NotBefore  float64
}

func (c *protocolClaims) members() members {
	return members{"iss": &c.Issuer, "tid": &c.Directory, "aud": &c.Audience, "azp": &c.Authorized, "exp": &c.Expires, "iat": &c.Issued, "nbf": &c.NotBefore}
}

// verifier has go-oidc verify one token.
func (v *verification) verifier() (*gooidc.IDTokenVerifier, *keyset.Asked) {
	keys := &keyset.Asked{KeySet: v.idp.keys}
	return gooidc.NewVerifier(v.issuers.one, keys, &v.config), keys
}

// unverified tells a token that nobody could verify from one that is not good:
// a provider may send the former again.
func (v *verification) unverified(keys *keyset.Asked, err error) *authn.Refusal {
	if keys.Unfetched {
		return authn.Refuse(authn.ProviderUnreachable, "The identity provider's keys cannot be fetched.").Because(err)
	}
	return authn.Refuse(authn.WrongKey, "The %s is not signed with a key of the identity provider.", v.what).Because(err)
}

// header is that of a JWS (RFC 7515 §4.1), as far as it counts.
type header struct{ Algorithm, Type string }

func (h *header) members() members { return members{"alg": &h.Algorithm, "typ": &h.Type} }

// readable are the claims of one kind of token.
type readable interface {
	members() members
	// folded are the names that go-oidc reads for this kind in any case.
	folded() []string
}

// peek reads a token without believing it: what it says decides refusals only,
// until go-oidc has verified the same bytes.
func (v *verification) peek(raw string, claims readable) (kind string, err error) {
	if refusal := v.small(raw); refusal != nil {
		return "", refusal
	}
	h, refusal := v.read(raw, claims)
	if refusal = cmp.Or(refusal, v.strict(raw), v.signedBy(h)); refusal != nil {
		return "", refusal
	}
	return h.Type, nil
}

func (v *verification) small(raw string) *authn.Refusal {
	if len(raw) > maxToken {
		return authn.Refuse(authn.TooLarge, "The %s is larger than %d bytes.", v.what, maxToken)
	}
	return nil
}

// read takes a token apart.
func (v *verification) read(raw string, claims readable) (h header, refusal *authn.Refusal) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return h, v.malformed()
	}
	_, err := h.members().read(parts[0])
	said, err2 := claims.members().read(parts[1])
	if err = errors.Join(err, err2); err != nil {
		return h, v.malformed().Because(err)
	}
	for name := range said {
		if misspelt(name, claims.folded()) {
			return h, authn.Refuse(authn.Malformed, "The %s says %.64q, which is another name than one of a JWT's own in its case alone.", v.what, name)
		}
	}
	return h, nil
}

// members are where the members of a JSON object go, by their exact names. They are
// told apart by case (RFC 7515 §4, RFC 7519 §10.1.1), but not by encoding/json where it
// fills a struct: a claim that somebody has named "Sub" would stand for the subject.
type members map[string]any

// read gives all members of a segment besides.
func (m members) read(segment string) (said map[string]json.RawMessage, err error) {
	if err := decodeSegment(segment, &said); err != nil {
		return nil, err
	}
	for name, into := range m {
		if value, there := said[name]; there {
			if err := json.Unmarshal(value, into); err != nil {
				return nil, err
			}
		}
	}
	return said, nil
}

// misspelt reports whether a name is one of those but for its case.
func misspelt(name string, own []string) bool {
	return slices.ContainsFunc(own, func(own string) bool { return name != own && strings.EqualFold(name, own) })
}

// strict refuses the line breaks that Go's decoder passes over (RFC 7515 §2).
func (v *verification) strict(raw string) *authn.Refusal {
	if strings.ContainsAny(raw, "\r\n") {
		return v.malformed()
	}
	return nil
}

func (v *verification) malformed() *authn.Refusal {
	return authn.Refuse(authn.Malformed, "The %s is not a signed JWT.", v.what)
}

func (v *verification) signedBy(h header) *authn.Refusal {
	if !slices.Contains(v.idp.algorithms, h.Algorithm) {
		return authn.Refuse(authn.WrongAlgorithm, "The %s is signed with an algorithm that is not accepted.", v.what)
	}
	return nil
}

func decodeSegment(segment string, into any) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// check makes the checks of a token's claims that need no key and are the same for
// every kind of token.
func (v *verification) check(c protocolClaims) *authn.Refusal {
	return cmp.Or(v.issued(c), v.forUs(c), v.usedByUs(c), v.unexpired(c), v.begun(c), v.valid(c))
}

func (v *verification) issued(c protocolClaims) *authn.Refusal {
	if !v.issuers.issued(c.Issuer, c.Directory) {
		return authn.Refuse(authn.WrongIssuer, "The %s was issued by another identity provider than the one of this connection.", v.what)
	}
	return nil
}

func (v *verification) forUs(c protocolClaims) *authn.Refusal {
	if !slices.Contains(c.Audience, v.clientID) {
		return authn.Refuse(authn.WrongAudience, "The %s was made for another client.", v.what)
	}
	return nil
}

func (v *verification) usedByUs(c protocolClaims) *authn.Refusal {
	if c.Authorized != "" && c.Authorized != v.clientID || len(c.Audience) > 1 && c.Authorized == "" {
		return authn.Refuse(authn.WrongAudience, "The %s was made for several clients and names another one as its user.", v.what)
	}
	return nil
}

func (v *verification) unexpired(c protocolClaims) *authn.Refusal {
	if !v.now.Before(seconds(c.Expires).Add(skew)) {
		return authn.Refuse(authn.Expired, "The %s has expired.", v.what)
	}
	return nil
}

func (v *verification) begun(c protocolClaims) *authn.Refusal {
	if c.Issued == 0 || seconds(c.Issued).After(v.now.Add(skew)) {
		return authn.Refuse(authn.NotYetValid, "The %s was issued in the future, or does not say when; one of the clocks may be wrong.", v.what)
	}
	return nil
}

func (v *verification) valid(c protocolClaims) *authn.Refusal {
	if seconds(c.NotBefore).After(v.now.Add(skew)) {
		return authn.Refuse(authn.NotYetValid, "The %s is to be valid in the future; one of the clocks may be wrong.", v.what)
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

// word is what a token is called; pages say it in their language.
type word string

const (
	anIDToken    word = "id token"
	aLogoutToken word = "logout token"
)

// Parts takes the word as a sentence.
func (w word) Parts() (format string, args []any) { return string(w), nil }
