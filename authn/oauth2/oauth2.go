package oauth2

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// patience is how long a provider may take for all that one sign-in asks of it.
const patience = 20 * time.Second

// Config names what the protocol is built of.
type Config struct {
	// Client talks to providers and must be the guarded one.
	Client *http.Client
	// Patience is how long a provider may take for one sign-in; 0: 20 seconds.
	Patience time.Duration
	Log      *slog.Logger
}

// Protocol is OAuth 2.0 with a user API. It implements [authn.Protocol].
type Protocol struct {
	client   *http.Client
	patience time.Duration
	checks   checks
	log      *slog.Logger
}

// New makes the protocol.
func New(c Config) *Protocol {
	client := *c.Client
	// Whoever redirects us would choose who gets the token, or the code.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Protocol{client: &client, patience: cmp.Or(c.Patience, patience), checks: allChecks, log: c.Log}
}

// private is what Finish must know again.
type private struct {
	Verifier string `json:"verifier,omitempty"`
}

// Start makes an authorisation request (RFC 6749 §4.1.1). A recent authentication
// cannot be asked for: OAuth 2.0 has no words for it, and the answer says nothing
// of it.
func (p *Protocol) Start(_ context.Context, c tenants.Connection, s authn.Step) (authn.Departure, error) {
	if c.OAuth2 == nil {
		return authn.Departure{}, unusable()
	}
	spec := c.OAuth2.Whole()
	var kept private
	var asked []oauth2.AuthCodeOption
	if spec.PKCE != tenants.WithoutPKCE {
		kept.Verifier = oauth2.GenerateVerifier()
		asked = append(asked, oauth2.S256ChallengeOption(kept.Verifier))
	}
	state, err := json.Marshal(kept)
	if err != nil {
		return authn.Departure{}, fmt.Errorf("oauth2: keep request: %w", err)
	}
	request := oauth2.Config{ClientID: spec.ClientID, Endpoint: oauth2.Endpoint{AuthURL: spec.AuthorizationURL},
		RedirectURL: s.Endpoints.Callback, Scopes: spec.Scopes}
	return authn.Departure{URL: request.AuthCodeURL(s.Token, asked...), Private: state}, nil
}

func unusable() error {
	return authn.Refuse(authn.ProviderUnusable, "The connection has no OAuth 2.0 settings.")
}

// Token is the state that the answer brings back (RFC 6749 §4.1.2).
func (p *Protocol) Token(r *http.Request) string { return single(r.Form, "state") }

// Finish redeems the code and asks the provider who the token belongs to.
func (p *Protocol) Finish(ctx context.Context, c tenants.Connection, s authn.Step, state []byte, r *http.Request) (authn.Assertion, error) {
	if c.OAuth2 == nil {
		return authn.Assertion{}, unusable()
	}
	var kept private
	if err := json.Unmarshal(state, &kept); err != nil {
		return authn.Assertion{}, fmt.Errorf("oauth2: read what was asked: %w", err)
	}
	q := inquiry{Protocol: p, spec: c.OAuth2.Whole(), connection: c.Name, seen: s.Reading}
	answer := response{form: r.Form, issuer: q.spec.Issuer}
	if err := all(p.checks.responses, answer); err != nil {
		s.Reading.Take(func() authn.Reading { return authn.ReadingOf(r.Form, q.issuers()...) })
		return authn.Assertion{}, err
	}
	within, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	defer q.revoke(ctx)
	if err := q.redeem(within, answer.form.Get("code"), kept.Verifier, s.Endpoints.Callback); err != nil {
		return authn.Assertion{}, err
	}
	return q.person(within)
}

// inquiry is what one sign-in asks of a provider.
type inquiry struct {
	*Protocol
	spec       tenants.OAuth2Spec // whole
	connection string
	token      string // which goes to the addresses of spec alone
	// seen, if set, is where to put what is read of the person.
	seen *authn.Reading
}

func (q *inquiry) issuers() []string {
	if q.spec.Issuer == "" {
		return nil
	}
	return []string{q.spec.Issuer}
}

// SignOut leads nowhere: OAuth 2.0 knows no session at the provider.
func (p *Protocol) SignOut(context.Context, tenants.Connection, authn.Step, string) (authn.Departure, error) {
	return authn.Departure{}, nil
}

// Forget has nothing to drop: nothing is kept of providers.
func (p *Protocol) Forget(identity.TenantID) {}

// Close has nothing to end: what is asked of providers ends with its sign-in.
func (p *Protocol) Close() {}
