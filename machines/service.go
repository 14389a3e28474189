package machines

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// effectTime bounds what follows a record. Its caller may go away, it goes on:
// what the journal says must come true.
const effectTime = 10 * time.Second

// Stores gives the handle on one tenant's data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// Keys seals what must be readable again.
type Keys interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// Streams are the requests and connections that are open now.
type Streams interface {
	// End has every node forget what it knows of the tenant's services, and close
	// what one of them has open, and returns once that is so.
	End(ctx context.Context, tenant identity.TenantID, service string) error
}

// Config names what the service is built of.
type Config struct {
	Store   Stores
	Keys    Keys
	Journal audit.Recorder
	Streams Streams          // nil: nothing is ever open, nor remembered
	Now     func() time.Time // nil: [time.Now]
}

// Service keeps the services of every tenant.
type Service struct {
	stores  Stores
	keys    Keys
	journal audit.Recorder
	streams Streams
	now     func() time.Time
}

// New makes the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{stores: c.Store, keys: c.Keys, journal: c.Journal, streams: c.Streams, now: c.Now}
}

var (
	errNoService = fault.New(fault.NotFound, "no-such-service", "There is no such service.")
	errVersion   = fault.New(fault.Precondition, "version-changed", "It was changed in the meantime. Read it again, and repeat the change.")
)

// All gives a tenant's services by name, enabled or not, with their secrets, as
// SQL has them at this moment.
func (s *Service) All(ctx context.Context, tenant identity.TenantID) (all []Machine, err error) {
	err = s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		all, err = s.read(ctx, tenant, tx)
		return err
	})
	return all, unavailable(err)
}

// Named gives the service of a name, enabled or not, with its secrets.
func (s *Service) Named(ctx context.Context, tenant identity.TenantID, name string) (Machine, error) {
	all, err := s.All(ctx, tenant)
	if err != nil {
		return Machine{}, err
	}
	if i := slices.IndexFunc(all, func(m Machine) bool { return m.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Machine{}, errNoService
}

// Put makes the service of this name or replaces it whole, secrets included, and
// returns it as it was kept: from then on no node goes by what it was, and what it
// had open is closed (P2). A version other than 0 must be that of the service which
// is there.
func (s *Service) Put(ctx context.Context, cause audit.Cause, tenant identity.TenantID, m Machine) (Machine, error) {
	m = m.clone()
	if err := m.check(); err != nil {
		return Machine{}, err
	}
	all, err := s.All(ctx, tenant)
	if err != nil {
		return Machine{}, err
	}
	if m.Version, err = follow(all, m); err != nil {
		return Machine{}, err
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	m.ID, m.CreatedAt, m.UpdatedAt = identity.NewServiceID(), now, now
	change := "created"
	if i := slices.IndexFunc(all, func(o Machine) bool { return o.Name == m.Name }); i >= 0 {
		m.ID, m.CreatedAt, change = all[i].ID, all[i].CreatedAt, "replaced"
	}
	row, err := s.seal(ctx, tenant, m)
	if err != nil {
		return Machine{}, unavailable(err)
	}
	e := m.event(cause, tenant, audit.ServiceChanged)
	e.Details["change"], e.Details["enabled"], e.Details["version"] = change, strconv.FormatBool(m.Enabled), strconv.FormatUint(m.Version, 10)
	e.Details["credentials"] = m.kinds()
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return Machine{}, unavailable(err)
	}
	err = s.effect(ctx, tenant, m.ID, func(ctx context.Context, tx *store.Tx) error {
		// Once more: writers of one tenant go one after the other, on all nodes.
		there, err := s.read(ctx, tenant, tx)
		if err != nil {
			return err
		}
		wanted := m
		wanted.Version--
		if _, err := follow(there, wanted); err != nil {
			return err
		}
		return put(ctx, tx, row)
	})
	if store.IsUnique(err) {
		return Machine{}, errVersion
	}
	if err != nil {
		return Machine{}, unavailable(err)
	}
	return m, nil
}

// follow gives the version that a service gets among those that there are, or
// refuses it.
func follow(all []Machine, m Machine) (version uint64, err error) {
	for _, other := range all {
		if other.Name == m.Name {
			version = other.Version
			continue
		}
		for _, c := range m.Credentials {
			if slices.ContainsFunc(other.Credentials, c.clashes) {
				return 0, fault.New(fault.Conflict, "credential-taken", "The service "+other.Name+" is recognised by the same credential already: whose it is could not be told.")
			}
			if slices.ContainsFunc(other.Credentials, c.elsewhere) {
				return 0, fault.New(fault.Conflict, "endpoint-differs", "The service "+other.Name+" has another introspection endpoint. A tenant has one: a token must not be shown to another authorization server than its own.")
			}
		}
	}
	switch {
	case m.Version != 0 && m.Version != version:
		return 0, errVersion
	case version == 0 && len(all) >= maxMachines:
		return 0, fault.New(fault.Conflict, "too-many-services", fmt.Sprintf("There are %d services already. Delete some that are not used.", maxMachines))
	}
	return version + 1, nil
}

// elsewhere reports whether two credentials would have a token shown to two
// authorization servers.
func (c Credential) elsewhere(o Credential) bool {
	return c.Introspection != nil && o.Introspection != nil && c.Introspection.Endpoint != o.Introspection.Endpoint
}

// Delete removes a service of this version, or of any if it is 0; when it returns,
// no node takes anybody for it, and what it had open is closed (P2).
func (s *Service) Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error {
	m, err := s.Named(ctx, tenant, name)
	switch {
	case err != nil:
		return err
	case ifVersion != 0 && ifVersion != m.Version:
		return errVersion
	}
	if _, err := s.journal.Commit(ctx, m.event(cause, tenant, audit.ServiceDeleted)); err != nil {
		return unavailable(err)
	}
	return unavailable(s.effect(ctx, tenant, m.ID, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, `DELETE FROM services WHERE id = $1 AND ($2 = 0 OR version = $2)`, string(m.ID), ifVersion)
		if err == nil && n == 0 && ifVersion != 0 { // it was as it was asked for until just now
			err = errVersion
		}
		return err
	}))
}

