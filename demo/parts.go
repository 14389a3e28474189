package demo

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"gatehouse/assertion"
	"gatehouse/demo/app"
	"gatehouse/demo/oidcidp"
	"gatehouse/demo/samlidp"
)

// part is one of the demo's own HTTP servers, on loopback.
type part struct {
	server *http.Server
	done   chan struct{}
	stop   context.CancelFunc
}

// listen opens a part's port: the one it had before, if that is free, so that
// addresses stay the same over a restart.
func listen(ctx context.Context, before int) (net.Listener, error) {
	var config net.ListenConfig
	if before != 0 {
		if l, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", before)); err == nil {
			return l, nil
		}
	}
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return l, nil
}

// serve starts a handler on a listener. Streams end when the part is closed.
func serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) *part {
	ctx, stop := context.WithCancel(ctx)
	p := &part{done: make(chan struct{}), stop: stop, server: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	go func() {
		defer close(p.done)
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("demo server ended", "error", err)
		}
	}()
	return p
}

// close ends the part and everything it had open.
func (p *part) close() error {
	p.stop()
	err := p.server.Close()
	<-p.done
	return err
}

func urlOf(l net.Listener) string { return "http://" + l.Addr().String() }

func portOf(l net.Listener) int {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

func newOIDC(issuer string, key *ecdsa.PrivateKey, back http.RoundTripper, log *slog.Logger) (*oidcidp.Provider, error) {
	return oidcidp.New(oidcidp.Options{Issuer: issuer, Key: key, Accounts: customers[0].accounts(), BackChannel: back, Log: log})
}

func newSAML(base string, s *state, log *slog.Logger) (*samlidp.Provider, error) {
	return samlidp.New(samlidp.Options{URL: base, Key: s.samlKey, Certificate: s.samlCertificate, Accounts: customers[1].accounts(), Log: log})
}

// newApp makes the app, which verifies assertions by the gate's published keys.
func newApp(keys string, transport http.RoundTripper, log *slog.Logger) (*app.App, error) {
	verifier, err := assertion.NewVerifier(assertion.Options{URL: keys, Client: &http.Client{Transport: transport, Timeout: 10 * time.Second}})
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return app.New(verifier, log), nil
}

// listeners are the ports of the demo's own parts, until a part serves them.
type listeners struct{ app, oidc, saml net.Listener }

// openListeners opens the ports and notes them for the next start.
func openListeners(ctx context.Context, s *state) (_ *listeners, err error) {
	l := &listeners{}
	for _, p := range []struct {
		listener *net.Listener
		port     *int
	}{{&l.app, &s.AppPort}, {&l.oidc, &s.OIDCPort}, {&l.saml, &s.SAMLPort}} {
		if *p.listener, err = listen(ctx, *p.port); err != nil {
			l.closeUnserved()
			return nil, err
		}
		*p.port = portOf(*p.listener)
	}
	return l, nil
}

// take hands a listener over to the part that serves and closes it.
func take(from *net.Listener) net.Listener {
	taken := *from
	*from = nil
	return taken
}

func (l *listeners) closeUnserved() {
	for _, listener := range []net.Listener{l.app, l.oidc, l.saml} {
		if listener != nil {
			_ = listener.Close() // nobody has connected
		}
	}
}
