package directory

import (
	"sync"
	"sync/atomic"

	"gatehouse/identity"
)

// versions holds a number per tenant that is in use. Numbers come from one
// clock for all tenants, so that a tenant that was dropped and comes back never
// gets a number that somebody still remembers.
type versions struct {
	clock   atomic.Uint64
	mu      sync.RWMutex
	tenants map[identity.TenantID]*atomic.Uint64 // one entry per tenant that exists
}

func (v *versions) of(tenant identity.TenantID) uint64 { return v.entry(tenant).Load() }

func (v *versions) bump(tenant identity.TenantID) { v.entry(tenant).Store(v.clock.Add(1)) }

func (v *versions) bumpAll() {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, n := range v.tenants {
		n.Store(v.clock.Add(1))
	}
}

func (v *versions) entry(tenant identity.TenantID) *atomic.Uint64 {
	v.mu.RLock()
	n := v.tenants[tenant]
	v.mu.RUnlock()
	if n != nil {
		return n
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if n = v.tenants[tenant]; n == nil {
		if v.tenants == nil {
			v.tenants = make(map[identity.TenantID]*atomic.Uint64)
		}
		n = new(atomic.Uint64)
		n.Store(v.clock.Add(1))
		v.tenants[tenant] = n
	}
	return n
}

func (v *versions) drop(tenant identity.TenantID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.tenants, tenant)
}

// maxPeople bounds the cache of all tenants together: about 30 MB.
const maxPeople = 1 << 16

type personKey struct {
	tenant identity.TenantID
	user   identity.UserID
}

type cachedPerson struct {
	version uint64
	person  identity.Person
}

// personCache keeps people as of a version of their tenant's directory.
type personCache struct {
	mu     sync.RWMutex
	people map[personKey]cachedPerson
}

func (c *personCache) get(k personKey, version uint64) (identity.Person, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, ok := c.people[k]
	return p.person, ok && p.version == version
}

func (c *personCache) put(k personKey, version uint64, p identity.Person) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.people == nil {
		c.people = make(map[personKey]cachedPerson)
	}
	if _, known := c.people[k]; !known && len(c.people) >= maxPeople {
		for victim := range c.people { // any one: the map's order is random enough
			delete(c.people, victim)
			break
		}
	}
	c.people[k] = cachedPerson{version, p}
}

func (c *personCache) drop(tenant identity.TenantID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.people {
		if k.tenant == tenant {
			delete(c.people, k)
		}
	}
}
