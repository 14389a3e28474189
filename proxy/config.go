package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/assertion"
	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/proxy/upstream"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Tenants finds whose host a request came to; host is lower case and without
// a port.
type Tenants interface {
	ByHost(host string) (*tenants.Tenant, bool)
}

// Routes is the app's route table; path is decoded once.
type Routes interface {
	Match(method, path string) (authz.Route, bool)
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

// Config is what a [Gate] is made of. All of it is required but where a default
// is named.
type Config struct {
	Tenants Tenants
	// Caller finds out who makes a request: a principal, and the live session it
	// came by if it is a person. Nobody is a nil principal; a credential that is
	// not good is a fault of kind Unauthenticated.
	Caller func(*http.Request) (*identity.Principal, *sessions.Live, error)
	// SignInURL is where a browser goes to sign in, to come back to this request.
	SignInURL func(*http.Request) string
	Routes    Routes
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
	App   *upstream.Pool

	Headers        HeaderNames            // zero: DefaultHeaderNames
	TrustedProxies httpkit.TrustedProxies // nil: nobody is in front
	Limits         Limits
	Log            *slog.Logger // nil: slog.Default()
}

// Limits bound what one request and all of them together may take. Zero values
// mean the defaults named beside them.
type Limits struct {
	TargetBytes int   // 8 KiB of path and query
	HeaderBytes int   // 64 KiB of header
	Fields      int   // 100 header fields
	BodyBytes   int64 // 1 GiB of body; negative: no limit

	Requests  int // 20,000 requests at once, long-lived streams included
	PerClient int // 1,000 of them from one address (an IPv6 /64 counts as one)

	// StrangerRate is how many requests a second callers that nobody knows may
	// send from one client network, five seconds' worth at once: 200.
	StrangerRate int

	BodyIdle  time.Duration // 60 s between two pieces of a request's body
	BodyTime  time.Duration // 30 s for the body of a request to our own endpoints; a forwarded one
	BodyRate  int64         // is given a second more for every 1 KiB: its lowest average speed
	WriteIdle time.Duration // 60 s for the client to take a piece of the answer
}

func (l Limits) withDefaults() Limits {
	l.TargetBytes = cmp.Or(l.TargetBytes, 8<<10)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 64<<10)
	l.Fields = cmp.Or(l.Fields, 100)
	l.BodyBytes = cmp.Or(l.BodyBytes, 1<<30)
	l.Requests = cmp.Or(l.Requests, 20_000)
	l.PerClient = cmp.Or(l.PerClient, 1_000)
	l.StrangerRate = cmp.Or(l.StrangerRate, 200)
	l.BodyIdle = cmp.Or(l.BodyIdle, time.Minute)
	l.BodyTime = cmp.Or(l.BodyTime, 30*time.Second)
	l.BodyRate = cmp.Or(l.BodyRate, 1<<10)
	l.WriteIdle = cmp.Or(l.WriteIdle, time.Minute)
	return l
}

func (c Config) check() error {
	switch {
	case c.Tenants == nil, c.Caller == nil, c.SignInURL == nil, c.Routes == nil, c.Decider == nil,
		c.Journal == nil, c.Refusals == nil, c.Minter == nil, c.Own == nil, c.Ready == nil, c.App == nil:
		return errors.New("proxy: a part of the gate is missing from its configuration")
	}
	return c.Headers.check()
}
