package tenants

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Store makes and removes tenants' databases and hands out the handles on them.
type Store interface {
	Tenant(id identity.TenantID) store.Tenant
	System() store.System
	Create(ctx context.Context, id identity.TenantID) error
	Drop(ctx context.Context, id identity.TenantID) error
}

// Keys makes and destroys tenants' data keys and seals the secrets of their
// connections, and their logos.
type Keys interface {
	Create(ctx context.Context, tenant identity.TenantID) error
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
	Destroy(ctx context.Context, tenant identity.TenantID) error
	Has(ctx context.Context, tenant identity.TenantID) (bool, error)
	// Forget lets go of the key of a tenant that another node has deleted.
	Forget(tenant identity.TenantID)
}

// Journal records changes, and drops what it holds of a deleted tenant, whose
// key is destroyed by then.
type Journal interface {
	audit.Recorder
	Drop(tenant identity.TenantID) error
}

// Config is what a [Service] is made of.
type Config struct {
	Store   Store
	Keys    Keys
	Journal Journal
	Rooms   Rooms
	// PlatformHost is the operators' host; it becomes the one host of
	// [identity.Platform]. Empty leaves that tenant's hosts as they are.
	PlatformHost string
	// Announce tells the other nodes that a tenant, or its connections, have changed, and returns
	// once they have taken it in ([Service.Refresh]). Where nothing has changed now, it does
	// so only if an earlier announcement failed. Nil: there are none.
	Announce func(ctx context.Context, tenant identity.TenantID, changed bool) error
	// Resolver is asked whose a domain is; nil: the machine's own.
	Resolver Resolver
	Log      *slog.Logger // nil discards
}

// Service keeps the tenants. Reading costs no lock and no query; changes are
// rare, and those of one tenant go one after the other.
type Service struct {
	store    Store
	keys     Keys
	journal  Journal
	rooms    Rooms
	announce func(context.Context, identity.TenantID, bool) error
	resolver Resolver
	log      *slog.Logger

	changes     changes // of tenants and their connections, that are under way here
	tenants     snapshots
	connections connectionCache
	images      unpacker
}

var (
	errNoTenant = fault.New(fault.NotFound, "no-such-tenant", "There is no such tenant.")
	errVersion  = fault.New(fault.Precondition, "version-changed", "It was changed by somebody else in the meantime. Load it again and repeat the change.")
	errPlatform = fault.New(fault.Conflict, "platform-stays", "The operators' own tenant cannot be deleted.")
	errDeleting = fault.New(fault.Conflict, "tenant-deleting", "This tenant is being deleted. Nothing of it can be changed any more.")
)

