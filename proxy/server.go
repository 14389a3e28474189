package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/internal/httpkit"
)

// The times and sizes that bound a connection, whatever is sent on it.
const (
	headTimeout  = 10 * time.Second // from the first byte to the end of a request's head; the TLS handshake, too
	idleTimeout  = 2 * time.Minute  // between two requests
	plainTimeout = 10 * time.Second // for all of a plain HTTP exchange, which is only a redirect
	drainDefault = 30 * time.Second
	lastMoment   = 2 * time.Second // for tunnels to say goodbye once the drain is over
)

// Limits of one HTTP/2 connection (RFC 9113 §6.5.2). The receive buffers bound
// what uploads can pile up in memory.
const (
	maxStreams       = 250
	maxFrame         = 64 << 10
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
	pingAfter        = 30 * time.Second
)

// Certificates finds the certificate for a handshake by its server name.
type Certificates interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ServerConfig is what a [Server] is made of.
type ServerConfig struct {
	Gate  *Gate
	HTTPS string       // address of the TLS listener
	HTTP  string       // address of the listener that redirects to it; empty: none
	Port  int          // at which browsers reach the first, for the second; 0: the one it has got
	Log   *slog.Logger // nil: slog.Default()
	// Authorities gives those whose client certificates are asked for at a host; nil:
	// none are asked for there. A nil function asks nowhere.
	Authorities func(ctx context.Context, host string) *x509.CertPool

	Terms // to begin with; see Server.Apply
}

// Terms are what a connection goes by. Zero values but that of the certificates
// mean the defaults named beside them.
type Terms struct {
	Certificates Certificates  // of a type that == compares
	MinTLS       uint16        // tls.VersionTLS12 (the default) or tls.VersionTLS13
	HeadTimeout  time.Duration // from the first byte to the end of a request's head; 10 s
	IdleTimeout  time.Duration // between two requests; 2 min
	Drain        time.Duration // how long requests under way may take at the end; 30 s
	// Notice is how long connections are still taken once the end is known, so
	// that whoever spreads clients over nodes can look elsewhere; none.
	Notice time.Duration
}

// Server is the gate's listeners.
type Server struct {
	gate      *Gate
	log       *slog.Logger
	https     *net.TCPListener
	plain     net.Listener
	redirects *http.Server

	authorities func(context.Context, string) *x509.CertPool

	terms   atomic.Pointer[terms]
	changed chan struct{} // the terms are others than those of the front
}

// terms are the Terms of one moment, and those of the gate's limits that
// net/http fixes for a connection.
type terms struct {
	Terms
	headBytes int
	writeIdle time.Duration
}

// Apply makes the terms, and the gate's limits of this moment, those of all
// connections from now on. One that is open ends with its next answer, and its
// client connects again.
func (s *Server) Apply(t Terms) {
	limits := s.gate.settings.Load().Limits
	next := &terms{Terms: t, headBytes: limits.HeaderBytes + limits.TargetBytes, writeIdle: limits.WriteIdle}
	next.HeadTimeout = cmp.Or(t.HeadTimeout, headTimeout)
	next.IdleTimeout = cmp.Or(t.IdleTimeout, idleTimeout)
	next.Drain = cmp.Or(t.Drain, drainDefault)
	next.MinTLS = max(t.MinTLS, tls.VersionTLS12)
	before := s.terms.Swap(next)
	if before == nil || next.sameFor(*before) {
		return
	}
	select {
	case s.changed <- struct{}{}:
	default: // it is told already
	}
}

// sameFor reports whether a connection cannot tell the two apart.
func (t terms) sameFor(other terms) bool {
	other.Drain, other.Notice = t.Drain, t.Notice
	return t == other
}

// Listen binds the addresses; nothing is served before Run.
func Listen(ctx context.Context, c ServerConfig) (*Server, error) {
	if c.Gate == nil || c.Certificates == nil {
		return nil, errors.New("proxy: a server needs a gate and certificates")
	}
	s := &Server{gate: c.Gate, log: cmp.Or(c.Log, slog.Default()), changed: make(chan struct{}, 1), authorities: c.Authorities}
	s.Apply(c.Terms)
	var listen net.ListenConfig
	https, err := listen.Listen(ctx, "tcp", c.HTTPS)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	s.https = https.(*net.TCPListener) //nolint:errcheck,forcetypeassert // listening on "tcp" gives no other
	if c.HTTP != "" {
		if s.plain, err = listen.Listen(ctx, "tcp", c.HTTP); err != nil {
			return nil, errors.Join(fmt.Errorf("proxy: %w", err), s.https.Close())
		}
	}
	s.redirects = s.newRedirects(cmp.Or(c.Port, https.Addr().(*net.TCPAddr).Port)) //nolint:errcheck,forcetypeassert // as above
	return s, nil
}

// Addr is the address of the TLS listener.
func (s *Server) Addr() net.Addr { return s.https.Addr() }

// PlainAddr is the address of the redirecting listener; nil if there is none.
func (s *Server) PlainAddr() net.Addr {
	if s.plain == nil {
		return nil
	}
	return s.plain.Addr()
}

