package signals

import (
	"context"
	"sync"

	"gatehouse/identity"
)

const (
	// maxAtOnce bounds how many transmitters are waited for at once, and
	// maxTenantAtOnce how many of one tenant's.
	maxAtOnce       = 64
	maxTenantAtOnce = 4
)

// slots share out the waiting for transmitters.
type slots struct {
	mu      sync.Mutex
	taken   int
	of      map[identity.TenantID]int
	waiting int
	freed   chan struct{} // closed when one is
}

func newSlots() *slots { return &slots{of: map[identity.TenantID]int{}, freed: make(chan struct{})} }

// take waits for a slot; not ok if ctx ends before. crowded says that others wait
// for one too, or had to: whoever has it should not keep it for long.
func (s *slots) take(ctx context.Context, tenant identity.TenantID) (crowded, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.taken >= maxAtOnce || s.of[tenant] >= maxTenantAtOnce {
		crowded = true
		s.waiting++
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
		}
		s.mu.Lock()
		s.waiting--
		if ctx.Err() != nil {
			return crowded, false
		}
	}
	s.taken++
	s.of[tenant]++
	return crowded || s.waiting > 0, true
}

func (s *slots) free(tenant identity.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.of[tenant]--; s.of[tenant] == 0 {
		delete(s.of, tenant)
	}
	close(s.freed)
	s.freed = make(chan struct{})
}