// New loads the tenants, makes the platform's if it is missing, and finishes
// deletions that were cut short. One that fails again stays to be repeated.
func New(ctx context.Context, c Config) (*Service, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Announce == nil {
		c.Announce = func(context.Context, identity.TenantID, bool) error { return nil }
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	s := &Service{store: c.Store, keys: c.Keys, journal: c.Journal, rooms: c.Rooms, announce: c.Announce, resolver: c.Resolver, log: c.Log, images: make(unpacker, 1)}
	byID, err := loadTenants(ctx, c.Store.System())
	if err != nil {
		return nil, err
	}
	for id, t := range byID {
		if t.Status != Deleting {
			continue
		}
		if err := s.erase(ctx, id); err != nil {
			// Nobody else waits for it: it can be repeated while others are served.
			c.Log.ErrorContext(ctx, "the deletion of a tenant could not be finished; delete it again", "tenant", id, "error", err)
			t.quiet = true
			continue
		}
		delete(byID, id)
	}
	s.tenants.change(func(*snapshot) *snapshot { return newSnapshot(byID) })
	if err := s.ensurePlatform(ctx, c.PlatformHost); err != nil {
		return nil, fmt.Errorf("platform tenant: %w", err)
	}
	return s, nil
}

func (s *Service) ensurePlatform(ctx context.Context, host string) error {
	var hosts []string
	if host != "" {
		hosts = []string{host}
	}
	if _, ok := s.ByID(identity.Platform); !ok {
		_, _, err := s.create(ctx, audit.SystemCause(), Tenant{ID: identity.Platform, Name: identity.PlatformName,
			DisplayName: "Platform", Hosts: hosts, Status: Active})
		return err
	}
	if host == "" {
		return nil
	}
	return s.alter(ctx, identity.Platform, func() (recorded bool, err error) {
		_, recorded, err = s.update(ctx, audit.SystemCause(), identity.Platform, 0, func(t *Tenant) error {
			t.Hosts = hosts
			return nil
		})
		return recorded, err
	})
}

// Create makes a tenant with a key and a database of its own, and returns it as
// it was kept: with its id, canonical hosts and version 1. An empty status is
// [Active].
func (s *Service) Create(ctx context.Context, cause audit.Cause, t Tenant) (*Tenant, error) {
	t.ID = identity.NewTenantID()
	if t.Status == "" {
		t.Status = Active
	}
	var made *Tenant
	err := s.alter(ctx, t.ID, func() (recorded bool, err error) {
		made, recorded, err = s.create(ctx, cause, t)
		return recorded, err
	})
	return made, err
}

// alter makes a change that is recorded first. The others are told after it, when
// nobody waits for it any more; if they cannot be, the change stands all the same
// and is given with the error.
func (s *Service) alter(ctx context.Context, tenant identity.TenantID, change func() (recorded bool, err error)) error {
	end, err := s.changes.begin(ctx, tenant)
	if err != nil {
		return err
	}
	recorded, err := func() (bool, error) {
		defer end()
		return change()
	}()
	ctx, cancel := effect(ctx)
	defer cancel()
	if recorded && err != nil && !fault.Is(err, fault.Precondition) && !fault.Is(err, fault.Conflict) {
		// Whether it was written is not known: what SQL says now is so.
		err = errors.Join(err, s.Refresh(ctx))
	}
	return errors.Join(err, s.announce(ctx, tenant, recorded))
}

func (s *Service) create(ctx context.Context, cause audit.Cause, t Tenant) (made *Tenant, recorded bool, err error) {
	if err := t.check(); err != nil {
		return nil, false, err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	t.Version, t.CreatedAt, t.UpdatedAt = 1, now, now

	release, err := s.claim(&t)
	if err != nil {
		return nil, false, err
	}
	defer release()
	if t.ID == identity.Platform {
		// Its journal is where its own creation is recorded, and needs its key.
		if err := s.keys.Create(ctx, t.ID); err != nil {
			return nil, false, err
		}
	}
	e := cause.Event(identity.Platform, audit.TenantCreated, audit.Success)
	e.Target = t.target()
	e.Details = map[string]string{"name": t.Name, "hosts": strings.Join(t.Hosts, " "), "display_name": t.DisplayName}
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return nil, false, err
	}
	if err := s.settle(ctx, &t); err != nil {
		if t.ID != identity.Platform {
			ctx, cancel := effect(ctx)
			defer cancel()
			err = errors.Join(err, s.erase(ctx, t.ID))
		}
		return nil, true, fmt.Errorf("create tenant %s: %w", t.Name, err)
	}
	s.tenants.put(&t)
	return &t, true, nil
}

// claim keeps the name and hosts of a tenant for its change until released; on
// other nodes, SQL does.
func (s *Service) claim(t *Tenant) (release func(), err error) {
	release, what := s.changes.claim(t)
	if release == nil {
		return nil, taken(what)
	}
	if what, found := s.tenants.now().collision(t); found {
		release()
		return nil, taken(what)
	}
	return release, nil
}

// settle makes what a tenant needs; the row comes last, so that a tenant that
// is listed is whole.
func (s *Service) settle(ctx context.Context, t *Tenant) error {
	ctx, cancel := effect(ctx)
	defer cancel()
	if err := s.keys.Create(ctx, t.ID); err != nil {
		return err
	}
	if err := s.store.Create(ctx, t.ID); err != nil {
		return err
	}
	if t.Logo != nil {
		var err error
		if t.image, err = s.keys.Seal(ctx, t.ID, sealLogo, t.image); err != nil {
			return err
		}
		if err := s.store.Tenant(t.ID).Write(ctx, func(tx *store.Tx) error { return keepImage(ctx, tx, t) }); err != nil {
			return err
		}
		t.image = nil
	}
	err := s.store.System().Write(ctx, func(tx *store.Tx) error { return insertTenant(ctx, tx, t) })
	if store.IsUnique(err) {
		return taken("name or a host")
	}
	return err
}

// Update changes a tenant: change gets a copy, and what it leaves there is
// checked, journalled and kept. Id, name and times are not for change to set.
// ifVersion other than 0 must be the tenant's version, else nothing happens and
// the fault is of kind Precondition. An error of change is returned as it is.
//
// An update that ends with a tenant that is suspended ends what the tenant has
// open before it returns (P2), also when it was suspended already: repeating a
// call that was cut short does what the first should have done. So does one that
// ends with an active tenant whose settings allow less than there is.
func (s *Service) Update(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64, change func(*Tenant) error) (*Tenant, error) {
	var changed *Tenant
	err := s.alter(ctx, id, func() (recorded bool, err error) {
		changed, recorded, err = s.update(ctx, cause, id, ifVersion, func(t *Tenant) error {
			before := slices.Clone(t.Hosts)
			if err := change(t); err != nil {
				return err
			}
			if id == identity.Platform && !slices.Equal(before, t.Hosts) {
				return invalid("platform-host", "The operators' host is set in the configuration file.")
			}
			return nil
		})
		return recorded, err
	})
	if changed == nil {
		return nil, err
	}
	// Also if the others could not be told: it is suspended, and ends here at least.
	switch changed.Status {
	case Suspended:
		err = errors.Join(err, s.end(ctx, cause, changed, reasonSuspended))
	case Active:
		ctx, cancel := effect(ctx)
		defer cancel()
		err = errors.Join(err, s.rooms.Restrict(ctx, cause, id))
	}
	return changed, err
}

func (s *Service) update(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64, change func(*Tenant) error) (changed *Tenant, recorded bool, err error) {
	current, ok := s.ByID(id)
	if !ok {
		return nil, false, errNoTenant
	}
	if ifVersion != 0 && ifVersion != current.Version {
		return nil, false, errVersion
	}
	if current.Status == Deleting {
		return nil, false, errDeleting
	}
	next := *current
	next.Hosts = slices.Clone(current.Hosts)
	if err := change(&next); err != nil {
		return nil, false, err
	}
	next.ID, next.Name, next.Version, next.CreatedAt, next.UpdatedAt = id, current.Name, current.Version+1, current.CreatedAt, time.Now().UTC().Truncate(time.Millisecond)
	if !next.suspends(current) {
		if err := next.check(); err != nil {
			return nil, false, err
		}
	}
	fields := differences(current, &next)
	if len(fields) == 0 {
		return current, false, nil
	}
	release, err := s.claim(&next)
	if err != nil {
		return nil, false, err
	}
	defer release()
	if current.Status == Suspended && next.Status == Active {
		// A crash, or a sign-in under way, may have left the suspension with a
		// session; none may come back to life with the tenant (P2).
		if err := s.end(ctx, cause, current, reasonSuspended); err != nil {
			return nil, false, err
		}
	}
	anew := !current.Logo.Same(next.Logo)
	if anew && next.Logo != nil {
		if next.image, err = s.keys.Seal(ctx, id, sealLogo, next.image); err != nil {
			return nil, false, err
		}
	}
	e := cause.Event(id, audit.TenantChanged, audit.Success)
	e.Target = next.target()
	e.Details = map[string]string{"changed": strings.Join(fields, " "), "hosts": strings.Join(next.Hosts, " "), "status": string(next.Status)}
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return nil, false, err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	if anew && next.Logo != nil {
		if err := s.store.Tenant(id).Write(ctx, func(tx *store.Tx) error { return keepImage(ctx, tx, &next) }); err != nil {
			return nil, true, fmt.Errorf("keep the logo of %s: %w", current.Name, err)
		}
	}
	next.image = nil
	err = s.store.System().Write(ctx, func(tx *store.Tx) error { return updateTenant(ctx, tx, &next) })
	if store.IsUnique(err) {
		return nil, true, taken("host")
	}
	if err != nil {
		return nil, true, fmt.Errorf("update tenant %s: %w", current.Name, err)
	}
	s.tenants.put(&next)
	s.judgeAnew(current, &next)
	if anew {
		if err := s.store.Tenant(id).Write(ctx, func(tx *store.Tx) error { return dropImages(ctx, tx, &next) }); err != nil {
			s.log.WarnContext(ctx, "an earlier logo was not removed; the next one that is set removes it", "tenant", id, "error", err)
		}
	}
	return &next, true, nil
}

// judgeAnew has what is open ask again where settings that have come into force
// let in others than those before. Every node does so for itself, however it has
// learnt of them: by its own change, from another, or from SQL after a gap.
func (s *Service) judgeAnew(before, now *Tenant) {
	if !now.Settings.Session.admitsAs(before.Settings.Session) {
		s.rooms.Reconnect(now.ID)
	}
}

func (t *Tenant) target() audit.Target {
	return audit.Target{Kind: "tenant", ID: string(t.ID), Name: t.Name}
}

func taken(what string) error {
	return fault.New(fault.Conflict, "taken", "The "+what+" belongs to another tenant.")
}

// suspends reports whether nothing is changed of current but that it is suspended,
// which must never fail: it may have been kept under the rules of another day.
func (t *Tenant) suspends(current *Tenant) bool {
	return t.ID != identity.Platform && t.Status == Suspended && slices.Equal(differences(current, t), []string{"status"})
}

// differences names what an admin has changed.
func differences(a, b *Tenant) (changed []string) {
	for _, field := range []struct {
		name string
		same bool
	}{
		{"display_name", a.DisplayName == b.DisplayName},
		{"hosts", slices.Equal(a.Hosts, b.Hosts)},
		{"status", a.Status == b.Status},
		{"settings", a.Settings.Equal(b.Settings)},
		{"logo", a.Logo.Same(b.Logo)},
	} {
		if !field.same {
			changed = append(changed, field.name)
		}
	}
	return changed
}
