package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
)

// world is a cluster whose nodes serve keys as the gateway serves sessions: from
// memory while they are fresh, and by asking SQL else. It watches all the time
// that no node answers for a key whose revocation has returned.
type world struct {
	t      *testing.T
	memory *clustertest.Memory

	mu      sync.Mutex
	truth   map[string]bool // what SQL says
	revoked []string        // whose revocation has returned
	peers   []*peer
	count   int
}

// peer is a node.
type peer struct {
	*cluster.Redis
	world *world
	name  string
	way   *clustertest.Way // to SQL
	proxy *redistest.Proxy // to Redis, nil if there is none

	mu      sync.Mutex
	cache   map[string]bool
	proofs  map[string]time.Time // when SQL was asked for what it answered
	applied []string
	stuck   chan struct{} // Apply waits for it
	gaps    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, memory: clustertest.NewMemory(), truth: map[string]bool{}}
	for i := range 5000 {
		w.truth[fmt.Sprint("key-", i)] = true
	}
	return w
}

// node makes a node and starts it.
func (w *world) node(name, url string) *peer {
	w.t.Helper()
	p := &peer{world: w, name: name, way: w.memory.Way(), proofs: map[string]time.Time{}}
	w.mu.Lock()
	p.cache = maps.Clone(w.truth)
	w.mu.Unlock()
	p.Redis = open(w.t, name, w.t.Name(), url, p.way)
	p.Subscribe("revoke", p.apply)
	p.OnGap(p.verify)
	w.mu.Lock()
	w.peers = append(w.peers, p)
	w.mu.Unlock()
	return p
}

// nodeThrough makes a node whose way to Redis can be cut.
func (w *world) nodeThrough(name string, s *redistest.Server) *peer {
	w.t.Helper()
	proxy := redistest.Through(w.t, s.Addr())
	p := w.node(name, proxy.URL())
	p.proxy = proxy
	return p
}

// start runs the nodes, waits until they are fresh, and watches them.
func (w *world) start(peers ...*peer) {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, p := range peers {
		group.Go(func() { p.askSQL(ctx) })
	}
	group.Go(func() { w.watch(ctx) })
	w.t.Cleanup(func() { stop(); group.Wait() })
	for _, p := range peers {
		clustertest.Start(w.t, p.Redis)
	}
}

// apply shuts the doors.
func (p *peer) apply(ctx context.Context, m cluster.Message) func(context.Context) ([]byte, error) {
	p.mu.Lock()
	stuck := p.stuck
	p.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := string(m.Body)
	p.applied = append(p.applied, key)
	delete(p.cache, key)
	delete(p.proofs, key)
	return nil
}

// verify takes away what SQL does not confirm.
func (p *peer) verify(ctx context.Context) error {
	truth, err := p.ask(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.cache, func(key string, _ bool) bool { return !truth[key] })
	p.gaps++
	return nil
}

func (p *peer) ask(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := p.way.Epoch(ctx); err != nil {
		return nil, err
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return maps.Clone(p.world.truth), nil
}

// askSQL is what a node does that is not fresh: it asks, and relies on the
// answer for a lease.
func (p *peer) askSQL(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
		sent := time.Now()
		if !p.Apart() {
			continue
		}
		before := len(p.has())
		truth, err := p.ask(ctx)
		if err != nil {
			continue
		}
		p.mu.Lock()
		clear(p.proofs)
		for key := range truth {
			p.proofs[key] = sent
		}
		for _, key := range p.applied[before:] { // while SQL was asked
			delete(p.proofs, key)
		}
		p.mu.Unlock()
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// serves reports why a node would answer for any of the keys; "" if it would not.
func (p *peer) serves(keys []string) string {
	// In this order: what is in the cache afterwards was there while it was fresh,
	// for a revoked key is never put in again.
	fresh := p.Fresh()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range keys {
		if fresh && p.cache[key] {
			return p.name + " answers for " + key + " from memory"
		}
		if sent, ok := p.proofs[key]; ok && time.Since(sent) < cluster.Lease {
			return p.name + " answers for " + key + " by what SQL said"
		}
	}
	return ""
}

func (w *world) check() {
	w.mu.Lock()
	revoked, peers := slices.Clone(w.revoked), slices.Clone(w.peers)
	w.mu.Unlock()
	for _, p := range peers {
		if why := p.serves(revoked); why != "" {
			w.t.Errorf("P2 is broken: %s, after its revocation returned (state %+v)", why, p.State())
		}
	}
}

func (w *world) watch(ctx context.Context) {
	for ; ctx.Err() == nil && !w.t.Failed(); pause(ctx, 2*time.Millisecond) {
		w.check()
	}
}

// revoke ends one more key from a node. When it returns without an error,
// nobody may answer for the key any more.
func (w *world) revoke(p *peer) ([]cluster.Confirmation, error) {
	w.mu.Lock()
	key := fmt.Sprint("key-", w.count)
	w.count++
	delete(w.truth, key)
	w.mu.Unlock()
	all, err := p.Publish(w.t.Context(), cluster.Message{Topic: "revoke", Body: []byte(key)})
	if err == nil {
		w.mu.Lock()
		w.revoked = append(w.revoked, key)
		w.mu.Unlock()
		w.check()
	}
	return all, err
}

// revoked ends a key and fails the test if that cannot be done.
func (w *world) mustRevoke(p *peer) []cluster.Confirmation {
	w.t.Helper()
	all, err := w.revoke(p)
	if err != nil {
		w.t.Fatalf("revoke on %s: %v (%+v)", p.name, err, all)
	}
	return all
}

// keepRevoking revokes all the time, from all of the nodes, until stop is
// called, which gives how often it was done and how often it failed.
func (w *world) keepRevoking(peers ...*peer) (stop func() (done, failed int)) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var group sync.WaitGroup
	var mu sync.Mutex
	var done, failed int
	for _, p := range peers {
		group.Go(func() {
			for ; ctx.Err() == nil; pause(ctx, 10*time.Millisecond) {
				_, err := w.revoke(p)
				mu.Lock()
				if done++; err != nil {
					done--
					failed++
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, int) { cancel(); group.Wait(); return done, failed }
}

// confirms reports whether a node is told of as having confirmed; known is false
// if it is not told of.
func confirms(all []cluster.Confirmation, node string) (confirmed, known bool) {
	i := slices.IndexFunc(all, func(c cluster.Confirmation) bool { return c.Node == node })
	if i < 0 {
		return false, false
	}
	return all[i].Confirmed, true
}

// untilAllConfirm revokes until every one of the peers confirms at once.
func (w *world) untilAllConfirm(from *peer, peers ...*peer) {
	w.t.Helper()
	clustertest.Until(w.t, "all confirm", func() bool {
		all, err := w.revoke(from)
		return err == nil && !slices.ContainsFunc(peers, func(p *peer) bool { ok, _ := confirms(all, p.name); return !ok })
	})
}

// untilNobodyIsApart waits until SQL's list is empty.
func (w *world) untilNobodyIsApart() {
	w.t.Helper()
	clustertest.Until(w.t, "nobody is apart", func() bool {
		e, err := w.memory.Way().Epoch(w.t.Context())
		return err == nil && len(e.Apart) == 0
	})
}

func (p *peer) holds(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cache[key]
}

func (p *peer) verified() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gaps
}

func (p *peer) has() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.applied)
}

func (p *peer) setStuck(c chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stuck = c
}
