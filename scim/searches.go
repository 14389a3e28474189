package scim

import (
	"context"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const (
	// maxSearches is how many lists of a tenant may look at everybody at the same time,
	// here: fewer than SQLite has readers of a tenant, so that others find one.
	maxSearches = 2
	// maxWaiting may wait for their turn, each so long.
	maxWaiting = 8
	searchWait = 2 * time.Second
)

// searches keeps lists that no index serves from taking all there is of a tenant's
// database. It holds what is under way and no more.
type searches struct {
	mu    sync.Mutex
	turns map[identity.TenantID]*turns
}

type turns struct {
	free chan struct{} // holds as many as look
	want int           // how many look or wait
}

func errSearches() error {
	f := fault.New(fault.TooMany, "searches-busy", "Too many searches through everybody at the same time. Try again in a moment, or ask for something that is looked up, such as userName, externalId or an address.")
	f.RetryAfter = 5 * time.Second
	return f
}

// begin waits for a search's turn; end is to be called when it is over.
func (s *searches) begin(ctx context.Context, tenant identity.TenantID) (end func(), err error) {
	s.mu.Lock()
	t := s.turns[tenant]
	if t == nil {
		if s.turns == nil {
			s.turns = make(map[identity.TenantID]*turns)
		}
		t = &turns{free: make(chan struct{}, maxSearches)}
		s.turns[tenant] = t
	}
	if t.want == maxSearches+maxWaiting {
		s.mu.Unlock()
		return nil, errSearches()
	}
	t.want++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.want--; t.want == 0 {
			delete(s.turns, tenant)
		}
	}
	patience := time.NewTimer(searchWait)
	defer patience.Stop()
	select {
	case t.free <- struct{}{}:
		return func() { <-t.free; leave() }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-patience.C:
		err = errSearches()
	}
	leave()
	return nil, err
}
