package tenants

import (
	"cmp"
	"maps"
	"slices"

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
	byHost := s.snapshot.Load().byHost
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
	t, ok := s.snapshot.Load().byID[id]
	return t, ok
}

// ByName finds a tenant, of any status.
func (s *Service) ByName(name string) (*Tenant, bool) {
	t, ok := s.snapshot.Load().byName[name]
	return t, ok
}

// List returns all tenants by name, the platform included.
func (s *Service) List() []*Tenant { return slices.Clone(s.snapshot.Load().list) }
