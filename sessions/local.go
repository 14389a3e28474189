package sessions

import (
	"context"
	"encoding/binary"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gatehouse/identity"
)

// leaveTime is how long streams that were told to close may take to leave. A
// stream needs microseconds; one that needs more has a fault of its own.
const leaveTime = time.Second

// Local is the registry of a single node, and what a registry of many nodes
// keeps in the memory of each.
type Local struct {
	node string
	log  *slog.Logger

	// The token's hash is random, so any of its bits choose the shard evenly.
	shards [64]shard

	mu      sync.RWMutex
	tenants map[identity.TenantID]*roll

	closed  chan struct{}
	closing sync.Once
	work    sync.WaitGroup // Terminate calls and waits for lingering streams
}

type shard struct {
	mu     sync.RWMutex
	byHash map[TokenHash]*Live
}

// NewLocal makes the registry of the node with this name.
func NewLocal(node string, log *slog.Logger) *Local {
	r := &Local{node: node, log: log, tenants: map[identity.TenantID]*roll{}, closed: make(chan struct{})}
	for i := range r.shards {
		r.shards[i].byHash = map[TokenHash]*Live{}
	}
	return r
}

func (r *Local) shard(hash TokenHash) *shard {
	return &r.shards[binary.LittleEndian.Uint64(hash[:])%uint64(len(r.shards))]
}

func (r *Local) roll(tenant identity.TenantID) *roll {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.tenants[tenant]
}

// Find implements [Registry]: one map lookup for whoever is signed in.
func (r *Local) Find(_ context.Context, tenant identity.TenantID, hash TokenHash) (*Live, error) {
	s := r.shard(hash)
	s.mu.RLock()
	live := s.byHash[hash]
	s.mu.RUnlock()
	switch {
	case live != nil && live.session.Tenant == tenant:
		return live, nil
	case !r.Loaded(tenant):
		return nil, ErrNotLoaded
	default:
		return nil, nil
	}
}

// Loaded implements [Registry].
func (r *Local) Loaded(tenant identity.TenantID) bool { return r.roll(tenant) != nil }

// Load implements [Registry].
func (r *Local) Load(_ context.Context, tenant identity.TenantID, all iter.Seq2[*Live, error]) error {
	fresh := newRoll()
	for live, err := range all {
		if err != nil {
			return err
		}
		fresh.put(live)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, live := range fresh.byID {
		r.shard(live.hash).put(live)
	}
	r.tenants[tenant] = fresh
	return nil
}

// Add implements [Registry].
func (r *Local) Add(_ context.Context, live *Live) error {
	t := r.roll(live.session.Tenant)
	if t == nil {
		return ErrNotLoaded
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return ErrNotLoaded
	}
	t.put(live)
	r.shard(live.hash).put(live)
	return nil
}

// Keep makes a session findable unless it is already, and gives the one that is;
// nil while streams of an earlier one of the same session have not left.
func (r *Local) Keep(live *Live) (*Live, error) {
	t := r.roll(live.session.Tenant)
	if t == nil {
		return nil, ErrNotLoaded
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch old := t.byID[live.session.ID]; {
	case t.gone:
		return nil, ErrNotLoaded
	case old == nil:
		t.put(live)
		r.shard(live.hash).put(live)
		return live, nil
	case old.Ended():
		return nil, nil
	default:
		return old, nil
	}
}

// Len is how many sessions can be found.
func (r *Local) Len() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		n += len(s.byHash)
		s.mu.RUnlock()
	}
	return n
}

// evictAmong is of how many sessions the one that was used longest ago is
// evicted.
const evictAmong = 16

// Evict drops a session that has nothing open and was not used for long; false if
// there seems to be none. It is not over and may be kept again.
func (r *Local) Evict() bool {
	first := rand.IntN(len(r.shards)) // #nosec G404 -- where to begin looking, no secret
	for i := range r.shards {
		if live := r.shards[(first+i)%len(r.shards)].idle(); live != nil && live.retire() {
			r.shard(live.hash).remove(live)
			if t := r.roll(live.session.Tenant); t != nil {
				t.remove(live)
			}
			return true
		}
	}
	return false
}

// idle gives of a few sessions with nothing open the one that was used longest
// ago. A map begins its rounds anywhere.
func (s *shard) idle() (oldest *Live) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for _, live := range s.byHash {
		if live.Open() == 0 && (oldest == nil || live.seen.Load() < oldest.seen.Load()) {
			oldest = live
		}
		if n++; n == evictAmong {
			break
		}
	}
	return oldest
}

func (s *shard) put(live *Live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byHash[live.hash] = live
}

func (s *shard) remove(live *Live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byHash[live.hash] == live {
		delete(s.byHash, live.hash)
	}
}

