package authn

import (
	"cmp"
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

const (
	// defaultLook is the time between two looks for who is to be asked about, and
	// looksAt at how many tenants each looks.
	defaultLook = 2 * time.Second
	looksAt     = 32
	// maxAsking bounds how many people are asked about at once, and maxTenantAsking how
	// many of one tenant's. Nobody waits in line: who is due stays due.
	maxAsking       = 32
	maxTenantAsking = 4
	// dueBatch is how many due sessions are read at once, and staleBatch how many are
	// ended at a look whose provider does not answer.
	dueBatch   = 16
	staleBatch = 100
	// restTime is for how long a provider is left alone that did not answer.
	restTime = 30 * time.Second
)

// RechecksConfig names what [Rechecks] work with. All parts are required, save those
// that say otherwise.
type RechecksConfig struct {
	Service   *Service
	Refreshes Refreshes
	Tenants   interface{ List() []*tenants.Tenant }
	// Look is the time between two looks for who is to be asked about; 0 means the
	// default.
	Look time.Duration
}

// Rechecks ask identity providers again about who is signed in, at the interval that
// their connection sets, beside all requests: each session by one node at a time.
type Rechecks struct {
	service   *Service
	refreshes Refreshes
	tenants   interface{ List() []*tenants.Tenant }
	look      time.Duration
	holder    string // this process
	next      int    // of the tenants, at the next look
	work      sync.WaitGroup

	mu      sync.Mutex
	all     int
	of      map[identity.TenantID]int
	resting map[place]time.Time // until when
}

// place is one connection of one tenant.
type place struct {
	tenant     identity.TenantID
	connection identity.ConnectionID
}

// NewRechecks makes them; [Rechecks.Run] asks.
func NewRechecks(c RechecksConfig) *Rechecks {
	return &Rechecks{service: c.Service, refreshes: c.Refreshes, tenants: c.Tenants, look: cmp.Or(c.Look, defaultLook),
		holder: rand.Text(), of: map[identity.TenantID]int{}, resting: map[place]time.Time{}}
}

// Run asks until ctx ends, and waits for what is under way.
func (r *Rechecks) Run(ctx context.Context) error {
	defer r.work.Wait()
	tick := time.NewTicker(r.look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.lookAround(ctx)
		}
	}
}

// lookAround begins what there is to ask at the next tenants.
func (r *Rechecks) lookAround(ctx context.Context) {
	all := r.tenants.List()
	for range min(looksAt, len(all)) {
		r.next = (r.next + 1) % len(all)
		if t := all[r.next]; t.Status == tenants.Active {
			r.lookAt(ctx, t.ID)
		}
	}
}

// lookAt begins what there is to ask of one tenant's. Without the store nothing is
// begun, which is noticed elsewhere.
func (r *Rechecks) lookAt(ctx context.Context, tenant identity.TenantID) {
	asking, cancel := context.WithTimeout(ctx, r.look)
	defer cancel()
	connections, err := r.service.tenants.Connections(asking, tenant)
	if err != nil {
		r.service.log.DebugContext(ctx, "whom to ask about is not known", "tenant", tenant, "error", err)
		return
	}
	for _, c := range connections {
		if recheckEvery(c) == 0 || !c.Enabled {
			continue
		}
		if at := (place{tenant, c.ID}); r.begin(at) {
			r.work.Go(func() {
				defer r.done(at)
				defer r.contain(ctx, at)
				r.drain(httpkit.OnBehalf(ctx, tenant), at)
			})
		}
	}
}

// contain keeps a panic about one connection's people from ending more than this look
// at them. Whom it was about is left to others until the lease runs out.
func (r *Rechecks) contain(ctx context.Context, at place) {
	if cause := recover(); cause != nil {
		r.rest(at, r.service.now())
		r.service.log.ErrorContext(ctx, "asking about a connection's people panicked", "tenant", at.tenant, "connection", at.connection, "panic", cause, "stack", string(debug.Stack()))
	}
}

// begin takes a place among those who ask, if there is one.
func (r *Rechecks) begin(at place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all >= maxAsking || r.of[at.tenant] >= maxTenantAsking {
		return false
	}
	r.all++
	r.of[at.tenant]++
	return true
}

func (r *Rechecks) done(at place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.of[at.tenant]--; r.of[at.tenant] == 0 {
		delete(r.of, at.tenant)
	}
}

// rest leaves a provider alone for a while.
func (r *Rechecks) rest(at place, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other, until := range r.resting {
		if now.After(until) {
			delete(r.resting, other)
		}
	}
	r.resting[at] = now.Add(restTime)
}

func (r *Rechecks) rests(at place, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.resting[at])
}

// drain asks about everybody who is due by one connection, one after another.
func (r *Rechecks) drain(ctx context.Context, at place) {
	for ctx.Err() == nil {
		c, err := r.service.tenants.ConnectionByID(ctx, at.tenant, at.connection)
		if err != nil || recheckEvery(c) == 0 || !c.Enabled {
			return
		}
		r.endUnasked(ctx, c, at)
		now := r.service.now()
		if r.rests(at, now) {
			r.endStale(ctx, c, at)
			return
		}
		due, err := r.refreshes.DueRefreshes(ctx, at.tenant, at.connection, now, dueBatch)
		if err != nil {
			r.service.log.WarnContext(ctx, "whom to ask about is not known", "tenant", at.tenant, "connection", c.Name, "error", err)
			return
		}
		// Others have read the same.
		mathrand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] }) // #nosec G404 -- nobody gains by guessing it
		asked := 0
		for _, session := range due {
			if ctx.Err() != nil || r.rests(at, now) {
				break
			}
			if r.recheck(ctx, c, at, session) {
				asked++
			}
		}
		if asked == 0 {
			return
		}
	}
}
