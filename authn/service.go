package authn

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Our addresses on a tenant's host.
const (
	pathLogin   = "/.gatehouse/login"
	pathLogout  = "/.gatehouse/logout"
	pathDevices = "/.gatehouse/devices"
	pathMFA     = "/.gatehouse/mfa"
	pathOIDC    = "/.gatehouse/oidc/"
	pathSAML    = "/.gatehouse/saml/"
	pathOAuth2  = "/.gatehouse/oauth2/"
	pathSignals = "/.gatehouse/signals/"
	pathDevice  = "/.gatehouse/device"
	pathOAuth   = "/.gatehouse/oauth/"
	// PathLocal is where local accounts sign in ([Host]).
	PathLocal = "/.gatehouse/local"
	// PathPassword is where somebody with a local account changes their password.
	PathPassword = "/.gatehouse/local/password"
)

// Stores gives the handle on one tenant's data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// Keys seals what must be readable again.
type Keys interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// Refusals journals what strangers cause, which no session or token stands
// behind: floods of the same are counted instead of written one by one.
type Refusals interface {
	Record(ctx context.Context, e audit.Event) (audit.Receipt, error)
}

// Tenants answers how a tenant's people sign in.
type Tenants interface {
	ByID(id identity.TenantID) (*tenants.Tenant, bool)
	Connections(ctx context.Context, tenant identity.TenantID) ([]tenants.Connection, error)
	Connection(ctx context.Context, tenant identity.TenantID, name string) (tenants.Connection, error)
	ConnectionByID(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) (tenants.Connection, error)
	Domains(ctx context.Context, tenant identity.TenantID) ([]tenants.Domain, error)
	// LogoImage gives the image of the tenant's logo; NotFound if there is none.
	LogoImage(ctx context.Context, tenant identity.TenantID) (tenants.Logo, []byte, error)
}

// Directory finds or makes the person that an assertion is about.
type Directory interface {
	SignIn(ctx context.Context, cause audit.Cause, tenant identity.TenantID, s directory.SignIn) (u directory.User, created bool, err error)
	// Foresee tells what SignIn would come to, and changes nothing.
	Foresee(ctx context.Context, tenant identity.TenantID, s directory.SignIn) (u directory.User, created bool, err error)
	Person(ctx context.Context, tenant identity.TenantID, id identity.UserID) (identity.Person, error)
	// StillLinked refuses a sign-in whose identity was unlinked since.
	StillLinked(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, subject string, user identity.UserID) error
	// SubjectsByEmail gives how a connection's provider calls whoever has an address.
	SubjectsByEmail(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, email string) ([]string, error)
}

// Sessions begins, finds and ends sessions.
type Sessions interface {
	Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, s sessions.NewSession) (sessions.Created, error)
	Find(ctx context.Context, tenant identity.TenantID, token string) (*sessions.Live, error)
	Renew(ctx context.Context, cause audit.Cause, old *sessions.Live, r sessions.Renewal) (sessions.Created, error)
	FindProgram(ctx context.Context, tenant identity.TenantID, token string) (*sessions.Live, error)
	Get(ctx context.Context, tenant identity.TenantID, id identity.SessionID) (sessions.Session, error)
	Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, s sessions.Selector, reason string) (sessions.Revocation, error)
	LogoutHint(ctx context.Context, tenant identity.TenantID, id identity.SessionID) (string, error)
	Knows(ctx context.Context, tenant identity.TenantID, deviceToken string, user identity.UserID) (bool, error)
}

// Devices tells what a person is signed in with.
type Devices interface {
	Device(ctx context.Context, tenant identity.TenantID, id identity.DeviceID) (sessions.Device, error)
	List(ctx context.Context, tenant identity.TenantID, f sessions.Filter) (items []sessions.Session, next string, err error)
	NewDevices(ctx context.Context, p *identity.Principal, since time.Time) ([]sessions.Device, error)
	Devices(ctx context.Context, tenant identity.TenantID, f sessions.DeviceFilter) (items []sessions.Device, next string, err error)
}

