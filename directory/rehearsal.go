package directory

import (
	"context"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// rehearsalTime bounds a rehearsal: the tenant's other changes wait for it.
const rehearsalTime = 3 * time.Second

// Rehearse runs do with a directory of the tenant in which every call does what it would
// do now, and nothing of it comes true: no row, no record, no session's end, and no other
// node is told. What do finds out is what would be, each call behind those before it. It
// takes 3 seconds at most, and is not to be kept after do.
func (s *Service) Rehearse(ctx context.Context, tenant identity.TenantID, do func(context.Context, *Service) error) error {
	ctx, cancel := context.WithTimeout(ctx, rehearsalTime)
	defer cancel()
	done, err := s.changes.Take(ctx, tenant) // what others record is to come true in time
	if err != nil {
		return err
	}
	defer done()
	brake := s.brake
	if b, ok := brake.(interface{ Rehearsing() Brake }); ok {
		brake = b.Rehearsing()
	}
	return s.store.Tenant(tenant).Rehearse(ctx, func(part store.Tenant) error {
		none := func(context.Context, identity.TenantID, bool, []identity.UserID) error { return nil }
		return do(ctx, &Service{store: rehearsed{part}, journal: unheard{}, sessions: unheard{}, announce: none,
			withdraw: s.withdraw, retire: s.retire, brake: brake, roles: s.roles, retain: s.retain, maxMembers: s.maxMembers, rehearses: true})
	})
}

// rehearsed gives the one tenant that a rehearsal is about.
type rehearsed struct{ part store.Tenant }

func (r rehearsed) Tenant(id identity.TenantID) store.Tenant {
	if id != r.part.ID() {
		return store.Tenant{}
	}
	return r.part
}

// unheard stands for those whom a rehearsal tells nothing.
type unheard struct{}

func (unheard) Commit(context.Context, audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, nil
}

func (unheard) EndUser(context.Context, audit.Cause, identity.TenantID, identity.UserID, string) (int, error) {
	return 0, nil
}
