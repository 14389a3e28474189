package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/configs"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/telemetry"
	"gatehouse/machines"
	"gatehouse/proxy"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// platform is the tenant whose parts every other tenant needs as well.
const platform = identity.Platform

// Options are what a gateway is started with beside its config.
type Options struct {
	Log     *slog.Logger // nil: slog.Default()
	Version string
	// ConfigFile is what the config was loaded from. It is followed while the
	// gateway runs: its live keys take effect when the file changes, or at once
	// when Reload (SIGHUP) says so. Empty: nothing is followed.
	ConfigFile string
	Reload     <-chan os.Signal
}

// Gateway is one running gateway.
type Gateway struct {
	config    *configs.Config // as it was at the start
	live      *live           // New's, then the follower's
	standing  atomic.Pointer[standing]
	log       *slog.Logger
	version   string
	rooms     *rooms
	readiness *readiness
	metrics   *telemetry.Registry
	server    *proxy.Server
	ops       *http.Server
	opsAt     net.Listener
	socket    *http.Server
	socketAt  net.Listener
	lock      *os.File
	draining  atomic.Bool
	started   time.Time

	configFile string
	hangUp     <-chan os.Signal // asks for the config file to be read again
}

// New opens everything a gateway needs and begins to listen, without serving
// yet; [Gateway.Run] serves. After an error nothing is left open.
func New(ctx context.Context, cfg *configs.Config, o Options) (_ *Gateway, err error) {
	g := &Gateway{config: cfg, log: o.Log, version: o.Version, started: time.Now(), configFile: o.ConfigFile, hangUp: o.Reload, metrics: telemetry.NewRegistry()}
	if g.log == nil {
		g.log = slog.Default()
	}
	defer func() { //nolint:contextcheck // what is open must be closed however ctx ended
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("gateway: data folder: %w", err)
	}
	if g.lock, err = lockFolder(cfg.Data); err != nil {
		return nil, err
	}
	if g.rooms, err = openRooms(ctx, cfg, g.log); err != nil {
		return nil, err
	}
	r := g.rooms
	checks := []check{{"key", r.keys.Check}, {"journal", r.journal.Check}}
	if alone(cfg) {
		checks = append(checks, check{"store", r.store.Check}) // else sessions live on without it, see nodes
	}
	g.readiness = newReadiness(g.log, checks...)
	r.readiness = g.readiness
	if g.live, err = r.prepare(cfg, nil, g.log); err != nil {
		return nil, err
	}
	if err := r.gate(cfg, g.live.settings, g.readiness.Ready, g.log); err != nil {
		return nil, err
	}
	if g.server, err = proxy.Listen(ctx, proxy.ServerConfig{Gate: r.front, HTTPS: cfg.Listen.HTTPS, HTTP: cfg.Listen.HTTP, Port: cfg.Listen.Port(),
		Authorities: r.authorities, Terms: g.live.terms, Log: g.log}); err != nil {
		return nil, err
	}
	g.standing.Store(&standing{profiles: cfg.Listen.Profiles})
	r.roster.self, r.alerts.conditions = g.self, g.watchFor() //nolint:contextcheck // who asks for readiness shares the answer with others
	if err := g.listen(ctx); err != nil {
		return nil, err
	}
	g.observe()
	e := audit.SystemCause().Event(platform, audit.GatewayStarted, audit.Success)
	e.Message = "The gateway started, version " + o.Version + "."
	_, err = r.journal.Commit(ctx, e)
	return g, err
}

// listen opens the operators' listener and the admin socket.
func (g *Gateway) listen(ctx context.Context) (err error) {
	var config net.ListenConfig
	if g.config.Listen.Ops != "" {
		if g.opsAt, err = config.Listen(ctx, "tcp", g.config.Listen.Ops); err != nil {
			return fmt.Errorf("gateway: ops listener: %w", err)
		}
	}
	g.ops = &http.Server{Handler: g.opsHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelWarn)}
	if g.socketAt, err = listenSocket(ctx, filepath.Join(g.config.Data, socketName)); err != nil {
		return err
	}
	// No write timeout: an export or a followed stream may take long, and only
	// the operator's own account reaches the socket.
	g.socket = &http.Server{Handler: g.rooms.api.SocketHandler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelWarn)}
	return nil
}

