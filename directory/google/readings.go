package google

import (
	"context"
	"sync"

	"gatehouse/identity"
)

// readings are those under way on this node. The zero value has none.
type readings struct {
	mu  sync.Mutex
	all map[*underWay]identity.TenantID
}

// underWay is one reading.
type underWay struct {
	stop  context.CancelCauseFunc
	ended chan struct{}
}

// begin has a reading be among them until it is ended.
func (s *readings) begin(tenant identity.TenantID, stop context.CancelCauseFunc) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*underWay]identity.TenantID{}
	}
	u := &underWay{stop: stop, ended: make(chan struct{})}
	s.all[u] = tenant
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, u)
		close(u.ended)
	}
}

// halt stops the reading of a tenant and waits for its end, so that nothing it has begun
// comes true after what follows. It waits no longer than half of what an effect may take:
// what a reading does that does not end is refused then (see [run.request]).
func (s *readings) halt(ctx context.Context, tenant identity.TenantID) {
	ctx, cancel := context.WithTimeout(ctx, effectTime/2)
	defer cancel()
	for _, u := range s.of(tenant) {
		u.stop(errLost)
		select {
		case <-u.ended:
		case <-ctx.Done():
		}
	}
}

func (s *readings) of(tenant identity.TenantID) (found []*underWay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for u, t := range s.all {
		if t == tenant {
			found = append(found, u)
		}
	}
	return found
}
