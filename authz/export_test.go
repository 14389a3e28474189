package authz

import (
	"context"

	"gatehouse/identity"
)

// Kept is how many tenants' policies are in memory.
func (e *Engine) Kept() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return len(e.views)
}

// DecideAnew is Decide without looking at what is remembered.
func (e *Engine) DecideAnew(ctx context.Context, p *identity.Principal, q Query) (Decision, error) {
	if d, settled := settle(p, q); settled {
		return d, nil
	}
	v, err := e.current(ctx, q.Tenant)
	if err != nil {
		return Decision{}, err
	}
	d, _, err := e.evaluate(ctx, v, p, q)
	return d, err
}
