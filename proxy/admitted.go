package proxy

import (
	"sync"
	"sync/atomic"

	"gatehouse/identity"
)

// admitted are the streams that a change of their tenant's settings cuts, from
// before anybody looks at who asks: what was let in under the old settings is
// found, and what enters later is judged by the new ones. There are no more of
// them than requests under way.
type admitted struct {
	next   atomic.Uint32 // where the next one goes: by turns, so that they seldom meet
	shards [32]admittedShard
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
	var outdated []*stream
	for i := range g.admitted.shards {
		shard := &g.admitted.shards[i]
		shard.mu.Lock()
		for s := range shard.streams {
			if s.tenant == tenant {
				outdated = append(outdated, s)
			}
		}
		shard.mu.Unlock()
	}
	for _, s := range outdated {
		s.terminate(closeRestart) // does nothing to one that is finished by now
	}
}
