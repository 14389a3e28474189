package brake

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	// lookEvery is how often every tenant is looked at for one that is held by another
	// node, so that this one tells of it too.
	lookEvery = time.Hour
	// lookAgain is how often those are that are known to be, which an admin may have
	// decided about at another node.
	lookAgain = 10 * time.Second
	// lookTime bounds one look.
	lookTime = 5 * time.Second
)

// Holding is a tenant whose brake is held.
type Holding struct {
	Tenant identity.TenantID
	Why    string // a sentence
}

// Held gives the tenants whose brake is held, as far as this node knows. It waits for
// nothing.
func (s *Service) Held() []Holding {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Holding, 0, len(s.held))
	for tenant, why := range s.held {
		all = append(all, Holding{tenant, why})
	}
	slices.SortFunc(all, func(a, b Holding) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return all
}

// Forget drops what is known of a tenant that was deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, tenant)
	delete(s.counted, tenant)
}

// recall has a record know how many people there were when somebody last looked, if that
// is later than what it says itself. Nobody is held by that.
func (s *Service) recall(tenant identity.TenantID, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.counted[tenant]; ok && last.version == r.version && last.at.After(r.counted) {
		r.people, r.counted = last.people, last.at
	}
}

func (s *Service) remember(tenant identity.TenantID, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted[tenant] = counted{r.people, r.counted, r.version}
}

// know takes down whether a brake is held. What is told of it stays as it was when that
// began.
func (s *Service) know(tenant identity.TenantID, r *record, rules Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.state != Held || rules.Off {
		delete(s.held, tenant)
		return
	}
	s.held[tenant] = r.tells(rules)
}

// Run looks for brakes that are held until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	all, again := time.NewTicker(lookEvery), time.NewTicker(lookAgain)
	defer all.Stop()
	defer again.Stop()
	whole := s.Look(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-all.C:
			if !s.alone || !whole { // else there is nothing to find, and a look opens every tenant's file
				whole = s.Look(ctx)
			}
		case <-again.C:
			s.LookAgain(ctx)
		}
	}
}

// Look looks at every tenant, and reports whether it has seen them all.
func (s *Service) Look(ctx context.Context) bool { return s.look(ctx, s.tenants()) }

// LookAgain looks at those whose brake is known to be held.
func (s *Service) LookAgain(ctx context.Context) {
	s.mu.Lock()
	known := slices.Collect(maps.Keys(s.held))
	s.mu.Unlock()
	s.look(ctx, known)
}

// look finds out whether these are held, and reports whether it has for all. Of one that
// cannot be read it stays as it was.
func (s *Service) look(ctx context.Context, of []identity.TenantID) (whole bool) {
	whole = true
	for _, tenant := range of {
		if ctx.Err() != nil {
			return false
		}
		if err := s.lookAt(ctx, tenant); err != nil {
			whole = false
			s.log.WarnContext(ctx, "it is not known whether a brake is held", "tenant", tenant, "error", err)
		}
	}
	return whole
}

func (s *Service) lookAt(ctx context.Context, tenant identity.TenantID) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx, s.now())
		if err == nil {
			s.know(tenant, &r, s.rules(tenant))
		}
		return err
	})
}
