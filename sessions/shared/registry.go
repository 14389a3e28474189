package shared

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

const (
	// preload is how many of a tenant's sessions are taken in at first; the others
	// are found when they come.
	preload = 10_000
	// Capacity is how many sessions a node holds if nobody says.
	Capacity = 2 << 20
	// maxAsking bounds the sessions that are looked up at one time, whatever tokens
	// the internet invents. They share their questions to SQL, so what it bounds is
	// the steps in Redis. The others wait for askWait: when a node starts, all who
	// are signed in may come at once.
	maxAsking = 1024
	askWait   = 20 * time.Second
	askTime   = 2 * time.Second
	attempts  = 3
)

// Record is what SQL knows of the live sessions ([sessions.Record]). Every answer
// must be the newest committed state.
type Record interface {
	// Live gives the live session with this token hash; nil if there is none.
	Live(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error)
	// Lives gives those of up to [sessions.MaxAsked] sessions that live.
	Lives(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) ([]*sessions.Live, error)
	// Which gives those of up to [sessions.MaxAsked] token hashes whose sessions live.
	Which(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) (map[sessions.TokenHash]bool, error)
	// After gives the live sessions among the first so many after a place, and the
	// place of the last of those; more is false once there are none after it.
	After(ctx context.Context, tenant identity.TenantID, place sessions.Place, limit int) (lives []*sessions.Live, end sessions.Place, more bool, err error)
}

// Options shape a [Registry].
type Options struct {
	Node        string // this gateway's name in confirmations
	Environment string // one Redis may serve several
	// Bus is not yet running: the registry subscribes.
	Bus    cluster.Bus
	Redis  redis.UniversalClient
	Keys   sessions.Sealer // of what stands in Redis
	Record Record
	// Capacity is how many sessions this node holds; 0: [Capacity]. Those with
	// nothing open are dropped for others.
	Capacity int
	Log      *slog.Logger
}

// Registry is one node's side of the registry that several nodes share.
type Registry struct {
	id, node string // id tells this registry's messages from those of others
	bus      cluster.Bus
	cache    *sessions.Local
	ledger   ledger
	withheld withheld
	copies   *copies
	record   Record
	proof    proof
	capacity int
	log      *slog.Logger

	asking  chan struct{}
	closing context.CancelFunc
	work    sync.WaitGroup
}

var _ sessions.Registry = (*Registry)(nil)

// proof is how sessions know whether they may be served.
type proof struct {
	bus  cluster.Bus
	base time.Time
}

func (p proof) Fresh() bool        { return p.bus.Fresh() }
func (p proof) Now() time.Duration { return time.Since(p.base) }

// New makes a registry and has it hear of what the others do. [Registry.Close]
// ends what it does by itself.
func New(o Options) *Registry {
	r := &Registry{
		id: crand.Text(), node: o.Node, bus: o.Bus, cache: sessions.NewLocal(o.Node, o.Log),
		copies: &copies{client: o.Redis, keys: o.Keys, bus: o.Bus, environment: o.Environment, stale: map[identity.TenantID]int{}, stock: newStock()},
		proof:  proof{bus: o.Bus, base: time.Now()}, capacity: cmp.Or(o.Capacity, Capacity), log: o.Log,
		withheld: withheld{all: map[identity.TenantID]map[string]*withholdingUntil{}},
		asking:   make(chan struct{}, maxAsking),
	}
	r.record = &together{Record: o.Record, work: &r.work, tenants: map[identity.TenantID]*queue{}}
	o.Bus.Subscribe(topic, r.apply)
	o.Bus.Subscribe(topicWithhold, r.hearWithheld)
	o.Bus.OnGap(r.verify)
	ctx, cancel := context.WithCancel(context.Background())
	r.closing = cancel
	r.work.Go(func() { r.keep(ctx, r.proveStreams) })
	r.work.Go(func() { r.keep(ctx, r.cutStreams) })
	r.work.Go(func() { r.keep(ctx, r.release) })
	r.work.Go(func() { r.refill(ctx) })
	return r
}

var (
	errAlone     = errors.New("shared: neither the other nodes nor SQL can be asked")
	errOvertaken = errors.New("shared: the session changes faster than it can be looked up")
	errFull      = errors.New("shared: all sessions that fit have something open")
)

// Find implements [sessions.Registry]: one map lookup for whoever is known here.
func (r *Registry) Find(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	live, err := r.cache.Find(ctx, tenant, hash)
	if err != nil || live != nil && live.Current() {
		return live, err
	}
	return r.ask(ctx, tenant, hash)
}

// ask looks a session up that is not here, or of which this node cannot be sure.
func (r *Registry) ask(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	wait, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-wait.Done():
		return nil, fmt.Errorf("shared: too many sessions are looked up: %w", wait.Err())
	}
	for range attempts {
		live, err := r.lookUp(ctx, tenant, hash)
		if !errors.Is(err, errOvertaken) {
			return live, err
		}
	}
	return nil, errOvertaken
}

