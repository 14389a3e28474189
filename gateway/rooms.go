package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/api"
	"gatehouse/assertion/mint"
	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/authn/machine"
	"gatehouse/authn/mfa"
	"gatehouse/authn/oauth2"
	"gatehouse/authn/oidc"
	"gatehouse/authn/saml"
	"gatehouse/authn/setup"
	"gatehouse/authn/signals"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/configs"
	"gatehouse/console"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/directory/feed"
	"gatehouse/directory/google"
	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/record"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/throttle"
	"gatehouse/machines"
	"gatehouse/proxy"
	"gatehouse/proxy/upstream"
	"gatehouse/scim"
	"gatehouse/scim/recorder"
	"gatehouse/sessions"
	"gatehouse/sessions/shared"
	"gatehouse/tenants"
	"gatehouse/webhooks"
)

// sessionConnections bounds the connections to Redis that look up sessions.
const sessionConnections = 32

// limitConnections bounds those that ask what the nodes limit together.
const limitConnections = 16

// pollPatience is how long a transmitter of signals may keep a poll waiting.
const pollPatience = 30 * time.Second

// rooms are the parts of one gateway, opened in the order of their floors.
type rooms struct {
	keys      *keys.Ring
	store     *store.DB
	journal   *audit.Journal
	refusals  *audit.Refusals
	index     *audit.Index
	minter    *mint.Minter
	tenants   *tenants.Service
	nodes     *nodes
	shared    redis.UniversalClient // of the registry that several nodes share; or nil
	limits    redis.UniversalClient // of what the nodes limit together; or nil
	sessions  *sessions.Service
	brake     *brake.Service
	feed      *feed.Service
	directory *directory.Service
	authz     *authz.Engine
	tokens    *token.Service
	expiring  *token.Watch
	factors   *mfa.Service
	accounts  *local.Service
	services  *machines.Service
	machines  *machine.Verifier
	authn     *authn.Service
	setup     *setup.Service
	scim      *scim.Service
	recorder  *recorder.Service
	google    *google.Service
	api       *api.API
	egress    *httpkit.Egress
	waits     *httpkit.Egress // for answers that may take long
	polls     *signals.Poller
	oidc      *oidc.Protocol
	saml      *saml.Protocol
	samlWatch *saml.Watch
	rechecks  *authn.Rechecks
	webhooks  *webhooks.Service
	apps      apps
	front     *proxy.Gate
	readiness *readiness
	alerts    *alerts
	roster    *roster
}