// End implements [Registry].
func (r *Local) End(ctx context.Context, tenant identity.TenantID, sel Selector, _ []TokenHash, reason string) (Ended, error) {
	lives, err := r.Select(tenant, sel)
	if err != nil {
		return Ended{}, err
	}
	return r.Shut(ctx, tenant, lives, reason)(), nil
}

// Partial implements [Registry]: what it was not given it knows nothing of.
func (r *Local) Partial() bool { return false }

// Withhold implements [Registry]. What SQL says is heard once, at Load, and the
// service settles what it owes before that.
func (r *Local) Withhold(context.Context, Unsettled) error { return nil }

// Withheld implements [Registry].
func (r *Local) Withheld() []Unsettled { return nil }

// Settled implements [Registry].
func (r *Local) Settled(Unsettled, bool) {}

// Select gives the sessions that a selector means, and those of them that have
// ended but still have a stream inside.
func (r *Local) Select(tenant identity.TenantID, sel Selector) ([]*Live, error) {
	t := r.roll(tenant)
	if t == nil {
		return nil, ErrNotLoaded
	}
	return t.selected(sel), nil
}

// Shut ends sessions of a tenant as [Local.End] does, in two steps: when it
// returns, nobody finds or enters them any more and their streams have been told
// to leave; wait, which must be called, waits for that.
func (r *Local) Shut(ctx context.Context, tenant identity.TenantID, lives []*Live, reason string) (wait func() Ended) {
	t := r.roll(tenant)
	if t == nil {
		t = &roll{gone: true} // forgotten meanwhile
	}
	var ended Ended
	asking := caller(ctx)
	doors := map[*Live]<-chan struct{}{}
	// Every door is shut before the first stream is waited for.
	for _, live := range lives {
		r.shard(live.hash).remove(live)
		now := live.end(asking.stream)
		if now.first {
			ended.Sessions = append(ended.Sessions, live.session.ID)
			ended.Devices = append(ended.Devices, live.session.Device)
		}
		ended.Connections += now.open
		r.terminate(now.untold, reason)
		doors[live] = now.left
	}
	return func() Ended {
		ended.Lingering = r.await(t, doors, asking.gone)
		ended.Connections -= ended.Lingering
		ended.Nodes = []NodeConfirmation{{ID: r.node, Confirmed: ended.Lingering == 0}}
		return ended
	}
}

func (r *Local) terminate(streams []Stream, reason string) {
	for _, stream := range streams {
		r.work.Go(func() { stream.Terminate(reason) })
	}
}

// await takes each session off the roll once all its streams have left, and
// counts the streams that have not in time. It waits no longer than there is
// somebody to answer: two requests that end each other's sessions would
// otherwise each wait for the other to leave.
func (r *Local) await(t *roll, doors map[*Live]<-chan struct{}, gone <-chan struct{}) (lingering int) {
	timeout := time.NewTimer(leaveTime)
	defer timeout.Stop()
	waiting, late := true, false
	for live, left := range doors {
		if waiting {
			select {
			case <-left:
			case <-gone:
				waiting = false
			case <-timeout.C:
				waiting, late = false, true
			}
		}
		select {
		case <-left:
			t.remove(live)
			continue
		default:
		}
		open := live.Open()
		lingering += open
		if late {
			r.log.Error("a stream did not close after its session was revoked",
				"tenant", live.session.Tenant, "session", live.session.ID, "open", open)
		}
		r.work.Go(func() {
			select {
			case <-left:
				t.remove(live)
			case <-r.closed:
			}
		})
	}
	return lingering
}

// All implements [Registry].
func (r *Local) All(tenant identity.TenantID) iter.Seq[*Live] {
	return func(yield func(*Live) bool) {
		t := r.roll(tenant)
		if t == nil {
			return
		}
		t.mu.RLock()
		lives := slices.Collect(maps.Values(t.byID))
		t.mu.RUnlock()
		for _, live := range lives {
			if !live.Ended() && !yield(live) {
				return
			}
		}
	}
}

// Active implements [Registry].
func (r *Local) Active(tenant identity.TenantID) iter.Seq[*Live] {
	return func(yield func(*Live) bool) {
		t := r.roll(tenant)
		if t == nil {
			return
		}
		for _, live := range t.active() {
			if !live.Ended() && !yield(live) {
				return
			}
		}
	}
}

// Tenants implements [Registry].
func (r *Local) Tenants() []identity.TenantID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.tenants))
}

// Forget implements [Registry]. Whatever was not ended before is ended here.
func (r *Local) Forget(tenant identity.TenantID) {
	r.mu.Lock()
	t := r.tenants[tenant]
	delete(r.tenants, tenant)
	r.mu.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
	for _, live := range t.selected(Selector{All: true}) {
		r.shard(live.hash).remove(live)
		r.terminate(live.end(nil).untold, ReasonTenantDeleted)
	}
}

// Close implements [Registry].
func (r *Local) Close() error {
	r.closing.Do(func() { close(r.closed) })
	r.work.Wait()
	return nil
}