func (r *Registry) lookUp(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	// The order matters: what is asked after these may be relied on by them.
	asked, sent := r.ledger.mark(), r.proof.Now()
	fresh, apart := r.bus.Fresh(), r.bus.Apart()
	if !fresh && !apart {
		return nil, errAlone
	}
	live, err := r.recorded(ctx, tenant, hash)
	if err != nil && fresh && ctx.Err() == nil {
		live, err = r.copied(ctx, tenant, hash, err)
		apart = false
	}
	if err != nil {
		return nil, fmt.Errorf("shared: look a session up: %w", err)
	}
	switch {
	case live == nil:
		r.over(ctx, tenant, hash, fresh)
		return nil, nil
	case r.withholds(live): // SQL will have ended it
		return nil, nil
	}
	live, err = r.hold(asked, live)
	if err != nil {
		return nil, err
	}
	if apart {
		live.Prove(sent + cluster.Lease)
	}
	if !live.Current() {
		return nil, errOvertaken
	}
	return live, nil
}

func (r *Registry) recorded(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return r.record.Live(ctx, tenant, hash)
}

// copied gives a session as Redis has it, for want of SQL. That Redis has none says
// nothing: a node may have died before it made the copy.
func (r *Registry) copied(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash, sql error) (*sessions.Live, error) {
	copied, err := r.copies.get(ctx, tenant, hash)
	switch {
	case err != nil: // what is the matter is SQL
		return nil, errors.Join(fault.OutOfReach(sql, "sessions-unavailable", "Sign-ins cannot be checked right now. Try again in a moment."), err)
	case copied.live == nil:
		return nil, sql
	}
	return copied.live, nil
}

// over makes true here and in Redis what SQL says: there is no such session. Who
// has ended it may have died before that.
func (r *Registry) over(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash, fresh bool) {
	if fresh {
		copied, err := r.copies.get(ctx, tenant, hash)
		switch {
		case err == nil && copied.live != nil, errors.Is(err, errUnreadable):
			r.takeOut(ctx, tenant, hash)
		case err != nil:
			r.log.DebugContext(ctx, "Redis was not asked for a session", "error", err)
		}
	}
	if live, err := r.cache.Find(ctx, tenant, hash); err == nil && live != nil {
		r.cache.Shut(ctx, tenant, []*sessions.Live{live}, ReasonGone)()
	}
}

// takeOut takes sessions that are over out of Redis.
func (r *Registry) takeOut(ctx context.Context, tenant identity.TenantID, hashes ...sessions.TokenHash) {
	if err := r.copies.remove(ctx, tenant, hashes); err != nil {
		r.copies.distrust(tenant)
	}
}

// hold puts a session that was asked for into the cache.
func (r *Registry) hold(asked mark, live *sessions.Live) (*sessions.Live, error) {
	if err := r.makeRoom(); err != nil {
		return nil, err
	}
	s := live.Session()
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	if !r.ledger.holds(asked, &s) {
		return nil, errOvertaken
	}
	held, err := r.cache.Keep(live.Under(r.proof))
	if err == nil && held == nil {
		err = errOvertaken
	}
	return held, err
}

func (r *Registry) makeRoom() error {
	if r.cache.Len() >= r.capacity && !r.cache.Evict() {
		return errFull
	}
	return nil
}

// Loaded implements [sessions.Registry].
func (r *Registry) Loaded(tenant identity.TenantID) bool { return r.cache.Loaded(tenant) }

// Load implements [sessions.Registry]. It takes in the first of the sessions.
func (r *Registry) Load(ctx context.Context, tenant identity.TenantID, all iter.Seq2[*sessions.Live, error]) error {
	asked := r.ledger.mark()
	var first []*sessions.Live
	for live, err := range all {
		if err != nil {
			return err
		}
		if len(first) >= preload || r.cache.Len()+len(first) >= r.capacity {
			break
		}
		first = append(first, live.Under(r.proof))
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return r.cache.Load(ctx, tenant, func(yield func(*sessions.Live, error) bool) {
		for _, live := range first {
			if s := live.Session(); r.ledger.holds(asked, &s) && !r.withheld.covers(&s) && !yield(live, nil) {
				return
			}
		}
	})
}

// Add implements [sessions.Registry].
func (r *Registry) Add(ctx context.Context, live *sessions.Live) error {
	if err := r.makeRoom(); err != nil {
		return err
	}
	if err := r.cache.Add(ctx, live.Under(r.proof)); err != nil {
		return err
	}
	r.copies.add(ctx, live, r.bus.Fresh())
	return nil
}

// All implements [sessions.Registry].
func (r *Registry) All(tenant identity.TenantID) iter.Seq[*sessions.Live] {
	return r.cache.All(tenant)
}

// Active implements [sessions.Registry].
func (r *Registry) Active(tenant identity.TenantID) iter.Seq[*sessions.Live] {
	return r.cache.Active(tenant)
}

// Tenants implements [sessions.Registry].
func (r *Registry) Tenants() []identity.TenantID {
	tenants := r.cache.Tenants()
	slices.Sort(tenants)
	return tenants
}

// Forget implements [sessions.Registry].
func (r *Registry) Forget(tenant identity.TenantID) {
	r.cache.Forget(tenant)
	r.withheld.forget(tenant)
	r.work.Go(func() {
		if err := r.copies.forget(context.Background(), tenant); err != nil {
			r.log.Warn("a deleted tenant's sessions stay in Redis for a day at most", "tenant", tenant, "error", err)
		}
	})
}

// Close implements [sessions.Registry]. The bus is closed by its owner.
func (r *Registry) Close() error {
	r.closing()
	r.work.Wait()
	return r.cache.Close()
}
