package setup

import (
	"context"
	"net/http"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Path is where a link leads to, on the tenant's host.
const Path = "/.gatehouse/setup"

// maxForm bounds a form: metadata of a provider, escaped.
const maxForm = 1 << 20

// Tenants keeps a tenant's connections.
type Tenants interface {
	ByID(id identity.TenantID) (*tenants.Tenant, bool)
	Connection(ctx context.Context, tenant identity.TenantID, name string) (tenants.Connection, error)
	PutConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) (tenants.Connection, error)
}

// Trials tries connections; [authn.Service] is one.
type Trials interface {
	TestByLink(ctx context.Context, by audit.Actor, tenant identity.TenantID, c tenants.Connection, back string) (path string, until time.Time, err error)
	Tested(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (bool, error)
}

// Sessions ends what a connection was used for before.
type Sessions interface {
	Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, s sessions.Selector, reason string) (sessions.Revocation, error)
}

// People is the directory.
type People interface {
	// Knows reports whether a connection has identities or groups.
	Knows(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (bool, error)
	// DropRules takes people out of the groups into which the rules of a connection have
	// put them, save those still ruled.
	DropRules(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection identity.ConnectionID, still []string) error
}

// Refusals journals what strangers cause.
type Refusals interface {
	Record(ctx context.Context, e audit.Event) (audit.Receipt, error)
}

// Config names what setting up is built of. All parts are required, save Now.
type Config struct {
	Store    authn.Stores
	Journal  audit.Recorder
	Refusals Refusals
	Tenants  Tenants
	Trials   Trials
	Sessions Sessions
	People   People
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Service keeps the links and serves their pages, for every tenant.
type Service struct {
	store    authn.Stores
	journal  audit.Recorder
	refusals Refusals
	tenants  Tenants
	trials   Trials
	sessions Sessions
	people   People
	now      func() time.Time
	handler  http.Handler
}

// New makes the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{store: c.Store, journal: c.Journal, refusals: c.Refusals, tenants: c.Tenants, trials: c.Trials, sessions: c.Sessions, people: c.People, now: c.Now}
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(httpkit.Handle(func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.Denied, "cross-origin", "This form was sent from another site. Open the page here and try again.")
	}))
	mux := http.NewServeMux()
	mux.Handle("GET "+Path, s.handle(s.show))
	for action, h := range map[string]httpkit.HandlerFunc{"begin": s.accept, "save": s.save, "test": s.test, "finish": s.finish} {
		mux.Handle("POST "+Path+"/"+action, sameOrigin.Handler(s.handle(h)))
	}
	s.handler = httpkit.Routed(mux)
	return s
}

// Handler serves [Path] and what is below. Requests must have passed the gate
// ([httpkit.WithRequest]).
func (s *Service) Handler() http.Handler { return s.handler }

// handle serves h; what strangers are refused has its record first.
func (s *Service) handle(h httpkit.HandlerFunc) http.Handler {
	return httpkit.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if t, ok := s.tenants.ByID(tenantOf(r)); !ok || t.Status != tenants.Active {
			return s.refused(r, fault.New(fault.Denied, "tenant-suspended", "This organisation's access is suspended. Its administrators know more."))
		}
		err := h(w, r)
		if f := fault.As(err); err != nil && f.Kind == fault.Denied && f.Event == "" {
			return s.refused(r, f)
		}
		return err
	})
}

func (s *Service) refused(r *http.Request, f *fault.Fault) error {
	e := audit.Event{Type: audit.AccessRefused, Outcome: audit.Refused, Reason: f.Code, Message: f.Detail}
	e.Describe(r, nil)
	receipt, err := s.refusals.Record(r.Context(), e)
	if err != nil {
		return err
	}
	return f.WithEvent(string(receipt.Event()))
}

func tenantOf(r *http.Request) identity.TenantID { return httpkit.RequestFrom(r.Context()).Tenant }

// mine is the link that this browser has begun with.
func (s *Service) mine(r *http.Request) (Link, error) {
	token, n := httpkit.ReadCookie(r, httpkit.SetupCookie)
	if n != 1 || len(token) != tokenLength {
		return Link{}, errSpent
	}
	l, err := s.find(r.Context(), tenantOf(r), `browser_hash = $1`, hashOf("browser", token))
	if fault.Is(err, fault.NotFound) {
		return Link{}, errSpent
	}
	return l, err
}

// causeOf says that a link is behind a change.
func causeOf(r *http.Request, l Link) audit.Cause {
	cause := audit.CauseOf(r, nil)
	cause.Actor = l.actor()
	return cause
}

// current is the connection of a link as the link has left it; zero if there is none
// yet. What somebody else has made, changed or switched on is not the link's any more.
func (s *Service) current(ctx context.Context, tenant identity.TenantID, l Link) (tenants.Connection, error) {
	c, err := s.tenants.Connection(ctx, tenant, l.Connection)
	switch {
	case fault.Is(err, fault.NotFound) && l.madeID == "":
		return tenants.Connection{Version: tenants.NoConnection}, nil
	case fault.Is(err, fault.NotFound):
		return tenants.Connection{}, errInUse
	case err == nil && (c.Enabled || c.ID != l.madeID || c.Version != l.madeVersion):
		return tenants.Connection{}, errInUse
	}
	return c, err
}
