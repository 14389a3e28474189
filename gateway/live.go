package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"reflect"

	"golang.org/x/sync/errgroup"

	"gatehouse/authz/routes"
	"gatehouse/configs"
	"gatehouse/internal/httpkit"
	"gatehouse/proxy"
	"gatehouse/proxy/ca"
	"gatehouse/proxy/upstream"
)

// live is what of a config may change while the gateway runs, made ready to
// take effect. It is not changed once it is made.
type live struct {
	config   *configs.Config
	app      upstream.Config
	settings proxy.Settings
	terms    proxy.Terms
	egress   httpkit.EgressOptions
}

// prepare makes a config ready. What it says as the one before did is kept: the
// app's connections and health, and the certificates. before may be nil.
func (r *rooms) prepare(cfg *configs.Config, before *live, log *slog.Logger) (*live, error) {
	limits := cfg.Limits
	l := &live{config: cfg, egress: httpkit.EgressOptions{Allow: cfg.Egress.Allow, Deny: cfg.Egress.Deny}}
	l.app = upstream.Config{URLs: cfg.App.Upstreams, DialTimeout: limits.ConnectTimeout, HeaderTimeout: limits.AnswerTimeout,
		WriteTimeout: limits.StallTimeout, HealthPath: cfg.App.Health, Log: log}
	l.settings = proxy.Settings{TrustedProxies: cfg.Listen.TrustedProxies, Limits: proxy.Limits{
		HeaderBytes: int(limits.HeaderBytes), BodyBytes: bodyLimit(limits.BodyBytes),
		Requests: limits.Requests, PerClient: limits.RequestsPerClient, StrangerRate: limits.RatePerClient,
		BodyTime: limits.BodyTimeout, BodyRate: int64(limits.BodyRate), BodyIdle: limits.StallTimeout, WriteIdle: limits.StallTimeout}}
	l.terms = proxy.Terms{MinTLS: tls.VersionTLS12,
		HeadTimeout: limits.HeaderTimeout, IdleTimeout: limits.IdleTimeout, Drain: limits.DrainTimeout}
	l.settings.HSTS = proxy.HSTS{MaxAge: cfg.TLS.HSTS, Subdomains: cfg.TLS.HSTSSubdomains}
	if !alone(cfg) {
		l.terms.Notice = limits.DrainNotice // else there is nowhere else to go
	}
	if cfg.TLS.MinVersion == "1.3" {
		l.terms.MinTLS = tls.VersionTLS13
	}
	var err error
	if l.settings.Routes, err = compileRoutes(cfg.App.Routes); err != nil {
		return nil, err
	}
	if before != nil && reflect.DeepEqual(l.app, before.app) {
		l.settings.App = before.settings.App
	} else if l.settings.App, err = upstream.New(l.app); err != nil {
		return nil, err
	}
	if before != nil && cfg.TLS.Mode == before.config.TLS.Mode && reflect.DeepEqual(cfg.TLS.Certificates, before.config.TLS.Certificates) {
		l.terms.Certificates = before.terms.Certificates
	} else if l.terms.Certificates, err = r.certificates(cfg, log); err != nil {
		return nil, err
	}
	return l, nil
}

// bodyLimit translates "0: the app decides", which the gate writes as a
// negative limit.
func bodyLimit(size configs.Size) int64 {
	if size == 0 {
		return -1
	}
	return int64(size)
}

func compileRoutes(configured []configs.Route) (*routes.Table, error) {
	specs := make([]routes.Spec, len(configured))
	for i, route := range configured {
		specs[i] = routes.Spec{Path: route.Path, Access: route.Access, Permission: route.Permission, StepUp: route.StepUp, StepUpAge: route.StepUpAge, Methods: route.Methods}
	}
	return routes.Compile(specs)
}

// certificates opens those that the config asks for.
func (r *rooms) certificates(cfg *configs.Config, log *slog.Logger) (proxy.Certificates, error) {
	if cfg.TLS.Mode != configs.TLSFiles {
		return ca.Open(filepath.Join(cfg.Data, caName), func(host string) bool {
			_, ok := r.tenants.ByHost(host)
			return ok
		})
	}
	var set proxy.CertSet
	for _, pair := range cfg.TLS.Certificates {
		files, err := proxy.OpenCertFiles(pair.Cert, pair.Key, log)
		if err != nil {
			return nil, err
		}
		set = append(set, files)
	}
	return &set, nil
}

// apps keeps the pool of the app's servers that is in use, one after another.
type apps struct{ next chan *upstream.Pool }

// Run looks after a pool until the next comes: the one before keeps no
// connection that is idle from then on, and exchanges under way go on.
func (a apps) Run(ctx context.Context, pool *upstream.Pool) error {
	var group errgroup.Group
	for {
		running, retire := context.WithCancel(ctx)
		run := pool.Run
		group.Go(func() error { return run(running) })
		select {
		case <-ctx.Done():
			retire()
			return group.Wait()
		case next := <-a.next:
			retire()
			pool = next
		}
	}
}
