package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// failuresToRest is how many failures in a row take a target out of turn.
const failuresToRest = 3

// target is one of the app's servers.
type target struct {
	name    string // scheme and authority, for logs and errors
	address string // host:port to dial
	host    string // authority, for the health probe
	tls     *tls.Config

	busy     atomic.Int64 // exchanges under way
	open     atomic.Int64 // connections, lent or idle
	failures atomic.Int32 // in a row
	resting  atomic.Bool  // out of turn until a probe succeeds

	mu     sync.Mutex
	idle   []*conn // the last one in is the first one out: the others may expire
	closed bool
}

func newTarget(raw string, base *tls.Config) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("upstream: %q must be a scheme, a host and perhaps a port", u.Redacted())
	}
	t := &target{name: u.Scheme + "://" + u.Host, host: u.Host}
	port := u.Port()
	switch u.Scheme {
	case "http":
		if port == "" {
			port = "80"
		}
	case "https":
		if port == "" {
			port = "443"
		}
		t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if base != nil {
			t.tls = base.Clone()
		}
		t.tls.NextProtos = []string{"http/1.1"}
		if t.tls.ServerName == "" {
			t.tls.ServerName = u.Hostname()
		}
	default:
		return nil, fmt.Errorf("upstream: the scheme of %q is neither http nor https", u.Redacted())
	}
	t.address = net.JoinHostPort(u.Hostname(), port)
	return t, nil
}

// take lends the connection that was used last and is still good, or nil.
func (t *target) take(now time.Time, idleFor time.Duration) *conn {
	for {
		t.mu.Lock()
		last := len(t.idle) - 1
		if last < 0 {
			t.mu.Unlock()
			return nil
		}
		c := t.idle[last]
		t.idle[last] = nil
		t.idle = t.idle[:last]
		t.mu.Unlock()
		if now.Sub(c.since) < idleFor && c.quiet() {
			c.reused = true
			return c
		}
		c.close()
	}
}

// put takes a connection back, or closes it when enough are idle.
func (t *target) put(c *conn, limit int) {
	if cap(c.head) > keepScratch {
		c.head = nil
	}
	c.since = time.Now()
	t.mu.Lock()
	keep := !t.closed && len(t.idle) < limit
	if keep {
		t.idle = append(t.idle, c)
	}
	t.mu.Unlock()
	if !keep {
		c.close()
	}
}

// expire closes what has been idle for too long.
func (t *target) expire(before time.Time) {
	t.mu.Lock()
	n := 0
	for n < len(t.idle) && t.idle[n].since.Before(before) {
		n++
	}
	old := append([]*conn(nil), t.idle[:n]...)
	t.idle = append(t.idle[:0], t.idle[n:]...)
	t.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// shut closes what is idle and keeps nothing from now on.
func (t *target) shut() {
	t.mu.Lock()
	t.closed = true
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

func (t *target) dial(ctx context.Context, dialer *net.Dialer) (*conn, error) {
	nc, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	if t.tls != nil {
		secured := tls.Client(nc, t.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = nc.Close() // the handshake's failure is the one to tell
			return nil, err
		}
		nc = secured
	}
	t.open.Add(1)
	return newConn(t, nc), nil
}

// succeeded and failed are the passive health check: what requests themselves
// find out.
func (t *target) succeeded() {
	if t.failures.Load() != 0 {
		t.failures.Store(0)
	}
}

func (t *target) failed() {
	if t.failures.Add(1) >= failuresToRest {
		t.resting.Store(true)
	}
}

// check is the active health check: path answered below 500, or a connection
// made where there is no path.
func (t *target) check(ctx context.Context, dialer *net.Dialer, path string) error {
	c, err := t.dial(ctx, dialer)
	if err != nil {
		return err
	}
	defer c.close()
	if path == "" {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.nc.SetDeadline(deadline); err != nil {
			return err
		}
	}
	var head Head
	head.Reset(http.MethodGet, path, t.host)
	head.Field("User-Agent", "gatehouse-health")
	if err := head.finish(&Request{}); err != nil {
		return err
	}
	if _, err := c.nc.Write(head.buf); err != nil {
		return err
	}
	raw, err := readHead(c.br, nil, keepScratch)
	if err != nil {
		return err
	}
	answer, err := parseHead(raw)
	if err != nil {
		return err
	}
	if answer.Status >= http.StatusInternalServerError {
		return fmt.Errorf("status %d", answer.Status)
	}
	return nil
}