// newFront makes the front for the terms.
func (s *Server) newFront(t *terms) *front {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	f := &front{server: s, lent: lent{TCPListener: s.https}}
	f.Server = http.Server{
		Handler:           f,
		ConnContext:       withSocket,
		ConnState:         f.count,
		ReadHeaderTimeout: t.HeadTimeout,
		IdleTimeout:       t.IdleTimeout,
		// Not for the whole of an answer: streams move it on as they write.
		WriteTimeout: t.writeIdle,
		// net/http allows 4 KiB on top, and a request over it gets 431.
		MaxHeaderBytes: t.headBytes,
		Protocols:      protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              maxFrame,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   headTimeout,
			WriteByteTimeout:              t.writeIdle,
		},
		// "OPTIONS *" is not for the app, and no request is answered but by the gate.
		DisableGeneralOptionsHandler: true,
		TLSConfig:                    s.asking(t.tlsConfig()),
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return f
}

// tlsConfig allows TLS 1.2 with forward secrecy and authenticated encryption
// only, and 1.3 (RFC 9325 §4.2).
func (t *terms) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     t.MinTLS,
		GetCertificate: t.Certificates.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}

func (s *Server) newRedirects(port int) *http.Server {
	return &http.Server{
		Handler:                      redirect(port),
		ReadTimeout:                  plainTimeout,
		WriteTimeout:                 plainTimeout,
		IdleTimeout:                  plainTimeout,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Run serves until ctx ends, then drains. For the time of the notice everything is
// served as before, but every connection ends with its next answer. After it there
// are no new connections, WebSockets and event streams are told to connect again,
// and requests under way may finish within the drain time. It returns when nothing
// is served any more.
func (s *Server) Run(ctx context.Context) error {
	group, failed := errgroup.WithContext(ctx)
	if s.plain != nil {
		group.Go(func() error { return served(s.redirects.Serve(s.plain)) })
	}
	group.Go(func() error {
		var fronts []*front
		for {
			f := s.newFront(s.terms.Load()) //nolint:contextcheck // a handshake has a context of its own
			fronts = append(fronts, f)
			accepting := make(chan error, 1)
			go func() {
				defer close(accepting)
				accepting <- served(f.ServeTLS(&f.lent, "", ""))
			}()
			select {
			case <-s.changed:
				err := f.retire()
				if err = errors.Join(err, <-accepting, s.https.SetDeadline(time.Time{})); err != nil {
					return errors.Join(err, s.drain(context.WithoutCancel(ctx), fronts))
				}
				fronts = slices.DeleteFunc(fronts, func(f *front) bool { return f.connections.Load() == 0 })
			case <-failed.Done():
				var err error
				if ctx.Err() != nil {
					err = s.notice(fronts, accepting)
				}
				return errors.Join(err, s.drain(context.WithoutCancel(ctx), fronts), <-accepting)
			case err := <-accepting:
				return errors.Join(err, s.drain(context.WithoutCancel(ctx), fronts))
			}
		}
	})
	return group.Wait()
}

// Close gives the listeners back without having served; after Run it has
// nothing left to do.
func (s *Server) Close() error {
	err := errors.Join(closed(s.https), s.redirects.Close())
	if s.plain != nil {
		err = errors.Join(err, closed(s.plain))
	}
	return err
}

func closed(l net.Listener) error {
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("proxy: %w", err)
}

// notice lets clients go elsewhere before nothing is served any more. A connection
// that a client keeps for its next request could else be closed just when that
// request is on its way (RFC 9112 §9.5). It is over early when accepting is.
func (s *Server) notice(fronts []*front, accepting <-chan error) error {
	for _, f := range fronts {
		f.retired.Store(true)
	}
	over := time.NewTimer(s.terms.Load().Notice)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case err := <-accepting:
		return err
	}
}

func (s *Server) drain(ctx context.Context, fronts []*front) error {
	gone := s.gate.long.restart()
	limited, cancel := context.WithTimeout(ctx, s.terms.Load().Drain)
	defer cancel()
	var group errgroup.Group
	group.Go(func() error { return closed(s.https) })
	group.Go(s.redirects.Close)
	for _, f := range fronts {
		group.Go(func() error {
			if f.Shutdown(limited) == nil {
				return nil
			}
			s.log.WarnContext(ctx, "requests under way were cut at the end of the drain time")
			return f.Close()
		})
	}
	err := group.Wait()
	moment, cancelMoment := context.WithTimeout(ctx, lastMoment)
	defer cancelMoment()
	select {
	case <-gone:
	case <-moment.Done():
		s.log.WarnContext(ctx, "a stream did not end with the gate")
	}
	return err
}

// redirect sends plain HTTP to the same address over TLS (RFC 9110 §15.4.9:
// the method is kept). The request is checked by the same form as everywhere,
// so that the answer cannot be made to point elsewhere by a malformed host.
func redirect(port int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		if err := httpkit.CheckForm(r, httpkit.FormLimits{Target: 8 << 10}); err != nil {
			httpkit.ReplyError(w, r, err)
			return
		}
		host := canonicalHost(r.Host)
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if port != 0 && port != 443 {
			host += ":" + strconv.Itoa(port)
		}
		w.Header().Set("Location", "https://"+host+r.RequestURI) // visible ASCII, by its form
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}
