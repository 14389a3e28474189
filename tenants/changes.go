package tenants

import (
	"context"
	"slices"
	"sync"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// changes keeps the changes of one tenant apart, so that one that hangs holds up
// nobody else's, and what two tenants may not both have from being given twice at
// once. It holds what is under way and no more; between nodes, SQL decides.
type changes struct {
	mu      sync.Mutex
	turns   map[identity.TenantID]*turn
	claimed map[string]struct{} // names and hosts that are being given
}

// turn is held by one change of a tenant at a time.
type turn struct {
	held chan struct{} // holds one
	want int           // who holds it or waits
}

// begin waits for the changes of the tenant that are under way.
func (c *changes) begin(ctx context.Context, tenant identity.TenantID) (end func(), err error) {
	c.mu.Lock()
	if c.turns == nil {
		c.turns = map[identity.TenantID]*turn{}
	}
	t := c.turns[tenant]
	if t == nil {
		t = &turn{held: make(chan struct{}, 1)}
		c.turns[tenant] = t
	}
	t.want++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.want--; t.want == 0 {
			delete(c.turns, tenant)
		}
	}
	end = func() { <-t.held; leave() }
	select {
	case t.held <- struct{}{}:
		return end, nil
	default:
	}
	select {
	case t.held <- struct{}{}:
		return end, nil
	case <-ctx.Done():
		leave()
		return nil, fault.OutOfReach(context.Cause(ctx), "change-under-way", "Another change of the same tenant is still under way. Try again in a moment.")
	}
}

// claim keeps a tenant's name and hosts from being given to another until
// released, or names what is being given already. What is given stands in the
// snapshot, which is to be asked after this.
func (c *changes) claim(t *Tenant) (release func(), what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := append([]string{"name " + t.Name}, t.Hosts...)
	for i := range t.Hosts {
		names[i+1] = "host " + t.Hosts[i]
	}
	if i := slices.IndexFunc(names, func(name string) bool { _, taken := c.claimed[name]; return taken }); i >= 0 {
		return nil, names[i]
	}
	if c.claimed == nil {
		c.claimed = map[string]struct{}{}
	}
	for _, name := range names {
		c.claimed[name] = struct{}{}
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, name := range names {
			delete(c.claimed, name)
		}
	}, ""
}
