package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/authn"
	"gatehouse/authn/keyset"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// verifyTime is how long whoever shows a token waits for its issuer's keys.
const verifyTime = 5 * time.Second

// verify verifies a signed token (RFC 9068 §4). All that needs no key comes first.
func (v *Verifier) verify(ctx context.Context, s *snapshot, t *signedToken) (verdict, error) {
	now := v.now()
	expires, refusal := t.valid(now)
	if refusal != nil {
		return verdict{}, refusal
	}
	bound, refusal := bindingOf(t.claims)
	if refusal != nil {
		return verdict{}, refusal
	}
	rules, refusal := t.candidates()
	if refusal != nil {
		return verdict{}, refusal
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	var failure error
	for _, r := range rules {
		err := v.verifySignature(ctx, s.tenant, r.from, t)
		if err == nil {
			return verdict{principal: v.recognised(s, r.holder, expires), bound: bound, until: earlier(expires, now.Add(rememberFor))}, nil
		}
		if wrong, ok := errors.AsType[*authn.Refusal](failure); !ok || wrong.Reason == authn.WrongKey {
			failure = err // what could not be looked at may be good
		}
	}
	return verdict{}, failure
}

// candidates are the rules that a token keeps to, all of one service, each with
// keys of its own.
func (t *signedToken) candidates() ([]signedRule, *authn.Refusal) {
	audiences, subject, names := t.claims.Texts("aud"), t.claims.Text("sub"), clients(t.claims)
	var typed, meant, found []signedRule
	for _, r := range t.rules {
		if !r.Takes(t.kind) {
			continue
		}
		typed = append(typed, r)
		if slices.Contains(audiences, r.Audience) {
			meant = append(meant, r)
		}
		if matches(r.Claims, audiences, subject, names) {
			found = append(found, r)
		}
	}
	switch {
	case len(typed) == 0:
		return nil, authn.Refuse(wrongType, "The token does not say that it is an access token (typ at+jwt), and no service of this issuer may leave that out.")
	case len(meant) == 0:
		return nil, authn.Refuse(authn.WrongAudience, "The token was made for another audience than this app.")
	case len(found) == 0:
		return nil, authn.Refuse(unknownClient, "The token is of a client or subject that is no service here.")
	}
	for _, r := range found {
		if r.id != found[0].id {
			return nil, authn.Refuse(ambiguousToken, "The token would be that of two services, %s and %s.", found[0].name, r.name)
		}
	}
	return slices.CompactFunc(found, func(a, b signedRule) bool { return a.from.ID == b.from.ID }), nil
}

func (v *Verifier) verifySignature(ctx context.Context, tenant identity.TenantID, from tenants.Connection, t *signedToken) error {
	known, err := v.sources.Of(ctx, tenant, from)
	if err != nil {
		return err
	}
	keys := keyset.Asked{KeySet: known.keys}
	signed, err := keys.VerifySignature(ctx, t.raw)
	switch {
	case errors.Is(err, keyset.ErrTooOften):
		return errUnknownKeys
	case err != nil && keys.Unfetched:
		return authn.Refuse(authn.ProviderUnreachable, "The issuer's keys cannot be fetched.").Because(err)
	case err != nil:
		return authn.Refuse(authn.WrongKey, "The token is not signed with a key of its issuer.").Because(err)
	case !bytes.Equal(signed, t.payload):
		return authn.Refuse(authn.WrongKey, "What was signed is not what was read.")
	}
	return nil
}

// errUnknownKeys refuses tokens that are signed with no known key where many are
// shown. They may be by one that is published just now, so none is said to be bad;
// and they are counted, and fill no log.
var errUnknownKeys = &fault.Fault{Kind: fault.TooMany, Code: "keys-asked-too-often", RetryAfter: time.Second,
	Detail: "Whether this token is good cannot be checked right now: too many are shown that no known key has signed. Try again in a moment."}

// source is what is known of an issuer.
type source struct{ keys gooidc.KeySet }

// origin names an issuer and where its keys are, in the form that
// [authn.Providers] goes by: it is no connection of the tenant's.
func origin(issuer, jwks string) tenants.Connection {
	sum := sha256.Sum256([]byte(issuer + " " + jwks))
	return tenants.Connection{ID: identity.ConnectionID("issuer " + base64.RawURLEncoding.EncodeToString(sum[:])), Name: "issuer " + issuer, Version: 1,
		OIDC: &tenants.OIDCSpec{Issuer: issuer}, Signals: &tenants.Signals{JWKSURL: jwks}}
}

// discover finds an issuer's keys.
func (v *Verifier) discover(ctx context.Context, c tenants.Connection) (source, error) {
	address := c.Signals.JWKSURL
	if address == "" {
		var err error
		if address, err = v.published(ctx, c.OIDC.Issuer); err != nil {
			return source{}, authn.Refuse(authn.ProviderUnreachable, "The issuer's metadata cannot be had.").Because(err)
		}
	}
	keys, err := keyset.Fetch(ctx, v.client, address)
	if err != nil {
		return source{}, authn.Refuse(authn.ProviderUnreachable, "The issuer's keys cannot be fetched.").Because(err)
	}
	return source{keys}, nil
}

// published reads where an issuer says that its keys are: in the metadata of
// OpenID Connect Discovery §4, or else in that of RFC 8414 §3.
func (v *Verifier) published(ctx context.Context, issuer string) (string, error) {
	at, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(at.EscapedPath(), "/")
	raw, err := v.fetch(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		var other error
		if raw, other = v.fetch(ctx, at.Scheme+"://"+at.Host+"/.well-known/oauth-authorization-server"+path); other != nil {
			return "", errors.Join(err, other)
		}
	}
	var said struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return "", fmt.Errorf("machine: metadata of an issuer: %w", err)
	}
	if said.Issuer != issuer { // RFC 8414 §3.3
		return "", errors.New("machine: the metadata is that of another issuer")
	}
	if u, err := url.Parse(said.JWKS); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && !httpkit.PlainLoopback(u.Scheme, u.Hostname())) {
		return "", errors.New("machine: jwks_uri of the metadata is missing or not an address over TLS")
	}
	return said.JWKS, nil
}

func (v *Verifier) fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // the body was read, or is not wanted
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("machine: %s answers %s", address, resp.Status)
	}
	return io.ReadAll(resp.Body) // bounded by the guarded client
}