// Tokens verifies API and SCIM tokens.
type Tokens interface {
	Verify(ctx context.Context, tenant identity.TenantID, secret string) (*identity.Principal, error)
}

// Roles gives a person made by a first sign-in the connection's default role, and
// knows who has which.
type Roles interface {
	// GrantDefault gives a role. A person who has it already keeps it: that is no
	// error.
	GrantDefault(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, role string) error
	// CheckDefault tells what GrantDefault would refuse of a role, whoever gets it.
	CheckDefault(ctx context.Context, tenant identity.TenantID, role string) error
	// Held names the roles that a principal has at this moment, account-wide and in
	// teams. It is asked for requests of tenants whose roles have networks.
	Held(ctx context.Context, p *identity.Principal) ([]string, error)
}

// Config names what signing in is built of. All parts are required, save
// those that say otherwise.
type Config struct {
	Store     Stores
	Keys      Keys
	Journal   audit.Recorder
	Refusals  Refusals
	Tenants   Tenants
	Directory Directory
	Sessions  Sessions
	Devices   Devices
	Tokens    Tokens
	Clients   Clients
	Machines  Machines
	Roles     Roles
	Factors   Factors
	Protocols map[tenants.ConnectionType]Protocol
	// Signals reads security events; nil: none are heard.
	Signals SignalReader
	Log     *slog.Logger
	// Throttle counts how often sign-ins are begun, on all nodes; nil: this one alone.
	Throttle Throttle
	// StartsPerSecond and StartBurst limit how often one client network may
	// begin a sign-in, TenantStartsPerSecond and TenantStartBurst how often all of
	// them at one tenant before each gets less; 0 means the defaults.
	StartsPerSecond, TenantStartsPerSecond float64
	StartBurst, TenantStartBurst           int
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Service is signing in and out, for every tenant. It must be closed.
type Service struct {
	flows     *flows
	codes     *deviceCodes
	starts    *starts
	journal   audit.Recorder
	refusals  Refusals
	tenants   Tenants
	directory Directory
	sessions  Sessions
	devices   Devices
	tokens    Tokens
	clients   Clients
	machines  Machines
	roles     Roles
	factors   Factors
	protocols map[tenants.ConnectionType]Protocol
	signals   SignalReader
	log       *slog.Logger
	now       func() time.Time
	handler   http.Handler
}

// New makes the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		flows:     &flows{stores: c.Store, keys: c.Keys, now: c.Now},
		codes:     &deviceCodes{stores: c.Store, now: c.Now},
		starts:    newStarts(c),
		journal:   c.Journal,
		refusals:  c.Refusals,
		tenants:   c.Tenants,
		directory: c.Directory,
		sessions:  c.Sessions,
		devices:   c.Devices,
		tokens:    c.Tokens,
		clients:   c.Clients,
		machines:  c.Machines,
		roles:     c.Roles,
		factors:   c.Factors,
		protocols: maps.Clone(c.Protocols),
		signals:   c.Signals,
		log:       c.Log,
		now:       c.Now,
	}
	s.handler = s.routes()
	return s
}

// Forget drops what is known of a tenant that is deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	for _, p := range s.protocols {
		p.Forget(tenant)
	}
	if s.signals != nil {
		s.signals.Forget(tenant)
	}
}

// Close ends what is asked of identity providers.
func (s *Service) Close() {
	for _, p := range s.protocols {
		p.Close()
	}
	if s.signals != nil {
		s.signals.Close()
	}
}

// Handler serves our addresses. Requests must have passed the gate
// ([httpkit.WithRequest]).
func (s *Service) Handler() http.Handler { return s.handler }

