package local

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const (
	// strangerSlots and trustedSlots are how many passwords are hashed at once, of
	// whoever comes, and of those who have shown already that they are no strangers: by
	// a browser in which they have signed in before, or by a link. Together they bound
	// the memory that hashing takes.
	strangerSlots = 2
	trustedSlots  = 1
	// maxWaiting bounds how many wait for a slot of either kind, and patience for how
	// long.
	maxWaiting = 32
	patience   = 5 * time.Second
	// maxOfTenant is how many of one tenant are hashed or wait, of either kind: its
	// people, or whoever comes as them, keep nobody of another waiting for long.
	maxOfTenant = 8
)

// hasher makes and compares hashes, a few at a time.
type hasher struct {
	cost                Cost
	none                hash
	strangers, trusteds slots
	made                atomic.Int64 // hashes that were computed
}

// slots bound what is done at once.
type slots struct {
	taken   chan struct{}
	waiting atomic.Int64

	mu sync.Mutex
	of map[identity.TenantID]int // that are hashed or wait
}

func (s *slots) make(n int) {
	s.taken, s.of = make(chan struct{}, n), map[identity.TenantID]int{}
}

// enter counts one more of a tenant, if it has not too many.
func (s *slots) enter(tenant identity.TenantID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[tenant] >= maxOfTenant {
		return false
	}
	s.of[tenant]++
	return true
}

func (s *slots) leave(tenant identity.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[tenant]--; s.of[tenant] == 0 {
		delete(s.of, tenant)
	}
}

func newHasher(c Cost) *hasher {
	h := &hasher{cost: c, none: noHash(c)}
	h.strangers.make(strangerSlots)
	h.trusteds.make(trustedSlots)
	return h
}

func errBusy() error {
	f := fault.New(fault.Unavailable, "too-many-hashes", "Very many people are signing in at the moment. Try again in a moment.")
	f.RetryAfter = patience
	return f
}

// take waits for a slot.
func (s *slots) take(ctx context.Context, tenant identity.TenantID) (free func(), err error) {
	if !s.enter(tenant) {
		return nil, errBusy()
	}
	defer func() {
		if err != nil {
			s.leave(tenant)
		}
	}()
	free = func() { <-s.taken; s.leave(tenant) }
	select {
	case s.taken <- struct{}{}:
		return free, nil
	default:
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return nil, errBusy()
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s.taken <- struct{}{}:
		return free, nil
	case <-wait.Done():
		return nil, errBusy()
	}
}

func (h *hasher) slotsFor(trusted bool) *slots {
	if trusted {
		return &h.trusteds
	}
	return &h.strangers
}

// hash hashes a new password.
func (h *hasher) hash(ctx context.Context, tenant identity.TenantID, password string) (hash, error) {
	free, err := h.trusteds.take(ctx, tenant)
	if err != nil {
		return hash{}, err
	}
	defer free()
	h.made.Add(1)
	return newHash(password, h.cost), nil
}

// compare tells whether a password is that of a hash, whatever there is to compare
// with: nil takes as long. anew is its hash at the present cost, if that is another.
func (h *hasher) compare(ctx context.Context, tenant identity.TenantID, trusted bool, kept *hash, password string) (is bool, anew *hash, err error) {
	free, err := h.slotsFor(trusted).take(ctx, tenant)
	if err != nil {
		return false, nil, err
	}
	defer free()
	with := h.none
	if kept != nil {
		with = *kept
	}
	h.made.Add(1)
	is = with.is(password) && kept != nil
	if is && with.cost != h.cost {
		h.made.Add(1)
		made := newHash(password, h.cost)
		anew = &made
	}
	return is, anew, nil
}
