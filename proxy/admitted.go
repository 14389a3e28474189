package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// admitted are the streams that a change of their tenant's settings cuts, from
// before anybody looks at who asks: what was let in under the old settings is
// found, and what enters later is judged by the new ones. There are no more of
// them than requests under way.
type admitted struct {
	next    atomic.Uint32 // where the next one goes: by turns, so that they seldom meet
	reviews atomic.Uint64 // how many have begun
	shards  [32]admittedShard
}

type admittedShard struct {
	mu      sync.Mutex
	streams map[*stream]struct{}
}

// enter registers a stream until it is finished.
func (a *admitted) enter(s *stream) {
	s.admitted = &a.shards[a.next.Add(1)%uint32(len(a.shards))]
	s.admitted.mu.Lock()
	defer s.admitted.mu.Unlock()
	if s.admitted.streams == nil {
		s.admitted.streams = map[*stream]struct{}{}
	}
	s.admitted.streams[s] = struct{}{}
}

func (a *admittedShard) leave(s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.streams, s)
}

// Reconnect closes what a tenant has under way to the app, and its event streams
// of our own, with and without a session, and asks the clients to connect again:
// what is allowed has changed, and is decided anew when they do. The new settings
// must be in force before. Our own other answers are let finish: one of them
// tells of the change.
func (g *Gate) Reconnect(tenant identity.TenantID) {
	for _, s := range g.admitted.of(tenant) {
		s.terminate(closeRestart) // does nothing to one that is finished by now
	}
}

// Review closes what of a tenant is open to people and tokens who may not come
// from where they do any more, because of what they are by now: they were given a
// role that has networks. What they are must be in force before. Where it cannot
// be known, the client is asked to connect again (P7).
func (g *Gate) Review(ctx context.Context, tenant identity.TenantID) {
	g.admitted.reviews.Add(1)
	for _, s := range g.admitted.of(tenant) {
		if p := s.whose.Load(); p != nil && g.config.Admits(ctx, p, s.ip) != nil {
			s.terminate(closeRestart)
		}
	}
}

// of gives a tenant's streams.
func (a *admitted) of(tenant identity.TenantID) (all []*stream) {
	for i := range a.shards {
		shard := &a.shards[i]
		shard.mu.Lock()
		for s := range shard.streams {
			if s.tenant == tenant {
				all = append(all, s)
			}
		}
		shard.mu.Unlock()
	}
	return all
}

// callerOf finds out whose an admitted stream is. A review that comes by in the
// meantime does not know yet, and so it is found out once more after that.
func (g *Gate) callerOf(r *http.Request, s *stream) (p *identity.Principal, live *sessions.Live, err error) {
	for range 2 {
		before := g.admitted.reviews.Load()
		if p, live, err = g.config.Caller(r); err != nil || p == nil {
			return p, live, err
		}
		s.whose.Store(p)
		if g.admitted.reviews.Load() == before {
			break
		}
	}
	return p, live, nil
}
