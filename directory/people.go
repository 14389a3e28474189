package directory

import (
	"slices"
	"sync"
	"sync/atomic"

	"gatehouse/identity"
)

// maxPeople bounds what is remembered of all tenants together, about 30 MB: whoever is
// in many groups counts as several ([remembered.weight]).
const maxPeople = 1 << 16

// memory remembers, per tenant, a number that changes whenever anything in its
// directory does, and people, each until a change that is about them: while SQL is
// away nobody else can be asked who they are.
type memory struct {
	mu      sync.RWMutex
	tenants map[identity.TenantID]*known // one entry per tenant that exists
	people  int                          // in all of them
	lent    atomic.Bool                  // somebody is borrowed

	// clock gives the numbers of all tenants, so that a tenant that was dropped and
	// comes back never gets one that somebody still remembers.
	clock atomic.Uint64
}

type known struct {
	version atomic.Uint64
	people  map[identity.UserID]remembered
	borrows bool // somebody is borrowed, or was
	totals  map[kinds]total
}

// kinds are people, groups, or both.
type kinds struct{ users, groups bool }

// total is how many there were behind the change of this number ([Feed.Last]).
type total struct {
	change uint64
	n      int
}

type remembered struct {
	identity.Person
	borrowed bool // by another node's word
}

// weight is how many people somebody counts as.
func (r *remembered) weight() int { return 1 + len(r.Groups)/16 }

// version is the number of a tenant now.
func (m *memory) version(tenant identity.TenantID) uint64 {
	m.mu.RLock()
	k := m.tenants[tenant]
	m.mu.RUnlock()
	if k == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		k = m.ofLocked(tenant)
	}
	return k.version.Load()
}

// ofLocked is the entry of a tenant; m.mu is held.
func (m *memory) ofLocked(tenant identity.TenantID) *known {
	k := m.tenants[tenant]
	if k == nil {
		if m.tenants == nil {
			m.tenants = map[identity.TenantID]*known{}
		}
		k = &known{people: map[identity.UserID]remembered{}}
		k.version.Store(m.clock.Add(1))
		m.tenants[tenant] = k
	}
	return k
}

func (m *memory) get(tenant identity.TenantID, id identity.UserID) (identity.Person, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k := m.tenants[tenant]
	if k == nil {
		return identity.Person{}, false
	}
	p, ok := k.people[id]
	return p.Person, ok
}

// put remembers somebody who was read after the tenant had this version, unless it
// has another one by now: the change may have been about them. Who is borrowed is
// known by another node's word, until [memory.giveBack].
func (m *memory) put(tenant identity.TenantID, version uint64, p identity.Person, borrowed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.ofLocked(tenant)
	if k.version.Load() != version {
		return
	}
	m.forgetLocked(k, p.ID)
	r := remembered{p, borrowed}
	for m.people > 0 && m.people+r.weight() > maxPeople {
		if m.evictLocked(k) {
			continue
		}
		for _, k := range m.tenants {
			if m.evictLocked(k) {
				break
			}
		}
	}
	m.people += r.weight()
	k.people[p.ID] = r
	if borrowed {
		k.borrows = true
		m.lent.Store(true)
	}
}

// total is how many people, groups or both the tenant has behind a change, if that is known.
func (m *memory) total(tenant identity.TenantID, of kinds, change uint64) (n int, known bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k := m.tenants[tenant]
	if k == nil {
		return 0, false
	}
	t, known := k.totals[of]
	return t.n, known && t.change == change
}

// putTotal remembers what was counted.
func (m *memory) putTotal(tenant identity.TenantID, of kinds, t total) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.ofLocked(tenant)
	if k.totals == nil {
		k.totals = map[kinds]total{}
	}
	k.totals[of] = t
}

// evictLocked forgets any one of a tenant: the order of maps is random enough; false
// if there is nobody. The tenant that needs room is asked first. m.mu is held.
func (m *memory) evictLocked(k *known) bool {
	for victim := range k.people {
		m.forgetLocked(k, victim)
		return true
	}
	return false
}

// forgetLocked forgets somebody, if they are known. m.mu is held.
func (m *memory) forgetLocked(k *known, id identity.UserID) {
	if r, known := k.people[id]; known {
		m.people -= r.weight()
		delete(k.people, id)
	}
}

// giveBack forgets whom other nodes have told of. Their tenants, which it gives, have
// another version then: what was decided by such a word is to be forgotten as well.
func (m *memory) giveBack() (tenants []identity.TenantID) {
	if !m.lent.CompareAndSwap(true, false) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for tenant, k := range m.tenants {
		if !k.borrows {
			continue
		}
		k.borrows = false
		k.version.Store(m.clock.Add(1))
		tenants = append(tenants, tenant)
		for id, p := range k.people {
			if p.borrowed {
				m.forgetLocked(k, id)
			}
		}
	}
	return tenants
}

// change gives the tenant a new version and forgets these people, or [Everybody].
func (m *memory) change(tenant identity.TenantID, people []identity.UserID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.ofLocked(tenant)
	if slices.Equal(people, Everybody) {
		m.clearLocked(k)
		return
	}
	k.version.Store(m.clock.Add(1))
	for _, id := range people {
		m.forgetLocked(k, id)
	}
}

// changeEverywhere gives every tenant a new version and forgets everybody.
func (m *memory) changeEverywhere() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.tenants {
		m.clearLocked(k)
	}
}

func (m *memory) clearLocked(k *known) {
	k.version.Store(m.clock.Add(1))
	for id := range k.people {
		m.forgetLocked(k, id)
	}
}

// drop forgets a tenant.
func (m *memory) drop(tenant identity.TenantID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.tenants[tenant]; k != nil {
		for id := range k.people {
			m.forgetLocked(k, id)
		}
		delete(m.tenants, tenant)
	}
}
