package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const (
	// checkEvery is how often the parts of a tenant in use are looked at; what is
	// found acts at once, so a failure shows well within a second (P7).
	checkEvery = 250 * time.Millisecond
	// checkStale is how old a finding may be: if looking itself hangs (a network
	// file system that does not answer), the tenant is not served.
	checkStale = time.Second
	// forgetAfter is when a tenant that nobody asks for is no longer watched, so
	// that watching costs what the tenants in use cost and not what there are.
	forgetAfter = 10 * time.Second
	// lookers is how many tenants are looked at at a time: one whose parts hang
	// does not hold up the others.
	lookers = 8
	// maxWatched bounds the tenants watched at a time; one more is checked at
	// every request instead.
	maxWatched = 20_000
)

// check looks at one part that a tenant cannot be served without. It must be
// cheap: it runs for every tenant in use several times a second.
type check struct {
	part string
	run  func(context.Context, identity.TenantID) error
}

// readiness knows which tenants can be served right now: journal, store and
// key are there. The request path asks it before anything else.
type readiness struct {
	log     *slog.Logger
	checks  []check
	watched sync.Map // identity.TenantID -> *watch
	count   atomic.Int64
	began   time.Time
}

type watch struct {
	mu      sync.Mutex  // one look at a time
	looking atomic.Bool // a look on the timer is under way
	err     atomic.Pointer[fault.Fault]
	part    atomic.Pointer[string] // which is not there, with err
	at      atomic.Int64           // when it was looked at, since readiness began
	wanted  atomic.Int64           // when somebody last asked, since readiness began
}

func newReadiness(log *slog.Logger, checks ...check) *readiness {
	return &readiness{log: log, checks: checks, began: time.Now()}
}

// now is the monotonic time since the start.
func (r *readiness) now() int64 { return int64(time.Since(r.began)) }

// Ready returns nil if the tenant's journal, store and key were there when
// last looked at, less than checkStale ago, and the reason otherwise.
// Only the first question about a tenant looks by itself, within checkStale.
func (r *readiness) Ready(tenant identity.TenantID) error {
	now := r.now()
	found, ok := r.watched.Load(tenant)
	if !ok {
		if r.count.Load() >= maxWatched {
			return r.first(func(ctx context.Context) error { return r.look(ctx, tenant) })
		}
		var loaded bool
		if found, loaded = r.watched.LoadOrStore(tenant, &watch{}); !loaded {
			r.count.Add(1)
		}
	}
	w := found.(*watch) //nolint:errcheck,forcetypeassert // the map holds nothing else
	if now-w.wanted.Load() > int64(checkEvery) {
		w.wanted.Store(now)
	}
	if at := w.at.Load(); at == 0 {
		err := r.first(func(ctx context.Context) error { r.refresh(ctx, tenant, w); return nil })
		if err != nil {
			return err
		}
	} else if now-at > int64(checkStale) {
		return fault.New(fault.Unavailable, "checks-stale", staleDetail)
	}
	if f := w.err.Load(); f != nil {
		return f
	}
	return nil
}

// first looks on behalf of a request, which it does not keep waiting for long.
func (r *readiness) first(look func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkStale)
	defer cancel()
	err := look(ctx)
	if ctx.Err() != nil {
		return fault.Wrap(err, fault.Unavailable, "checks-stale", staleDetail)
	}
	return err
}

const staleDetail = "The gateway cannot look after its own stores right now. Try again in a moment."

// Run looks at every watched tenant until ctx ends.
func (r *readiness) Run(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var work errgroup.Group
	work.SetLimit(lookers)
	for {
		select {
		case <-ctx.Done():
			return work.Wait()
		case <-tick.C:
		}
		now := r.now()
		r.watched.Range(func(key, value any) bool {
			tenant, w := key.(identity.TenantID), value.(*watch) //nolint:errcheck,forcetypeassert // the map holds nothing else
			switch {
			case now-w.wanted.Load() > int64(forgetAfter):
				r.forget(tenant)
			case w.looking.CompareAndSwap(false, true):
				work.Go(func() error {
					defer w.looking.Store(false)
					if still, _ := r.watched.Load(tenant); still == value {
						r.refresh(ctx, tenant, w)
					}
					return nil
				})
			}
			return ctx.Err() == nil
		})
	}
}

// forget watches a tenant no more until somebody asks for it.
func (r *readiness) forget(tenant identity.TenantID) {
	if _, watched := r.watched.LoadAndDelete(tenant); watched {
		r.count.Add(-1)
	}
}

func (r *readiness) refresh(ctx context.Context, tenant identity.TenantID, w *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	began := r.now() // what was there then may be gone when the look is over
	part, err := r.missing(ctx, tenant)
	if ctx.Err() != nil {
		return // whoever asked is gone, and nothing was found out
	}
	before := w.err.Load()
	switch {
	case err != nil:
		f := fault.As(err)
		w.part.Store(&part)
		w.err.Store(f)
		if before == nil {
			r.log.Error("tenant cannot be served", "tenant", tenant, "error", err)
		}
	case before != nil:
		w.err.Store(nil)
		r.log.Info("tenant can be served again", "tenant", tenant)
	}
	w.at.Store(max(1, began))
}

func (r *readiness) look(ctx context.Context, tenant identity.TenantID) error {
	_, err := r.missing(ctx, tenant)
	return err
}

// missing looks for a part that is not there.
func (r *readiness) missing(ctx context.Context, tenant identity.TenantID) (part string, err error) {
	for _, c := range r.checks {
		if err := c.run(ctx, tenant); err != nil {
			if fault.Is(err, fault.Unavailable) {
				return c.part, err
			}
			return c.part, fault.Wrap(err, fault.Unavailable, c.part+"-unavailable", "The gateway's %s is not available right now, so nothing is let through. Try again in a moment.", c.part)
		}
	}
	return "", nil
}

// broken gives the watched tenants that cannot be served, with the part that is
// not there; empty if that cannot be told, because looking hangs.
func (r *readiness) broken() map[identity.TenantID]string {
	found, now := map[identity.TenantID]string{}, r.now()
	r.watched.Range(func(key, value any) bool {
		tenant, w := key.(identity.TenantID), value.(*watch) //nolint:errcheck,forcetypeassert // the map holds nothing else
		switch at := w.at.Load(); {
		case at != 0 && now-at > int64(checkStale):
			found[tenant] = ""
		case w.err.Load() != nil:
			found[tenant] = *w.part.Load()
		}
		return true
	})
	return found
}

// Unready counts the watched tenants that cannot be served.
func (r *readiness) Unready() int {
	n := 0
	r.watched.Range(func(_, value any) bool {
		if w := value.(*watch); w.err.Load() != nil { //nolint:errcheck,forcetypeassert // the map holds nothing else
			n++
		}
		return true
	})
	return n
}