// effect makes a change that is recorded, and ends what goes by what was before.
// A commit that seems to have failed may have taken effect.
func (s *Service) effect(ctx context.Context, tenant identity.TenantID, id identity.ServiceID, change func(context.Context, *store.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	err := s.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error { return change(ctx, tx) })
	return errors.Join(err, s.end(ctx, tenant, id))
}

func (s *Service) end(ctx context.Context, tenant identity.TenantID, id identity.ServiceID) error {
	if s.streams == nil {
		return nil
	}
	return s.streams.End(ctx, tenant, string(id))
}

// EndConnection ends what services have open that are recognised by the tokens of
// a connection's provider: whom the connection believes has changed, and that must
// be in force before.
func (s *Service) EndConnection(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) error {
	all, err := s.All(ctx, tenant)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	for _, m := range all {
		if slices.ContainsFunc(m.Credentials, func(c Credential) bool { return c.JWT != nil && c.JWT.ConnectionID == connection }) {
			err = errors.Join(err, s.end(ctx, tenant, m.ID))
		}
	}
	return unavailable(err)
}

func (m Machine) event(cause audit.Cause, tenant identity.TenantID, t audit.Type) audit.Event {
	e := cause.Event(tenant, t, audit.Success)
	e.Target = audit.Target{Kind: "service", ID: string(m.ID), Name: m.Name}
	e.Details = map[string]string{"role": m.Role}
	return e
}

// kinds names what a service is recognised by.
func (m Machine) kinds() string {
	var all []string
	for _, c := range m.Credentials {
		switch {
		case c.JWT != nil:
			all = append(all, "jwt")
		case c.Introspection != nil:
			all = append(all, "introspection")
		default:
			all = append(all, "certificate")
		}
	}
	return strings.Join(all, " ")
}

func unavailable(err error) error {
	return fault.OutOfReach(err, "services-unavailable", "Services cannot be checked or changed right now. Try again in a moment.")
}
