package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where the app's servers are and how long to wait for them. Zero
// values mean the defaults named beside them.
type Config struct {
	URLs          []string      // "http://10.0.0.5:8080", no path
	TLS           *tls.Config   // for https targets; nil: the system's roots
	DialTimeout   time.Duration // 5 s, TLS handshake included
	HeaderTimeout time.Duration // 60 s from the end of the request to the head of the answer
	WriteTimeout  time.Duration // 60 s for each piece of a request's body
	IdleTimeout   time.Duration // 60 s; below the app's own, or it closes first
	MaxIdle       int           // 512 idle connections per target
	MaxOpen       int           // 8192 connections per target, idle ones included
	MaxHeadBytes  int           // 64 KiB for the head of an answer

	HealthPath  string        // empty: only that the target takes connections
	HealthEvery time.Duration // 2 s between probes
	Log         *slog.Logger  // nil: slog.Default()
}

// Pool sends requests to the app's servers, the least loaded first.
type Pool struct {
	config  Config
	targets []*target
	dialer  *net.Dialer
	turn    atomic.Uint32
}

// New checks the configuration; it opens no connection.
func New(c Config) (*Pool, error) {
	if len(c.URLs) == 0 {
		return nil, errors.New("upstream: no server of the app is named")
	}
	c.DialTimeout = cmp.Or(c.DialTimeout, 5*time.Second)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, time.Minute)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, time.Minute)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Minute)
	c.MaxIdle = cmp.Or(c.MaxIdle, 512)
	c.MaxOpen = cmp.Or(c.MaxOpen, 8192)
	c.MaxHeadBytes = cmp.Or(c.MaxHeadBytes, 64<<10)
	c.HealthEvery = cmp.Or(c.HealthEvery, 2*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.HealthPath != "" && !strings.HasPrefix(c.HealthPath, "/") {
		return nil, fmt.Errorf("upstream: health path %q does not begin with a slash", c.HealthPath)
	}
	p := &Pool{config: c, dialer: &net.Dialer{Timeout: c.DialTimeout, KeepAlive: 30 * time.Second}}
	for _, raw := range c.URLs {
		t, err := newTarget(raw, c.TLS)
		if err != nil {
			return nil, err
		}
		p.targets = append(p.targets, t)
	}
	return p, nil
}

// Run probes the targets and closes idle connections until ctx ends; then it
// closes what is idle and returns nil. Exchanges under way go on.
func (p *Pool) Run(ctx context.Context) error {
	tick := time.NewTicker(p.config.HealthEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, t := range p.targets {
				t.shut()
			}
			return nil
		case now := <-tick.C:
			var probes sync.WaitGroup
			for _, t := range p.targets {
				t.expire(now.Add(-p.config.IdleTimeout))
				if p.config.HealthPath != "" || t.resting.Load() {
					probes.Go(func() { p.probe(ctx, t) })
				}
			}
			probes.Wait()
		}
	}
}

func (p *Pool) probe(ctx context.Context, t *target) {
	ctx, cancel := context.WithTimeout(ctx, p.config.DialTimeout)
	defer cancel()
	err := t.check(ctx, p.dialer, p.config.HealthPath)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	if err != nil {
		if !t.resting.Swap(true) {
			p.config.Log.WarnContext(ctx, "app server taken out of turn", "target", t.name, "error", err)
		}
		return
	}
	t.failures.Store(0)
	if t.resting.Swap(false) {
		p.config.Log.InfoContext(ctx, "app server back in turn", "target", t.name)
	}
}

// pick chooses the target with the fewest exchanges under way, in turn among
// equals. Those that rest come into question only when all do, since one of
// them may have recovered. avoid is one that has just failed.
func (p *Pool) pick(avoid *target) *target {
	if len(p.targets) == 1 {
		return p.targets[0]
	}
	start := int(p.turn.Add(1) % uint32(len(p.targets))) // #nosec G115 -- a handful
	var best *target
	var bestRank int64
	for i := range p.targets {
		t := p.targets[(start+i)%len(p.targets)]
		rank := t.busy.Load()
		if t.resting.Load() {
			rank += 1 << 32
		}
		if t == avoid {
			rank += 1 << 33
		}
		if best == nil || rank < bestRank {
			best, bestRank = t, rank
		}
	}
	return best
}
