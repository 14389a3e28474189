package local

import (
	"context"
	"sync/atomic"
	"time"

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
}

func newHasher(c Cost) *hasher {
	h := &hasher{cost: c, none: noHash(c)}
	h.strangers.taken, h.trusteds.taken = make(chan struct{}, strangerSlots), make(chan struct{}, trustedSlots)
	return h
}

func errBusy() error {
	f := fault.New(fault.Unavailable, "too-many-hashes", "Very many people are signing in at the moment. Try again in a moment.")
	f.RetryAfter = patience
	return f
}

// take waits for a slot.
func (s *slots) take(ctx context.Context) (free func(), err error) {
	free = func() { <-s.taken }
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
func (h *hasher) hash(ctx context.Context, password string) (hash, error) {
	free, err := h.trusteds.take(ctx)
	if err != nil {
		return hash{}, err
	}
	defer free()
	h.made.Add(1)
	return newHash(password, h.cost), nil
}

// compare tells whether a password is that of a hash, whatever there is to compare
// with: nil takes as long. anew is its hash at the present cost, if that is another.
func (h *hasher) compare(ctx context.Context, trusted bool, kept *hash, password string) (is bool, anew *hash, err error) {
	free, err := h.slotsFor(trusted).take(ctx)
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
