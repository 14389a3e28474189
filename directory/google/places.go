package google

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/identity"
)

const (
	// together is how many accounts one node reads at a time.
	together = 4
	// begun is how many it has begun, or is about to begin: all but those wait for a place.
	begun = 64
)

// places bound how many accounts are read at a time. A large one takes hours: its reading
// gives its place up from time to time, if others wait, and goes on behind them.
type places struct {
	free    chan struct{} // who waits for it gets it in turn
	share   time.Duration // how long a place is had while others wait
	waiting atomic.Int32

	mu    sync.Mutex
	begun map[identity.TenantID]bool
}

func newPlaces(count int, share time.Duration) *places {
	return &places{free: make(chan struct{}, count), share: share, begun: map[identity.TenantID]bool{}}
}

// enter reports whether a tenant's account may wait for a place. Only one who may leaves.
func (p *places) enter(tenant identity.TenantID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun[tenant] || len(p.begun) == begun {
		return false
	}
	p.begun[tenant] = true
	return true
}

func (p *places) leave(tenant identity.TenantID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.begun, tenant)
}

// place is one that a reading has, or waits for. It is not for concurrent use.
type place struct {
	of    *places
	had   bool
	since time.Time
}

// take waits for it.
func (p *place) take(ctx context.Context) error {
	p.of.waiting.Add(1)
	defer p.of.waiting.Add(-1)
	select {
	case p.of.free <- struct{}{}:
		p.had, p.since = true, time.Now()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// give gives it up, if it is had.
func (p *place) give() {
	if p.had {
		p.had = false
		<-p.of.free
	}
}

// pass lets others have it for a while, if they wait and it was had for long enough. nil is
// a place that nobody waits for.
func (p *place) pass(ctx context.Context) error {
	if p == nil || p.of.waiting.Load() == 0 || time.Since(p.since) < p.of.share {
		return nil
	}
	p.give()
	return p.take(ctx)
}
