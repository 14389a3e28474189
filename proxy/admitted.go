package proxy

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"gatehouse/identity"
	"gatehouse/internal/fault"
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

// Review closes what of a tenant is open to people and programs who would not be let
// in any more, because of what they are by now: they have lost the role that allowed
// it, or were given one that may not come from where they do. It looks at those for
// whom concerns says true; nil is everybody. What they are must be in force before.
// When it returns without an error, what it has closed to the app is closed (P2), and
// what is under way and not decided yet will be decided by what is in force. Where it
// cannot be known, the client is asked to connect again (P7).
func (g *Gate) Review(ctx context.Context, tenant identity.TenantID, concerns func(*identity.Principal) bool) error {
	g.admitted.reviews.Add(1)
	var leaving []<-chan struct{}
	for _, s := range g.admitted.of(tenant) {
		p := s.whose.Load()
		if p == nil || concerns != nil && !concerns(p) {
			continue
		}
		code := g.judge(ctx, s, p)
		if err := ctx.Err(); err != nil {
			return fault.OutOfReach(err, "review-unfinished",
				"It is done, but not everything that is open has been looked at. Try again in a moment.")
		}
		if code == 0 {
			continue
		}
		s.terminate(code)
		if s.asked.Load() != nil { // else it is our own: one of them may be waiting for this
			leaving = append(leaving, s.gone())
		}
	}
	return awaitLeaving(ctx, leaving)
}

// judge gives the code by which a stream is to be closed; 0 if it may go on.
func (g *Gate) judge(ctx context.Context, s *stream, p *identity.Principal) int {
	if g.config.Admits(ctx, p, s.ip) != nil {
		return closeRestart
	}
	q := s.asked.Load()
	if q == nil { // not let through yet, or our own, which asks for itself
		return 0
	}
	permit, _, err := g.config.Decider.Decide(ctx, p, *q)
	switch {
	case err != nil:
		return closeRestart
	case !permit.Valid(q.Tenant):
		return closePolicy
	}
	return 0
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