// routes mounts every address. The pages take no cross-origin POST; the
// assertion consumer service must, and proves its step instead, as single logout
// goes by what is signed. The back channel and signals look at no cookie.
func (s *Service) routes() http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(s.handle(refuseCrossOrigin))

	mux := http.NewServeMux()
	mux.Handle("GET "+tenants.LogoPath, s.handle(s.logo))
	mux.Handle("GET "+pathLogin, s.handle(s.login))
	mux.Handle("POST "+pathLogin, sameOrigin.Handler(s.handle(s.loginByEmail)))
	mux.Handle("GET "+pathLogout, s.handle(s.askToSignOut))
	mux.Handle("POST "+pathLogout, sameOrigin.Handler(s.handle(s.signOut)))
	mux.Handle("GET "+pathDevices, s.handle(s.showDevices))
	mux.Handle("POST "+pathDevices, sameOrigin.Handler(s.handle(s.endDevices)))
	mux.Handle("GET "+pathMFA, s.handle(s.showFactors))
	mux.Handle("POST "+pathMFA, sameOrigin.Handler(s.handle(s.takeFactor)))
	mux.Handle("GET "+pathOIDC+"{connection}/callback", s.handle(s.answer(tenants.OIDC)))
	mux.Handle("GET "+pathOIDC+"{connection}/jwks.json", s.handle(s.clientKeys))
	mux.Handle("GET "+pathOIDC+"{connection}/frontchannel-logout", s.handle(s.frontChannel))
	mux.Handle("POST "+pathOIDC+"{connection}/backchannel-logout", s.handle(s.backChannel))
	mux.Handle("GET "+pathOAuth2+"{connection}/callback", s.handle(s.answer(tenants.OAuth2)))
	mux.Handle("POST "+pathSAML+"{connection}/acs", s.handle(s.answer(tenants.SAML)))
	mux.Handle("GET "+pathSAML+"{connection}/acs", s.handle(s.carryOn(tenants.SAML)))
	mux.Handle("GET "+pathSAML+"{connection}/slo", s.handle(s.singleLogout))
	mux.Handle("POST "+pathSAML+"{connection}/slo", s.handle(s.singleLogout))
	mux.Handle("GET "+pathSAML+"{connection}/metadata", s.handle(s.metadata))
	mux.Handle("POST "+pathSignals+"{connection}", s.handle(s.receiveSignal))
	mux.Handle("GET "+PathLocal, s.handle(s.serveLocal))
	mux.Handle("POST "+PathLocal, sameOrigin.Handler(s.handle(s.serveLocal)))
	mux.Handle("GET "+PathPassword, s.handle(s.servePassword))
	mux.Handle("POST "+PathPassword, sameOrigin.Handler(s.handle(s.servePassword)))
	s.routeDevices(mux, sameOrigin)
	return httpkit.Routed(mux)
}

// handle serves h; a refusal has its record before its reader has its page,
// which names it.
func (s *Service) handle(h httpkit.HandlerFunc) http.Handler {
	return httpkit.Handle(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Accept-CH", wantedHints) // RFC 8942 §3.1
		err := h(w, r)
		if f, ok := errors.AsType[*fault.Fault](err); ok && f.Event == "" {
			switch f.Kind {
			case fault.Denied, fault.Unauthenticated, fault.TooMany, fault.Invalid, fault.TooLarge:
				return s.turnedAway(r, f)
			}
		}
		return err
	})
}

// endpointsOf gives our addresses of a connection, as the identity provider
// knows them.
func endpointsOf(origin string, c tenants.Connection) Endpoints {
	if c.Type == tenants.SAML {
		at := origin + pathSAML + c.Name
		return Endpoints{Callback: at + "/acs", Metadata: at + "/metadata", Logout: at + "/slo", SignedOut: origin + pathLogout}
	}
	if c.Type == tenants.Local {
		return Endpoints{Callback: origin + PathLocal, SignedOut: origin + pathLogout}
	}
	protocol := pathOIDC
	if c.Type == tenants.OAuth2 {
		protocol = pathOAuth2
	}
	return Endpoints{Callback: origin + protocol + c.Name + "/callback", SignedOut: origin + pathLogout}
}
