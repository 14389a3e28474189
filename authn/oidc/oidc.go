package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/keyring"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// Protocol is OpenID Connect. It implements [authn.Protocol].
type Protocol struct {
	providers *authn.Providers[*provider]
	keys      *keyring.Ring
	journal   audit.Recorder
	client    *http.Client
	now       func() time.Time
}

// Config names what the protocol is built of. All parts are required, save those
// that say otherwise.
type Config struct {
	// Store and Keys keep the keys that we show providers who we are by, and Journal says
	// when an admin has the next one made.
	Store   authn.Stores
	Keys    authn.Keys
	Journal audit.Recorder
	// Client talks to providers. It must be the guarded one.
	Client *http.Client
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// New makes the protocol. It must be closed.
func New(c Config) *Protocol {
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Protocol{client: c.Client, journal: c.Journal, now: c.Now, keys: keyring.New(ourKeys, c.Store, c.Keys, c.Now)}
	p.providers = authn.NewProviders(c.Now, p.discover)
	return p
}

// private is what Finish must know again.
type private struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// Start makes an authentication request (OpenID Connect Core §3.1.2.1).
func (p *Protocol) Start(ctx context.Context, c tenants.Connection, s authn.Step) (authn.Departure, error) {
	idp, err := p.providers.Of(ctx, s.Tenant, c)
	if err != nil {
		return authn.Departure{}, err
	}
	kept := private{Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	state, err := json.Marshal(kept)
	if err != nil {
		return authn.Departure{}, fmt.Errorf("oidc: keep request: %w", err)
	}
	asked := append([]oauth2.AuthCodeOption{gooidc.Nonce(kept.Nonce), oauth2.S256ChallengeOption(kept.Verifier)}, wishes(idp, c.OIDC, s)...)
	return authn.Departure{URL: idp.authorises(c, s.Endpoints.Callback).AuthCodeURL(s.Token, asked...), Private: state}, nil
}

// wishes are what is asked of the provider about how the person is to authenticate
// (OpenID Connect Core §3.1.2.1).
func wishes(idp *provider, spec *tenants.OIDCSpec, s authn.Step) (asked []oauth2.AuthCodeOption) {
	set := func(name, value string) {
		if value != "" {
			asked = append(asked, oauth2.SetAuthURLParam(name, value))
		}
	}
	prompt, age := spec.Prompt, time.Duration(spec.MaxAge)
	if s.MaxAge > 0 {
		// Both: max_age has the id token say when the person authenticated, and there
		// are providers that heed only one of them.
		if age == 0 || s.MaxAge < age {
			age = s.MaxAge
		}
		if !slices.Contains(prompt, "login") {
			prompt = append([]string{"login"}, prompt...)
		}
	}
	if age > 0 {
		set("max_age", strconv.Itoa(int(age.Seconds())))
	}
	set("prompt", strings.Join(prompt, " "))
	set("acr_values", strings.Join(spec.ACRValues, " "))
	set("login_hint", s.LoginHint)
	if _, domain, ok := strings.Cut(s.LoginHint, "@"); ok && idp.issuers.template != "" {
		set("domain_hint", domain) // Entra ID's own, which spares people its page of accounts
	}
	if spec.Recheck > 0 && spec.Issuer == googleIssuer {
		set("access_type", "offline") // Google's own, instead of a scope
	}
	return asked
}

// Token is the state that the answer brings back (RFC 6749 §4.1.2).
func (p *Protocol) Token(r *http.Request) string { return single(r, "state") }

// single is a parameter that may come once (RFC 6749 §3.1).
func single(r *http.Request, name string) string {
	if v := r.Form[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// Finish redeems the code and verifies the id token.
func (p *Protocol) Finish(ctx context.Context, c tenants.Connection, s authn.Step, state []byte, r *http.Request) (authn.Assertion, error) {
	var kept private
	if err := json.Unmarshal(state, &kept); err != nil {
		return authn.Assertion{}, fmt.Errorf("oidc: read what was asked: %w", err)
	}
	idp, err := p.providers.Of(ctx, s.Tenant, c)
	if err != nil {
		return authn.Assertion{}, err
	}
	code, err := authorised(answerChecks, r, idp)
	if err != nil {
		s.Reading.Take(func() authn.Reading { return authn.ReadingOf(r.Form, idp.issuers.all()...) })
		return authn.Assertion{}, err
	}
	token, err := p.redeem(ctx, s.Tenant, c, idp, s.Endpoints.Callback, code, oauth2.VerifierOption(kept.Verifier))
	if err != nil {
		return authn.Assertion{}, exchangeFailed(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return authn.Assertion{}, authn.Refuse(authn.SignatureMissing, "The identity provider gave no id token.")
	}
	v := idVerification{verification: p.verifying(anIDToken, idp, c.OIDC), checks: idTokenChecks, nonce: kept.Nonce, classes: c.OIDC.ACRValues, maxAge: time.Duration(c.OIDC.MaxAge), seen: s.Reading}
	id, err := v.verify(ctx, raw, token.AccessToken)
	if err != nil {
		return authn.Assertion{}, err
	}
	a, err := p.person(ctx, c, idp, id, token)
	if err != nil {
		return authn.Assertion{}, err
	}
	a.LogoutHint = raw
	if c.OIDC.Recheck > 0 {
		if a.Refresh, err = keptFor(token, id, kept.Nonce); err != nil {
			return authn.Assertion{}, err
		}
	}
	return a, nil
}

// answerCheck is one thing that an authorisation response must be.
type answerCheck struct {
	name   string
	refuse func(r *http.Request, idp *provider) *authn.Refusal
}

// answerChecks are all of them, in the order in which they are made
// (TestEveryCheckOfAnAnswerIsNeeded). Whose answer it is was seen to before.
var answerChecks = []answerCheck{
	// RFC 9207 §2.4, which tells a mixed-up provider.
	{"issuer", func(r *http.Request, idp *provider) *authn.Refusal {
		if (r.Form.Has("iss") || idp.metadata.NamesItself) && !idp.issuers.any(single(r, "iss")) {
			return authn.Refuse(authn.WrongIssuer, "The answer came from another identity provider than the one that was asked.")
		}
		return nil
	}},
	// RFC 6749 §4.1.2.1.
	{"error", func(r *http.Request, _ *provider) *authn.Refusal {
		if r.Form.Has("error") {
			return authn.Refuse(authn.ProviderRefused, "The identity provider answered with the error %s.", errorName(single(r, "error")))
		}
		return nil
	}},
	// RFC 6749 §3.1: no parameter comes more than once.
	{"one code", func(r *http.Request, _ *provider) *authn.Refusal {
		if single(r, "code") == "" {
			return authn.Refuse(authn.Malformed, "The answer holds no code, or more than one.")
		}
		return nil
	}},
}

// authorised reads the authorisation response (RFC 6749 §4.1.2).
func authorised(checks []answerCheck, r *http.Request, idp *provider) (code string, err error) {
	for _, c := range checks {
		if refusal := c.refuse(r, idp); refusal != nil {
			return "", refusal
		}
	}
	return r.Form.Get("code"), nil
}

// errorName keeps what a stranger could write out of the journal.
func errorName(name string) string {
	const longest = 64
	if name == "" || len(name) > longest || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return "unknown"
	}
	return name
}

// SignOut gives the provider's end-session address.
func (p *Protocol) SignOut(ctx context.Context, c tenants.Connection, s authn.Step, hint string) (authn.Departure, error) {
	idp, err := p.providers.Of(ctx, s.Tenant, c)
	if err != nil {
		return authn.Departure{}, err
	}
	to, err := idp.signOut(c, hint, s.Endpoints.SignedOut)
	return authn.Departure{URL: to}, err
}

// Forget drops what is known of a deleted tenant's providers.
func (p *Protocol) Forget(tenant identity.TenantID) { p.providers.Forget(tenant) }

// Close ends what is asked of providers.
func (p *Protocol) Close() { p.providers.Close() }
