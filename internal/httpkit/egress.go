package httpkit

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of every fetch from an address that a tenant's admin chose.
const (
	egressTimeout      = 10 * time.Second
	egressDialTimeout  = 5 * time.Second
	egressMaxBody      = 1 << 20
	egressMaxHeader    = 64 << 10
	egressMaxRedirects = 3
	// egressMaxShare is how much is fetched at once from one host for one tenant, and
	// egressMaxPerHost how many connections there are to it for all of them, those that
	// nobody waits for any more included.
	egressMaxShare   = 32
	egressMaxPerHost = 1024
)

// ErrEgressRefused is the cause when an address may not be reached.
var ErrEgressRefused = errors.New("egress: address is not allowed")

// ErrEgressTooLarge is the cause when an answer is over its size limit.
var ErrEgressTooLarge = errors.New("egress: answer is too large")

// EgressOptions shape an [Egress].
type EgressOptions struct {
	// Allow lists networks that are reachable although they are private: the
	// operator's `egress.allow`.
	Allow []netip.Prefix
	// Deny lists networks that are not, whatever else is said of them: `egress.deny`.
	Deny []netip.Prefix
	// RootCAs verifies servers; nil means the system's.
	RootCAs *x509.CertPool
	// Patience is how long a server may take to begin its answer; 0 means 10
	// seconds. Who waits longer bounds by itself how many are asked at once. It stays
	// what it was at the start.
	Patience time.Duration
}

// Egress is the one way to addresses that a tenant's admin can make the gateway
// fetch: discovery, keys, metadata, webhooks. It reaches public addresses and
// those the operator allows, and none that the operator denies, checked on the
// address that is dialled, after the name was resolved, so that neither DNS nor a
// redirect leads inside (server-side request forgery). Plain http is for loopback
// alone. Answers are limited in size, time and redirects; a request with a body is
// never redirected, since it may hold a client's secret. Tenants that fetch from the
// same host have their places there each by themselves.
type Egress struct {
	patience  time.Duration
	shares    *shares // nil: whoever waits longer bounds it
	transport atomic.Pointer[http.Transport]
}

// NewEgress makes a guarded way out.
func NewEgress(o EgressOptions) *Egress {
	e := &Egress{patience: o.Patience}
	if o.Patience == 0 {
		e.shares = &shares{each: egressMaxShare, of: map[sharer]*share{}}
	}
	e.Change(o)
	return e
}

// Change makes the options those of every fetch from now on. Connections that
// were made by the old ones carry no further request.
func (e *Egress) Change(o EgressOptions) {
	dialer := &net.Dialer{Timeout: egressDialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return o.check(address)
	}}
	perHost := egressMaxPerHost
	if e.patience > 0 {
		perHost = 0
	}
	before := e.transport.Swap(&http.Transport{
		Proxy:                  nil, // a proxy would do the dialling, and the check would see only the proxy
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    egressDialTimeout,
		ResponseHeaderTimeout:  cmp.Or(e.patience, egressTimeout),
		MaxResponseHeaderBytes: egressMaxHeader,
		MaxIdleConns:           64,
		MaxConnsPerHost:        perHost,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
	})
	if before != nil {
		before.CloseIdleConnections()
	}
}

// Client fetches this way.
func (e *Egress) Client() *http.Client {
	return &http.Client{Timeout: e.patience + egressTimeout, Transport: e, CheckRedirect: checkRedirect}
}

// check decides on "ip:port" as it is about to be dialled.
func (o EgressOptions) check(address string) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrEgressRefused, address)
	}
	ip := target.Addr().Unmap().WithZone("")
	for _, denied := range o.Deny {
		if denied.Contains(ip) {
			return fmt.Errorf("%w: %s is denied by the operator", ErrEgressRefused, ip)
		}
	}
	for _, allowed := range o.Allow {
		if allowed.Contains(ip) {
			return nil
		}
	}
	if !public(ip) {
		return fmt.Errorf("%w: %s is not a public address", ErrEgressRefused, ip)
	}
	return nil
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > egressMaxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrEgressRefused, egressMaxRedirects)
	}
	if first := via[0].Method; first != http.MethodGet && first != http.MethodHead {
		return fmt.Errorf("%w: a %s request is not redirected", ErrEgressRefused, first)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("%w: redirect from https to %s", ErrEgressRefused, req.URL.Scheme)
	}
	return nil
}

// RoundTrip refuses plain http to anything but loopback and bounds the answer. It
// sees every request, redirected ones too.
func (e *Egress) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.User != nil || (req.URL.Scheme != "https" && !PlainLoopback(req.URL.Scheme, req.URL.Hostname())) {
		return nil, fmt.Errorf("%w: %s://%s", ErrEgressRefused, req.URL.Scheme, req.URL.Host)
	}
	leave := func() {}
	if e.shares != nil {
		var err error
		if leave, err = e.shares.take(req.Context(), req.URL.Host); err != nil {
			if req.Body != nil { // as [http.RoundTripper] must
				_ = req.Body.Close()
			}
			return nil, err
		}
	}
	resp, err := e.transport.Load().RoundTrip(req)
	if err != nil {
		leave()
		return nil, err
	}
	resp.Body = &boundedBody{body: resp.Body, left: egressMaxBody, done: leave}
	if resp.ContentLength > egressMaxBody {
		_ = resp.Body.Close() // nothing of it is read
		return nil, ErrEgressTooLarge
	}
	return resp, nil
}

// PlainLoopback reports whether this is http to this very machine, the one
// place where a connection without TLS is accepted. A name is not enough,
// because its meaning is somebody else's to decide; "localhost" is nobody's
// (RFC 6761 §6.3).
func PlainLoopback(scheme, host string) bool {
	if scheme != "http" {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// boundedBody fails, rather than ends, once the limit is passed: a document cut
// short must not be taken for a whole one.
type boundedBody struct {
	body io.ReadCloser
	left int64
	done func() // once it ends or is closed
}

// Read implements [io.Reader].
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrEgressTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if err != nil {
		b.done()
	}
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrEgressTooLarge
	}
	return n, err
}

// Close implements [io.Closer].
func (b *boundedBody) Close() error {
	defer b.done()
	return b.body.Close()
}
