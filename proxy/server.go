package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
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
	Gate         *Gate
	HTTPS        string // address of the TLS listener
	HTTP         string // address of the listener that redirects to it; empty: none
	Certificates Certificates
	MinTLS       uint16        // tls.VersionTLS12 (the default) or tls.VersionTLS13
	HeadTimeout  time.Duration // from the first byte to the end of a request's head; 10 s
	IdleTimeout  time.Duration // between two requests of a connection; 2 min
	Drain        time.Duration // how long requests under way may take at the end; 30 s
	Log          *slog.Logger  // nil: slog.Default()
}

// Server is the gate's listeners.
type Server struct {
	config    ServerConfig
	https     net.Listener
	plain     net.Listener
	secured   *http.Server
	redirects *http.Server
}

// Listen binds the addresses; nothing is served before Run.
func Listen(ctx context.Context, c ServerConfig) (*Server, error) {
	if c.Gate == nil || c.Certificates == nil {
		return nil, errors.New("proxy: a server needs a gate and certificates")
	}
	c.HeadTimeout = cmp.Or(c.HeadTimeout, headTimeout)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, idleTimeout)
	c.Drain = cmp.Or(c.Drain, drainDefault)
	c.MinTLS = max(c.MinTLS, tls.VersionTLS12)
	c.Log = cmp.Or(c.Log, slog.Default())
	s := &Server{config: c}
	var listen net.ListenConfig
	var err error
	if s.https, err = listen.Listen(ctx, "tcp", c.HTTPS); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if c.HTTP != "" {
		if s.plain, err = listen.Listen(ctx, "tcp", c.HTTP); err != nil {
			return nil, errors.Join(fmt.Errorf("proxy: %w", err), s.https.Close())
		}
	}
	s.secured = s.newSecured()
	s.redirects = s.newRedirects()
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

func (s *Server) newSecured() *http.Server {
	limits := s.config.Gate.config.Limits
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           s.config.Gate,
		ConnContext:       withSocket,
		ReadHeaderTimeout: s.config.HeadTimeout,
		IdleTimeout:       s.config.IdleTimeout,
		// Not for the whole of an answer: streams move it on as they write.
		WriteTimeout: limits.WriteIdle,
		// net/http allows 4 KiB on top, and a request over it gets 431.
		MaxHeaderBytes: limits.HeaderBytes + limits.TargetBytes,
		Protocols:      protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              maxFrame,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   headTimeout,
			WriteByteTimeout:              limits.WriteIdle,
		},
		// "OPTIONS *" is not for the app, and no request is answered but by the gate.
		DisableGeneralOptionsHandler: true,
		TLSConfig:                    s.tlsConfig(),
		ErrorLog:                     slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
}

// tlsConfig allows TLS 1.2 with forward secrecy and authenticated encryption
// only, and 1.3 (RFC 9325 §4.2).
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     s.config.MinTLS,
		GetCertificate: s.config.Certificates.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}

func (s *Server) newRedirects() *http.Server {
	port := 0
	if a, ok := s.https.Addr().(*net.TCPAddr); ok {
		port = a.Port
	}
	return &http.Server{
		Handler:                      redirect(port),
		ReadTimeout:                  plainTimeout,
		WriteTimeout:                 plainTimeout,
		IdleTimeout:                  plainTimeout,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
}

// Run serves until ctx ends, then drains: no new connections, WebSockets and
// event streams are told to connect again, and requests under way may finish
// within the drain time. It returns when nothing is served any more.
func (s *Server) Run(ctx context.Context) error {
	group, failed := errgroup.WithContext(ctx)
	group.Go(func() error { return served(s.secured.ServeTLS(s.https, "", "")) })
	if s.plain != nil {
		group.Go(func() error { return served(s.redirects.Serve(s.plain)) })
	}
	group.Go(func() error {
		<-failed.Done()
		return s.drain(context.WithoutCancel(ctx))
	})
	return group.Wait()
}

// Close gives the listeners back without having served; after Run it has
// nothing left to do.
func (s *Server) Close() error {
	return errors.Join(s.secured.Close(), s.redirects.Close(), closed(s.https), closed(s.plain))
}

func closed(l net.Listener) error {
	if l == nil {
		return nil
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("proxy: %w", err)
}

func (s *Server) drain(ctx context.Context) error {
	gone := s.config.Gate.long.restart()
	limited, cancel := context.WithTimeout(ctx, s.config.Drain)
	defer cancel()
	err := s.secured.Shutdown(limited)
	if err != nil {
		s.config.Log.WarnContext(ctx, "requests under way were cut at the end of the drain time")
		err = s.secured.Close()
	}
	err = errors.Join(err, s.redirects.Close())
	moment, cancelMoment := context.WithTimeout(ctx, lastMoment)
	defer cancelMoment()
	select {
	case <-gone:
	case <-moment.Done():
		s.config.Log.WarnContext(ctx, "a stream did not end with the gate")
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
