package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"gatehouse/assertion"
	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Tenants finds whose host a request came to; host is lower case and without
// a port.
type Tenants interface {
	ByHost(host string) (*tenants.Tenant, bool)
}

// Decider says who may do what, and what the app is told of them.
type Decider interface {
	Decide(ctx context.Context, p *identity.Principal, q authz.Query) (authz.Permit, authz.Decision, error)
	Profile(ctx context.Context, p *identity.Principal) (*authz.Profile, error)
	Version(tenant identity.TenantID) uint64
}

// Journal writes a decision down before it takes effect.
type Journal interface {
	Write(ctx context.Context, e *audit.Event) (audit.Receipt, error)
}

// Refusals writes refusals of callers that nobody knows, floods of them as one.
type Refusals interface {
	Record(ctx context.Context, e audit.Event) (audit.Receipt, error)
}

// Minter signs the identity for the app.
type Minter interface {
	Mint(c assertion.Claims) (token string, expires time.Time, err error)
}

// Memory is what one of several nodes remembers of tenants, people, roles and
// tokens. It counts while the node knows to have missed no change.
type Memory interface {
	// Current makes sure that it counts, or reports why it does not: a fault of kind
	// Unavailable. It is asked for every request.
	Current() error
	// Holds reports whether it counts at this instant. It is asked for every piece
	// of what is forwarded, and must be cheap.
	Holds() bool
}

// alone is the memory of a node that is the only one.
type alone struct{}

func (alone) Current() error { return nil }
func (alone) Holds() bool    { return true }

// Config is what a [Gate] is made of. All of it is required but where a default
// is named.
type Config struct {
	Tenants Tenants
	// Caller finds out who makes a request: a principal, and the live session it
	// came by if it is a person. Nobody is a nil principal; a credential that is
	// not good is a fault of kind Unauthenticated.
	Caller func(*http.Request) (*identity.Principal, *sessions.Live, error)
	// Admits refuses whoever has something open and may not come from where they do
	// any more: by the tenant's settings or by a role that they were given.
	Admits func(ctx context.Context, p *identity.Principal, ip netip.Addr) error
	// SignInURL is where a browser goes to sign in, to come back to this request.
	SignInURL func(*http.Request) string
	// SignInAgainURL is where somebody who is signed in goes to authenticate once
	// more, likewise.
	SignInAgainURL func(*http.Request) string
	// FactorURL is where somebody who is signed in goes to show a second factor,
	// likewise.
	FactorURL func(*http.Request) string
	Decider   Decider
	Journal   Journal
	Refusals  Refusals
	Minter    Minter
	// Own serves /.gatehouse/ and /scim/v2, and everything at the operators' host,
	// where there is no app.
	Own http.Handler
	// Ready reports why a tenant cannot be served right now (promise P7): a fault
	// of kind Unavailable, or nil. It is asked for every request and must not wait.
	Ready func(identity.TenantID) error
	// Memory tells whether what this node remembers counts; nil: always, because
	// there is no other node.
	Memory Memory

	Headers HeaderNames  // zero: DefaultHeaderNames
	Log     *slog.Logger // nil: slog.Default()

	Settings // to begin with; see Gate.Apply
}

func (c Config) check() error {
	switch {
	case c.Tenants == nil, c.Caller == nil, c.Admits == nil, c.SignInURL == nil, c.SignInAgainURL == nil, c.FactorURL == nil, c.Decider == nil,
		c.Journal == nil, c.Refusals == nil, c.Minter == nil, c.Own == nil, c.Ready == nil:
		return errors.New("proxy: a part of the gate is missing from its configuration")
	}
	return c.Headers.check()
}
