package tenants

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"gatehouse/identity"
)

// snapshot is all tenants at one moment. It is never changed: a change builds
// the next one, so that requests read without a lock.
type snapshot struct {
	byID   map[identity.TenantID]*Tenant
	byName map[string]*Tenant
	byHost map[string]*Tenant
	list   []*Tenant // by name
}

// snapshots holds the snapshot of this moment.
type snapshots struct {
	current atomic.Pointer[snapshot]
	mu      sync.Mutex
	changes uint64 // so that what was read from SQL before one does not undo it
}

func (s *snapshots) now() *snapshot { return s.current.Load() }

func (s *snapshots) change(next func(*snapshot) *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.current.Store(next(s.current.Load()))
}

func (s *snapshots) put(t *Tenant) {
	s.change(func(now *snapshot) *snapshot {
		if known := now.byID[t.ID]; known != nil && known.Version > t.Version {
			return now // another node has changed it again, and was read meanwhile
		}
		return now.with(t)
	})
}

// turn is to be asked before SQL is, and given to reset with what it said.
func (s *snapshots) turn() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// reset puts in place what was read from SQL; not if there was a change since.
func (s *snapshots) reset(turn uint64, next *snapshot) (before *snapshot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != turn {
		return nil, false
	}
	s.changes++ // so that a slower one, which read earlier, reads anew
	return s.current.Swap(next), true
}

func newSnapshot(byID map[identity.TenantID]*Tenant) *snapshot {
	s := &snapshot{byID: byID, byName: map[string]*Tenant{}, byHost: map[string]*Tenant{}}
	for _, t := range byID {
		s.byName[t.Name] = t
		for _, host := range t.Hosts {
			s.byHost[host] = t
		}
	}
	s.list = slices.SortedFunc(maps.Values(byID), func(a, b *Tenant) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (s *snapshot) with(t *Tenant) *snapshot {
	byID := maps.Clone(s.byID)
	byID[t.ID] = t
	return newSnapshot(byID)
}

func (s *snapshot) without(id identity.TenantID) *snapshot {
	byID := maps.Clone(s.byID)
	delete(byID, id)
	return newSnapshot(byID)
}

// collision finds a name or host of t that is another tenant's.
func (s *snapshot) collision(t *Tenant) (what string, found bool) {
	if other := s.byName[t.Name]; other != nil && other.ID != t.ID {
		return "name " + t.Name, true
	}
	for _, host := range t.Hosts {
		if other := s.byHost[host]; other != nil && other.ID != t.ID {
			return "host " + host, true
		}
	}
	return "", false
}

// ByHost finds whose host a request was sent to, in any spelling.
func (s *Service) ByHost(host string) (*Tenant, bool) {
	byHost := s.tenants.now().byHost
	if t, ok := byHost[host]; ok {
		return t, true
	}
	canonical, err := CanonicalHost(host)
	if err != nil {
		return nil, false
	}
	t, ok := byHost[canonical]
	return t, ok
}

// ByID finds a tenant, of any status.
func (s *Service) ByID(id identity.TenantID) (*Tenant, bool) {
	t, ok := s.tenants.now().byID[id]
	return t, ok
}

// ByName finds a tenant, of any status.
func (s *Service) ByName(name string) (*Tenant, bool) {
	t, ok := s.tenants.now().byName[name]
	return t, ok
}

// List returns all tenants by name, the platform included.
func (s *Service) List() []*Tenant { return slices.Clone(s.tenants.now().list) }

// Refresh reads all tenants anew, because another node may have changed them,
// and lets go of those that are there no more. When it returns without an error,
// what SQL had when it was called is in force here.
func (s *Service) Refresh(ctx context.Context) error {
	for {
		turn := s.tenants.turn()
		byID, err := loadTenants(ctx, s.store.System())
		if err != nil {
			return err
		}
		for id, t := range byID {
			if known, ok := s.ByID(id); ok {
				t.quiet = known.quiet // SQL does not know how far a deletion is
			}
		}
		before, ok := s.tenants.reset(turn, newSnapshot(byID))
		if !ok {
			continue // a change here was faster
		}
		s.connections.forgetAll()
		for id, known := range before.byID {
			if now := byID[id]; now != nil {
				s.judgeAnew(known, now)
			} else {
				s.letGo(ctx, id)
			}
		}
		return nil
	}
}

// letGo forgets a tenant that another node has deleted, and removes its journal,
// whose key is destroyed by then (P10). Where there still is a key, it is SQL that
// has lost the tenant: its journal stays.
func (s *Service) letGo(ctx context.Context, id identity.TenantID) {
	s.keys.Forget(id)
	s.rooms.Forget(id)
	if has, err := s.keys.Has(ctx, id); has || err != nil || id == identity.Platform {
		s.log.ErrorContext(ctx, "a tenant is gone from the database, but not its key; its journal stays", "tenant", id, "error", err)
		return
	}
	if err := s.journal.Drop(id); err != nil {
		s.log.WarnContext(ctx, "the journal of a deleted tenant was not removed", "tenant", id, "error", err)
	}
}