// openRooms opens every part that serves tenants; after an error nothing is
// left open.
func openRooms(ctx context.Context, cfg *configs.Config, log *slog.Logger) (_ *rooms, err error) {
	r := &rooms{apps: apps{next: make(chan *upstream.Pool)}}
	defer func() { //nolint:contextcheck // what is open must be closed however ctx ended
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.keys, err = openKeys(ctx, cfg); err != nil {
		return nil, err
	}
	r.store, err = store.Open(ctx, string(cfg.Store), store.Options{
		Keys: r.keys, Owner: string(cfg.StoreOwner), Environment: cfg.Environment,
		Alone: alone(cfg),
	})
	if err != nil {
		return nil, err
	}
	node, err := nodeName(cfg.Data)
	if err != nil {
		return nil, err
	}
	if r.journal, err = audit.Open(audit.Options{Dir: JournalDir(cfg.Data), Node: node, Keys: r.keys, Log: log}); err != nil {
		return nil, err
	}
	r.refusals = audit.NewRefusals(r.journal)
	r.index = audit.NewIndex(r.journal, r.store)
	if !alone(cfg) {
		r.index.HearOthers()
	}
	if r.minter, err = mint.New(ctx, mint.Config{System: r.store.System(), Keys: r.keys, Log: log}); err != nil {
		return nil, err
	}
	r.alerts = newAlerts(node, r.journal, log)
	registry, err := r.meet(ctx, cfg, node, log)
	if err != nil {
		return nil, err
	}
	r.tenants, err = tenants.New(ctx, tenants.Config{Store: r.store, Keys: r.keys, Journal: r.journal, Rooms: inhabited{r},
		PlatformHost: cfg.Operator.Host, Announce: r.nodes.AnnounceTenant, Resolver: resolver(cfg), Log: log})
	if err != nil {
		return nil, err
	}
	r.sessions = sessions.New(sessions.Config{Store: r.store, Keys: r.keys, Journal: r.journal, Limits: r.sessionLimits, Node: node, Carry: authn.CarryAllowed, Withhold: authn.Withhold,
		Dir: filepath.Join(cfg.Data, unsettledName), Registry: registry, Log: log})
	r.brake, r.feed = r.newBrake(alone(cfg), log), r.newFeed(log)
	people := directory.Config{Store: r.store, Journal: r.journal, Sessions: leavers{r}, Withdraw: authz.Withdraw, Retire: local.Retire, Brake: r.brake, Roles: authz.Given{}, Feed: r.feed, Past: r.journal, Retain: r.retained, Erase: erase, Announce: r.announcePeople}
	if !alone(cfg) {
		people.Elsewhere = r.nodes.Person
	}
	r.directory = directory.New(people)
	r.feed.Join(r.directory)
	r.authz = authz.New(authz.Config{Store: r.store, Journal: r.journal, People: r.directory, Announce: r.nodes.AnnouncePolicy})
	together := throttle.New(r.limits, cfg.Environment, log)
	r.tokens = token.New(token.Config{Store: r.store, Journal: r.journal, Streams: openStreams{r}, Connections: r.tenants, Announce: r.nodes.AnnounceTokens, Throttle: together,
		Tenants: r.served, Log: log})
	r.expiring = token.NewWatch(r.tokens, r.served, log)
	r.egress = httpkit.NewEgress(httpkit.EgressOptions{Allow: cfg.Egress.Allow, Deny: cfg.Egress.Deny})
	r.webhooks = webhooks.New(webhooks.Config{Feed: r.feed, Client: r.egress.Client(), Throttle: together, Tenants: r.served, Serves: r.serves, Log: log})
	r.feed.Watch(r.webhooks.Wake)
	r.services = machines.New(machines.Config{Store: r.store, Keys: r.keys, Journal: r.journal, Streams: serviceStreams{openStreams{r}}})
	r.machines = machine.New(machine.Config{Services: r.services, Connections: r.tenants, Client: r.egress.Client()})
	r.signIn(cfg, together, log)
	r.recorder = recorder.New(recorder.Config{Store: r.store, Keys: r.keys, Node: node, Tenants: r.served, Log: log})
	r.scim = scim.New(scim.Config{Directory: r.directory, Tokens: r.tokens, Keys: r.keys, Permissions: r.authz, Journal: r.journal, Refusals: r.refusals, Throttle: together, Rates: r.scimRates, Recorder: r.recorder, Schemas: r.scimSchemas})
	r.google = google.New(google.Config{Store: r.store, Keys: r.keys, Journal: r.journal, SCIM: r.scim, Client: r.egress.Client(), Tenants: r.served, Serves: r.serves, Log: log})
	r.api, err = api.New(api.Config{
		Callers: callers{r.authn}, Policy: r.authz, Journal: r.journal, Refusals: r.refusals, Log: r.index,
		Sessions: r.sessions, People: r.directory, Brake: r.brake, SCIMRequests: scimRequests{r.scim, r.recorder}, Google: r.google, Feed: r.feed, Webhooks: r.feed, Sender: r.webhooks, Tenants: r.tenants, Connections: r.tenants, Trials: r.authn, SetupLinks: setupLinks{r.setup}, Tokens: tokens{r.tokens}, Services: r.services, Factors: factors{r.factors}, LocalAccounts: localAccounts{r.accounts}, Health: health{r}, SAML: samlKeys{r.saml}, OIDC: oidcKeys{r.oidc},
		Port: cfg.Listen.Port(),
	})
	return r, err
}

// alone reports whether this gateway is the only node of its environment.
func alone(cfg *configs.Config) bool { return cfg.Registry == "local" || cfg.Registry == "" }

// meet joins this gateway to the other nodes, if there are any to be, and makes
// the registry of sessions that goes with them.
func (r *rooms) meet(ctx context.Context, cfg *configs.Config, node string, log *slog.Logger) (sessions.Registry, error) {
	if alone(cfg) {
		r.nodes = newNodes(cluster.NewAlone(node), r, log)
		r.roster = newRoster(node, cfg.Environment, nil, log)
		return sessions.NewLocal(node, log), nil
	}
	arbiter, err := record.New(ctx, r.store.System())
	if err != nil {
		return nil, err
	}
	bus, err := cluster.NewRedis(cluster.Options{URL: string(cfg.Registry), Node: node, Environment: cfg.Environment,
		Arbiter: arbiter, Log: log})
	if err != nil {
		return nil, err
	}
	r.nodes = newNodes(bus, r, log)
	if r.shared, err = cluster.Connect(string(cfg.Registry), sessionConnections); err != nil {
		return nil, err
	}
	r.roster = newRoster(node, cfg.Environment, r.shared, log)
	if r.limits, err = cluster.Connect(string(cfg.Registry), limitConnections); err != nil {
		return nil, err
	}
	return shared.New(shared.Options{ //nolint:contextcheck // it works until it is closed, whatever becomes of the start
		Node: node, Environment: cfg.Environment, Bus: bus, Redis: r.shared, Keys: r.keys,
		Record: sessions.NewRecord(r.store), Log: log}), nil
}

// signIn joins the protocols to the sign-in flow.
func (r *rooms) signIn(cfg *configs.Config, together *throttle.Throttle, log *slog.Logger) {
	fetch := r.egress.Client()
	r.oidc = oidc.New(oidc.Config{Store: r.store, Keys: r.keys, Journal: r.journal, Client: fetch})
	r.saml = saml.New(saml.Config{Store: r.store, Keys: r.keys, Journal: r.journal, Client: fetch})
	r.samlWatch = saml.NewWatch(r.saml, r.tenants, log)
	r.factors = mfa.New(mfa.Config{Store: r.store, Keys: r.keys, Journal: r.journal})
	r.accounts = local.New(local.Config{Store: r.store, Keys: r.keys, Journal: r.journal, Refusals: r.refusals, Tenants: r.tenants, Factors: r.factors,
		Sessions: r.sessions, Policy: r.authz, Programs: r.program, Log: log, Throttle: together, Cost: passwordCost})
	r.authn = authn.New(authn.Config{
		Store: r.store, Keys: r.keys, Journal: r.journal, Refusals: r.refusals, Tenants: r.tenants,
		Directory: r.directory, Sessions: r.sessions, Devices: r.sessions, Tokens: r.tokens, Clients: r.tokens, Machines: r.machines, Roles: r.authz, Factors: r.factors, Log: log,
		Protocols: map[tenants.ConnectionType]authn.Protocol{
			tenants.OIDC:   r.oidc,
			tenants.SAML:   r.saml,
			tenants.OAuth2: oauth2.New(oauth2.Config{Client: fetch, Log: log}),
			tenants.Local:  r.accounts,
		},
		Signals:  signals.New(fetch, time.Now),
		Throttle: together,
	})
	r.setup = setup.New(setup.Config{Store: r.store, Journal: r.journal, Refusals: r.refusals, Tenants: r.tenants, Trials: r.authn, Sessions: r.sessions, People: r.directory})
	r.waits = httpkit.NewEgress(httpkit.EgressOptions{Allow: cfg.Egress.Allow, Deny: cfg.Egress.Deny, Patience: pollPatience})
	r.polls = signals.NewPoller(signals.PollerConfig{Receiver: r.authn, Tenants: r.tenants, Store: r.store, Client: r.waits.Client(), Log: log})
	r.rechecks = authn.NewRechecks(authn.RechecksConfig{Service: r.authn, Refreshes: r.sessions, Tenants: r.tenants})
}

// sessionLimits gives a tenant's limits of this moment.
func (r *rooms) sessionLimits(tenant identity.TenantID) (l sessions.Limits) {
	if t, ok := r.tenants.ByID(tenant); ok {
		set := t.Settings.Session
		l.Idle, l.Absolute = set.Limits()
		l.PerPerson, l.Refuse = set.MaxPerPerson, set.WhenFull == tenants.RefuseMore
	}
	return l
}

// gate joins what serves a request.
func (r *rooms) gate(cfg *configs.Config, begin proxy.Settings, ready func(identity.TenantID) error, log *slog.Logger) (err error) {
	r.front, err = proxy.New(proxy.Config{
		Tenants: r.tenants,
		Caller: func(req *http.Request) (*identity.Principal, *sessions.Live, error) {
			c, err := r.authn.Caller(req)
			return c.Principal, c.Live, err
		},
		Admits: r.authn.Admits, SignInURL: r.authn.SignInURL, SignInAgainURL: r.authn.SignInAgainURL, FactorURL: r.authn.FactorURL, Decider: r.authz, Journal: r.journal, Refusals: r.refusals,
		Minter: r.minter, Own: r.own(), Ready: ready, Memory: r.nodes,
		Headers: proxy.HeaderNames(cfg.App.Headers), Settings: begin, Log: log,
	})
	return err
}

// own serves our own addresses on every tenant's host.
func (r *rooms) own() http.Handler {
	readOnly := http.NewServeMux()
	readOnly.Handle("GET /.gatehouse/console/", signedIn(r.authn, console.Handler()))
	readOnly.Handle("GET /.gatehouse/jwks.json", r.minter)
	reads := httpkit.Routed(readOnly)

	mux := http.NewServeMux()
	for address, h := range map[string]http.Handler{
		"/.gatehouse": r.authn.Handler(), "/.gatehouse/": r.authn.Handler(),
		setup.Path: r.setup.Handler(), setup.Path + "/": r.setup.Handler(), local.PathInvitation: r.accounts.Handler(),
		"/.gatehouse/api": r.api.Handler(), "/.gatehouse/api/": r.api.Handler(),
		"/.gatehouse/console/": reads, "/.gatehouse/jwks.json": reads,
		"/scim/v2": r.scim.Handler(), "/scim/v2/": r.scim.Handler(),
	} {
		mux.Handle(address, h)
	}
	// On the operators' host, which has no app, everything is ours.
	mux.Handle("GET /{$}", http.RedirectHandler("/.gatehouse/console/", http.StatusSeeOther))
	return httpkit.Routed(mux)
}

// background is the work that runs beside requests.
func (r *rooms) background() []func(context.Context) error {
	return []func(context.Context) error{
		r.nodes.bus.Run, r.nodes.Run, r.roster.Run, r.alerts.Run, r.store.Run, r.journal.Run, r.refusals.Run, r.index.Run, r.minter.Run, r.sessions.Run, r.tokens.Run,
		r.polls.Run, r.samlWatch.Run, r.rechecks.Run, r.brake.Run, r.expiring.Run, r.feed.Run, r.webhooks.Run, r.recorder.Run, r.google.Run, r.reconcile, r.eraseOverdue,
	}
}

// close closes what is open, the journal after what still writes to it and the
// store last.
func (r *rooms) close() error {
	var errs []error
	if r.authn != nil {
		r.authn.Close()
	}
	if r.machines != nil {
		r.machines.Close()
	}
	if r.sessions != nil {
		errs = append(errs, r.sessions.Close())
	}
	if r.nodes != nil {
		errs = append(errs, r.nodes.bus.Close())
	}
	if r.shared != nil {
		errs = append(errs, r.shared.Close())
	}
	if r.limits != nil {
		errs = append(errs, r.limits.Close())
	}
	if r.journal != nil {
		errs = append(errs, r.journal.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}
