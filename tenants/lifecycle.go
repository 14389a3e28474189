package tenants

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Why a tenant's sessions ended, as the journal keeps it.
const (
	reasonSuspended = "tenant-suspended"
	reasonDeleted   = "tenant-deleted"
)

// effectTime bounds each thing that follows a record. Its caller may go away,
// it goes on: what the journal says must come true.
const effectTime = 15 * time.Second

func effect(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), effectTime)
}

// Rooms are the parts of the gateway that serve tenants and remember things of
// them. They are made after this room: nothing is asked of them before [New]
// has returned.
type Rooms interface {
	// EndTenant ends what a tenant has open on every node, by sessions and
	// without, and returns once nothing of it is served (promise P2). After an
	// error that is not known; repeating it waits again.
	EndTenant(ctx context.Context, cause audit.Cause, tenant identity.TenantID, reason string) error
	// Restrict ends the sessions of a tenant that go beyond its settings, on every
	// node.
	Restrict(ctx context.Context, cause audit.Cause, tenant identity.TenantID) error
	// Reconnect has what of a tenant is open on this node ask anew whether it may:
	// by its settings, which are in force, others are let in than before. It must
	// not wait for anything.
	Reconnect(tenant identity.TenantID)
	// Forget lets go of what is in memory of a tenant that is deleted.
	Forget(tenant identity.TenantID)
}

// Delete removes a tenant for ever: nobody finds it by its hosts any more, what
// it has open ends (P2), its database and journal are removed and its key is
// destroyed, so that copies are unreadable (P10), and the rooms forget it. A
// deletion that failed half-way is finished by calling it again, and at the
// next start. ifVersion other than 0 must be the tenant's version, else nothing
// happens and the fault is of kind Precondition.
func (s *Service) Delete(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64) error {
	var t *Tenant
	err := s.alter(ctx, id, func() (recorded bool, err error) {
		t, recorded, err = s.giveUp(ctx, cause, id, ifVersion)
		return recorded, err
	})
	if t == nil {
		return err
	}
	if !t.quiet {
		err = errors.Join(err, s.end(ctx, cause, t, reasonDeleted))
	}
	if err != nil {
		return err
	}
	ctx, cancel := effect(ctx) // whoever asked may be gone: what is begun is finished
	defer cancel()
	return s.alter(ctx, id, func() (bool, error) { return true, s.remove(ctx, id) })
}

// giveUp is the point of no return of a deletion; it frees the hosts.
func (s *Service) giveUp(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64) (given *Tenant, recorded bool, err error) {
	if id == identity.Platform {
		return nil, false, errPlatform
	}
	t, ok := s.ByID(id)
	switch {
	case !ok:
		return nil, false, errNoTenant
	case ifVersion != 0 && ifVersion != t.Version:
		return nil, false, errVersion
	case t.Status == Deleting:
		return t, false, nil
	}
	e := cause.Event(identity.Platform, audit.TenantDeleted, audit.Success)
	e.Target = t.target()
	e.Details = map[string]string{"name": t.Name, "hosts": strings.Join(t.Hosts, " ")}
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return nil, false, err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	next := *t
	next.Status, next.Hosts, next.Version, next.UpdatedAt = Deleting, nil, t.Version+1, time.Now().UTC().Truncate(time.Millisecond)
	if err := s.store.System().Write(ctx, func(tx *store.Tx) error { return updateTenant(ctx, tx, &next) }); err != nil {
		return nil, true, fmt.Errorf("delete tenant %s: %w", t.Name, err)
	}
	s.tenants.put(&next)
	return &next, true, nil
}

// end ends what a tenant has open. One of its requests may be waiting for the
// tenant's turn to change: whoever has that may call end only for a tenant that
// is suspended already.
func (s *Service) end(ctx context.Context, cause audit.Cause, t *Tenant, reason string) error {
	ctx, cancel := effect(ctx)
	defer cancel()
	if err := s.rooms.EndTenant(ctx, cause, t.ID, reason); err != nil {
		return fmt.Errorf("end what tenant %s has open: %w", t.Name, err)
	}
	return nil
}

// remove takes away all that there is of a tenant of which nothing is open.
// The rooms forget it last, when there is nothing left that they could read.
func (s *Service) remove(ctx context.Context, id identity.TenantID) error {
	ctx, cancel := effect(ctx)
	defer cancel()
	t, ok := s.ByID(id)
	if !ok {
		return nil // another call was faster
	}
	quiet := *t
	quiet.quiet = true // ending needs what is erased now, and must not be asked for again
	s.tenants.put(&quiet)
	if err := s.erase(ctx, id); err != nil {
		return fmt.Errorf("delete tenant %s: %w", t.Name, err)
	}
	s.tenants.change(func(now *snapshot) *snapshot { return now.without(id) })
	s.connections.forget(id)
	s.rooms.Forget(id)
	return nil
}

// erase removes data, key and journal, and then the row: while that is there, a
// restart knows that there is something left to erase. The key goes even where
// the data cannot be removed, because without it the data is noise.
func (s *Service) erase(ctx context.Context, id identity.TenantID) error {
	if err := errors.Join(s.store.Drop(ctx, id), s.keys.Destroy(ctx, id), s.journal.Drop(id)); err != nil {
		return err
	}
	return s.store.System().Write(ctx, func(tx *store.Tx) error { return deleteTenant(ctx, tx, id) })
}
