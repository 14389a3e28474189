package store

import (
	"context"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// turnTime is how long somebody waits for their turn.
const turnTime = 5 * time.Second

// Turns lets those go one after the other on this node who change the same of
// one tenant, so that what was checked before the journal's record still holds
// at the write after it; no tenant waits for another. Other nodes know nothing
// of it: what must hold there too is checked in the write. The zero value is
// ready.
type Turns struct {
	mu    sync.Mutex
	asked map[identity.TenantID]*turn
}

type turn struct {
	taken chan struct{} // full while somebody has it
	users int           // who have it or wait for it
}

// Take waits for the tenant's turn, which lasts until done is called: not
// longer than ctx, nor longer than a few seconds (a fault of kind Unavailable).
func (t *Turns) Take(ctx context.Context, tenant identity.TenantID) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	own := t.ask(tenant)
	select {
	case own.taken <- struct{}{}:
		return func() {
			<-own.taken
			t.leave(tenant, own)
		}, nil
	case <-ctx.Done():
		t.leave(tenant, own)
		return nil, fault.OutOfReach(ctx.Err(), "changes-under-way", "Other changes are under way here and take too long. Try again in a moment.")
	}
}

func (t *Turns) ask(tenant identity.TenantID) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.asked[tenant]
	if own == nil {
		if t.asked == nil {
			t.asked = make(map[identity.TenantID]*turn)
		}
		own = &turn{taken: make(chan struct{}, 1)}
		t.asked[tenant] = own
	}
	own.users++
	return own
}

func (t *Turns) leave(tenant identity.TenantID, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(t.asked, tenant)
	}
}
