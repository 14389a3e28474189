package gateway

import (
	"context"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// reconcileAgain is how long after a failure it is tried again, and reconcileTime how
// long one tenant may take.
const (
	reconcileAgain = 5 * time.Second
	reconcileTime  = 30 * time.Second
)

// reconcile has the journal of every tenant say what the process before this one has
// recorded of its directory and not made. Who changes something in a directory before it
// comes to it has that done first.
func (r *rooms) reconcile(ctx context.Context) error {
	var left []identity.TenantID
	for _, t := range r.tenants.List() {
		left = append(left, t.ID)
	}
	for len(left) > 0 && ctx.Err() == nil {
		var again []identity.TenantID
		for _, tenant := range left {
			if err := r.reconcileOne(ctx, tenant); err != nil && !fault.Is(err, fault.NotFound) && ctx.Err() == nil {
				r.nodes.log.WarnContext(ctx, "it is not known whether a change was recorded and not made", "tenant", tenant, "error", err)
				again = append(again, tenant)
			}
		}
		if left = again; len(left) > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(reconcileAgain):
			}
		}
	}
	return nil
}

func (r *rooms) reconcileOne(ctx context.Context, tenant identity.TenantID) error {
	if _, there := r.tenants.ByID(tenant); !there {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reconcileTime)
	defer cancel()
	return r.directory.Reconcile(ctx, tenant)
}
