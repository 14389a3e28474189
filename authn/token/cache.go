package token

import (
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
	entries map[identity.TenantID]map[digest]*identity.Principal
	n       int // how many entries there are
	// turns counts how often a tenant was forgotten, so that what was read before
	// does not come in afterwards.
	turns map[identity.TenantID]uint64
	every uint64 // how often all were

	usesMu sync.Mutex
	uses   map[identity.TenantID]map[string]time.Time
	usesN  int
}

func newCache() *cache {
	return &cache{entries: map[identity.TenantID]map[digest]*identity.Principal{}, turns: map[identity.TenantID]uint64{}, uses: map[identity.TenantID]map[string]time.Time{}}
}

func (c *cache) get(key cacheKey) (*identity.Principal, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, ok := c.entries[key.tenant][key.hash]
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
	if _, there := c.entries[key.tenant][key.hash]; !there {
		if c.n >= maxCached {
			c.evict()
		}
		c.n++
	}
	if c.entries[key.tenant] == nil {
		c.entries[key.tenant] = map[digest]*identity.Principal{}
	}
	c.entries[key.tenant][key.hash] = p
}

// evict drops an entry of the tenant that has the most, so that none throws out those of
// the others.
func (c *cache) evict() {
	var most identity.TenantID
	for tenant, has := range c.entries {
		if len(has) > len(c.entries[most]) {
			most = tenant
		}
	}
	for hash := range c.entries[most] {
		delete(c.entries[most], hash)
		c.n--
		return
	}
}

// forget drops all entries of a tenant.
func (c *cache) forget(tenant identity.TenantID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns[tenant]++
	c.n -= len(c.entries[tenant])
	delete(c.entries, tenant)
}

func (c *cache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.every++
	clear(c.entries)
	c.n = 0
}

// held gives the tokens that are remembered, by tenant, and lets go of what has expired.
func (c *cache) held(now time.Time) map[identity.TenantID][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[identity.TenantID][]string{}
	for tenant, has := range c.entries {
		for hash, p := range has {
			if !p.Expires.After(now) {
				delete(has, hash)
				c.n--
				continue
			}
			all[tenant] = append(all[tenant], p.ID)
		}
		if len(has) == 0 {
			delete(c.entries, tenant)
		}
	}
	return all
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