// Addr is where the gate listens (TLS), as host:port.
func (g *Gateway) Addr() string { return g.server.Addr().String() }

// OpsAddr is where the operators' listener is, as host:port; empty if there is none.
func (g *Gateway) OpsAddr() string {
	if g.opsAt == nil {
		return ""
	}
	return g.opsAt.Addr().String()
}

// Run serves until ctx ends, then drains: first readiness says so, for the config's
// notice before anything else; then WebSockets are told to reconnect, requests under
// way finish within the drain timeout, and everything that was written behind is
// written. Readiness and metrics answer until then, and this node hears the others.
// It closes the gateway before it returns.
func (g *Gateway) Run(ctx context.Context) error {
	// The rooms' background work outlives the last request: what a draining
	// request leaves behind must still be written.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	work, background := errgroup.WithContext(background)
	for _, run := range g.rooms.background() {
		work.Go(func() error { return run(background) })
	}
	work.Go(func() error { return g.readiness.Run(background) })
	app := g.live.settings.App
	work.Go(func() error { return g.rooms.apps.Run(background, app) })

	front, serving := errgroup.WithContext(ctx)
	told, tell := context.WithCancel(context.WithoutCancel(ctx))
	defer tell()
	drained, over := context.WithCancel(context.WithoutCancel(ctx))
	defer over()
	front.Go(func() error {
		<-serving.Done()
		g.draining.Store(true)
		g.rooms.feed.Dismiss() // who waits for changes is not to hold the stop up
		tell()
		return nil
	})
	front.Go(func() error {
		defer over()
		return g.server.Run(told)
	})
	front.Go(func() error {
		// A failure of the background work ends serving: it would fail closed
		// for everybody sooner or later, and a restart is the cleaner way.
		select {
		case <-serving.Done():
			return nil
		case <-background.Done():
			return work.Wait()
		}
	})
	if g.opsAt != nil {
		front.Go(func() error { return serveUntil(drained, g.ops, g.opsAt) })
	}
	front.Go(func() error { return serveUntil(serving, g.socket, g.socketAt) })
	if g.configFile != "" {
		front.Go(func() error { g.follow(serving, g.configFile, g.hangUp); return nil })
	}
	err := front.Wait()

	e := audit.SystemCause().Event(platform, audit.GatewayStopped, audit.Success)
	if _, failed := g.rooms.journal.Commit(context.WithoutCancel(ctx), e); failed != nil {
		g.log.Warn("the stop is not in the journal", "error", failed)
	}
	stop()
	return errors.Join(err, work.Wait(), g.Close()) //nolint:contextcheck // ctx has ended; what is left must still be written
}

// serveUntil serves on l until ctx ends, then gives requests a moment to finish.
func serveUntil(ctx context.Context, s *http.Server, l net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		_ = s.Close() // whoever is still connected loses the connection; nothing else can fail
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close releases everything; it may be called more than once, and after Run
// there is nothing left to do.
func (g *Gateway) Close() error {
	var errs []error
	for _, l := range []net.Listener{g.opsAt, g.socketAt} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if g.server != nil {
		errs = append(errs, g.server.Close())
	}
	if g.rooms != nil {
		errs = append(errs, g.rooms.close())
		g.rooms = nil
	}
	if g.lock != nil {
		errs = append(errs, g.lock.Close())
		g.lock = nil
	}
	return errors.Join(errs...)
}

// Services are the rooms that change a tenant's data, for whoever runs the
// gateway in-process and sets tenants up without HTTP.
type Services struct {
	Tenants   *tenants.Service
	Directory *directory.Service
	Authz     *authz.Engine
	Tokens    *token.Service
	Machines  *machines.Service
	Sessions  *sessions.Service
}

// Services gives the rooms of a gateway that is open.
func (g *Gateway) Services() Services {
	r := g.rooms
	return Services{Tenants: r.tenants, Directory: r.directory, Authz: r.authz, Tokens: r.tokens, Machines: r.services, Sessions: r.sessions}
}
