package local

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/throttle"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Tenants keeps the connection by which local accounts sign in.
type Tenants interface {
	ByID(id identity.TenantID) (*tenants.Tenant, bool)
	Connection(ctx context.Context, tenant identity.TenantID, name string) (tenants.Connection, error)
	EnsureLocal(ctx context.Context, cause audit.Cause, tenant identity.TenantID) (tenants.Connection, error)
}

// Factors keeps passkeys, authenticator apps and recovery codes.
type Factors interface {
	Held(ctx context.Context, tenant identity.TenantID, user identity.UserID) (authn.Held, error)
	Verify(ctx context.Context, h authn.Holder, private []byte, p authn.Proof) (authn.Shown, error)
	// OfferFirst begins to replace all that somebody has by one of a kind, and Replace
	// does so, with recovery codes if they are wanted: it records first before, and has
	// also be done in the same transaction.
	OfferFirst(ctx context.Context, h authn.Holder, kind authn.FactorKind, again []byte) (authn.Offer, error)
	Replace(ctx context.Context, cause audit.Cause, h authn.Holder, e authn.Enrolment, codes bool, first audit.Event, also func(context.Context, *store.Tx) error) ([]string, error)
	// AskAnybody is what a browser is asked whose person has not said who they are, and
	// Identify says who has answered.
	AskAnybody(ctx context.Context, h authn.Holder) (authn.Offer, error)
	Identify(ctx context.Context, h authn.Holder, private []byte, answer string) (identity.UserID, authn.Shown, error)
}

// Sessions knows the browsers in which somebody has signed in before, and ends what
// replaced credentials have made.
type Sessions interface {
	Knows(ctx context.Context, tenant identity.TenantID, deviceToken string, user identity.UserID) (bool, error)
	Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, s sessions.Selector, reason string) (sessions.Revocation, error)
}

// Config names what local accounts are built of. All parts are required, save those
// that say otherwise.
type Config struct {
	Store    authn.Stores
	Keys     authn.Keys
	Journal  audit.Recorder
	Refusals authn.Refusals
	Tenants  Tenants
	Factors  Factors
	Sessions Sessions
	Policy   Policy
	// Programs finds tokens and services that made links; nil: there are none.
	Programs Programs
	Log      *slog.Logger
	// Throttle counts passwords, on all nodes; nil: this one alone.
	Throttle Throttle
	// Cost is that of hashing a password; zero means what RFC 9106 recommends.
	Cost Cost
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Service keeps the local accounts of every tenant, and serves their pages.
type Service struct {
	store    authn.Stores
	keys     authn.Keys
	journal  audit.Recorder
	refusals authn.Refusals
	tenants  Tenants
	factors  Factors
	sessions Sessions
	policy   Policy
	programs Programs
	log      *slog.Logger
	throttle Throttle
	hasher   *hasher
	now      func() time.Time
	handler  http.Handler
}

var _ interface {
	authn.Protocol
	authn.Host
} = (*Service)(nil)

// New makes the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Throttle == nil {
		c.Throttle = throttle.New(nil, "", c.Log)
	}
	if c.Cost == (Cost{}) {
		c.Cost = recommended
	}
	if c.Programs == nil {
		c.Programs = func(context.Context, identity.TenantID, identity.Kind, string) (*identity.Principal, error) {
			return nil, nil
		}
	}
	s := &Service{store: c.Store, keys: c.Keys, journal: c.Journal, refusals: c.Refusals, tenants: c.Tenants, factors: c.Factors, sessions: c.Sessions,
		policy: c.Policy, programs: c.Programs, log: c.Log, throttle: c.Throttle, hasher: newHasher(c.Cost), now: c.Now}
	s.handler = s.routes()
	return s
}

// Start implements [authn.Protocol]: the provider is a page of ours.
func (s *Service) Start(_ context.Context, _ tenants.Connection, step authn.Step) (authn.Departure, error) {
	return authn.Departure{URL: authn.PathLocal + "?" + url.Values{"state": {step.Token}}.Encode()}, nil
}

// Token implements [authn.Protocol].
func (s *Service) Token(*http.Request) string { return "" }

// Finish implements [authn.Protocol]: nobody answers from elsewhere.
func (s *Service) Finish(context.Context, tenants.Connection, authn.Step, []byte, *http.Request) (authn.Assertion, error) {
	return authn.Assertion{}, authn.Refuse(authn.Malformed, "Local accounts sign in on pages of this gateway alone.")
}

// SignOut implements [authn.Protocol]: there is no session but ours.
func (s *Service) SignOut(context.Context, tenants.Connection, authn.Step, string) (authn.Departure, error) {
	return authn.Departure{}, nil
}

// Forget implements [authn.Protocol]: nothing is remembered.
func (s *Service) Forget(identity.TenantID) {}

// Close implements [authn.Protocol].
func (s *Service) Close() {}

// Still implements [authn.Host], and notes that the account was used.
func (s *Service) Still(ctx context.Context, tenant identity.TenantID, a *authn.Assertion) error {
	ctx, cancel := effect(ctx)
	defer cancel()
	by, ok := credentialsOf(a.IDPSession)
	var n int64
	err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(ctx, `UPDATE local_accounts SET used_at = $1 WHERE user_id = $2 AND generation = $3 AND (NOT $4 OR password_at = $5)`,
			store.Millis(s.now()), a.Subject, by.generation, by.password, by.changed)
		return err
	})
	if err != nil {
		return storeDown(err)
	}
	if n == 0 || !ok {
		return authn.Refuse(authn.CredentialsReplaced, "The person's credentials were replaced or taken away before the sign-in was finished.")
	}
	return nil
}

var errOnlyWay = fault.New(fault.Conflict, "only-way-in", "You sign in with this, so it stays. Add another one first: a passkey, or, if you have a password, any.")

// MayKeep implements [authn.Host]: with a password any factor will do, without one it
// takes a passkey.
func (s *Service) MayKeep(ctx context.Context, tx *store.Tx, user identity.UserID, keeps []authn.Factor) error {
	password, err := store.One(ctx, tx, store.Scalar[bool], `SELECT password IS NOT NULL FROM local_accounts WHERE user_id = $1`, user)
	if errors.Is(err, store.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range keeps {
		if f.Kind == authn.Passkey || password {
			return nil
		}
	}
	return errOnlyWay
}
