package scim

import (
	"maps"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// leastPause is the shortest time between two rehearsals of a tenant here.
const leastPause = time.Second

// rehearsals has a tenant rehearse one request at a time on this node, with a pause after
// each that is as long as it took: what comes true needs the turn and the writer that a
// rehearsal holds, and is not to wait for one after the other. It holds what is under way
// and the pauses, and no more.
type rehearsals struct {
	mu sync.Mutex
	// until is when a tenant's next one may begin; the zero time: one is under way.
	until map[identity.TenantID]time.Time
}

// begin refuses with TooMany, at once, where one is under way or the pause is not over.
func (r *rehearsals) begin(tenant identity.TenantID) (end func(), err error) {
	began := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.until, func(_ identity.TenantID, until time.Time) bool { return !until.IsZero() && !until.After(began) })
	if until, busy := r.until[tenant]; busy {
		f := fault.New(fault.TooMany, "rehearsal-busy", "Requests are tried again one at a time, with a pause after each. Try again in a moment.")
		f.RetryAfter = max(until.Sub(began), leastPause)
		return nil, f
	}
	if r.until == nil {
		r.until = make(map[identity.TenantID]time.Time)
	}
	r.until[tenant] = time.Time{}
	return func() {
		over := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.until[tenant] = over.Add(max(over.Sub(began), leastPause))
	}, nil
}
