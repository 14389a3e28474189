package token

import (
	"maps"
	"sync"
	"time"

	"gatehouse/identity"
)

// Bounds of what is kept in memory, over all tenants.
const (
	maxCached = 10_000
	maxUses   = 10_000
)

// cacheKey holds the tenant, so that one's token is unknown at another.
type cacheKey struct {
	tenant identity.TenantID
	hash   digest
}

// cache answers for tokens that verified before, and gathers their uses. Only
// good tokens get in, so guessing cannot fill it; whether one has expired is
// asked every time.
type cache struct {
	mu      sync.RWMutex
	entries map[cacheKey]*identity.Principal
	// turns counts how often a tenant was forgotten, so that what was read before
	// does not come in afterwards.
	turns map[identity.TenantID]uint64
	every uint64 // how often all were

	usesMu sync.Mutex
	uses   map[identity.TenantID]map[string]time.Time
	usesN  int
}

func newCache() *cache {
	return &cache{entries: map[cacheKey]*identity.Principal{}, turns: map[identity.TenantID]uint64{}, uses: map[identity.TenantID]map[string]time.Time{}}
}

func (c *cache) get(key cacheKey) (*identity.Principal, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, ok := c.entries[key]
	return p, ok
}

func (c *cache) turn(tenant identity.TenantID) turn {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return turn{c.turns[tenant], c.every}
}

type turn struct{ tenant, every uint64 }

// put keeps what was read in a turn of the tenant, unless the tenant was
// forgotten since.
func (c *cache) put(key cacheKey, p *identity.Principal, read turn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (turn{c.turns[key.tenant], c.every}) != read {
		return
	}
	for other := range c.entries {
		if len(c.entries) < maxCached {
			break
		}
		delete(c.entries, other)
	}
	c.entries[key] = p
}

// forget drops all entries of a tenant.
func (c *cache) forget(tenant identity.TenantID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns[tenant]++
	maps.DeleteFunc(c.entries, func(key cacheKey, _ *identity.Principal) bool { return key.tenant == tenant })
}

func (c *cache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.every++
	clear(c.entries)
}

// used notes a use; when too many are waiting to be written it is let go, since
// it is told to people and decides nothing.
func (c *cache) used(tenant identity.TenantID, id string, at time.Time) {
	c.usesMu.Lock()
	defer c.usesMu.Unlock()
	last, known := c.uses[tenant][id]
	switch {
	case known && !at.After(last):
		return
	case !known && c.usesN >= maxUses:
		return
	case !known:
		c.usesN++
	}
	if c.uses[tenant] == nil {
		c.uses[tenant] = map[string]time.Time{}
	}
	c.uses[tenant][id] = at
}

func (c *cache) takeUses() map[identity.TenantID]map[string]time.Time {
	c.usesMu.Lock()
	defer c.usesMu.Unlock()
	taken := c.uses
	c.uses, c.usesN = map[identity.TenantID]map[string]time.Time{}, 0
	return taken
}

func (c *cache) dropUses(tenant identity.TenantID) {
	c.usesMu.Lock()
	defer c.usesMu.Unlock()
	c.usesN -= len(c.uses[tenant])
	delete(c.uses, tenant)
}
