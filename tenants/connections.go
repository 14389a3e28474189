package tenants

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const (
	// maxConnections bounds a tenant's identity providers.
	maxConnections = 100
	// NoConnection is the version for [Service.PutConnection] of a connection that must
	// not be there yet.
	NoConnection = math.MaxUint64
	// maxCachedTenants bounds whose connections are in memory at once.
	maxCachedTenants = 1024
	// sealPurpose is under which client secrets are sealed, and sealSignals those
	// of signals.
	sealPurpose = "connection"
	sealSignals = "connection-signals"
)

var errNoConnection = fault.New(fault.NotFound, "no-such-connection", "There is no such connection.")

// ways are how a tenant's people sign in.
type ways struct {
	connections []Connection // by name, with their secrets opened
	domains     []Domain     // by name
}

// connectionCache holds tenants' ways to sign in, so that a sign-in costs no query
// and no decryption.
type connectionCache struct {
	mu       sync.Mutex
	byTenant map[identity.TenantID]ways
	changed  uint64 // counts changes, so that a load under way does not keep what is old
}

func (c *connectionCache) get(tenant identity.TenantID) (found ways, ok bool, changed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok = c.byTenant[tenant]
	return found, ok, c.changed
}

// keep caches what was loaded, unless something has changed since; when the
// cache is full, any other tenant makes room.
func (c *connectionCache) keep(tenant identity.TenantID, loaded ways, changed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed != changed {
		return
	}
	if c.byTenant == nil {
		c.byTenant = map[identity.TenantID]ways{}
	}
	if len(c.byTenant) >= maxCachedTenants {
		for other := range maps.Keys(c.byTenant) {
			delete(c.byTenant, other)
			break
		}
	}
	c.byTenant[tenant] = loaded
}

// forgetAll drops everything; what was loaded before does not come in after it.
func (c *connectionCache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed++
	clear(c.byTenant)
}

func (c *connectionCache) forget(tenant identity.TenantID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed++
	delete(c.byTenant, tenant)
}

// Connections returns a tenant's connections by name, enabled or not, with
// their secrets.
func (s *Service) Connections(ctx context.Context, tenant identity.TenantID) ([]Connection, error) {
	all, err := s.connectionsOf(ctx, tenant)
	if err != nil {
		return nil, err
	}
	copies := make([]Connection, len(all))
	for i, c := range all {
		copies[i] = c.clone()
	}
	return copies, nil
}

// Connection finds a tenant's connection by name, enabled or not.
func (s *Service) Connection(ctx context.Context, tenant identity.TenantID, name string) (Connection, error) {
	return s.connection(ctx, tenant, func(c Connection) bool { return c.Name == name })
}

// ConnectionByID finds a tenant's connection by id, enabled or not.
func (s *Service) ConnectionByID(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) (Connection, error) {
	return s.connection(ctx, tenant, func(c Connection) bool { return c.ID == id })
}

func (s *Service) connection(ctx context.Context, tenant identity.TenantID, is func(Connection) bool) (Connection, error) {
	all, err := s.connectionsOf(ctx, tenant)
	if err != nil {
		return Connection{}, err
	}
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i].clone(), nil
	}
	return Connection{}, errNoConnection
}

// connectionsOf returns the cached slice itself: clone what leaves the room.
func (s *Service) connectionsOf(ctx context.Context, tenant identity.TenantID) ([]Connection, error) {
	w, err := s.waysOf(ctx, tenant)
	return w.connections, err
}

// waysOf returns what is cached itself: clone what leaves the room.
func (s *Service) waysOf(ctx context.Context, tenant identity.TenantID) (ways, error) {
	if _, ok := s.ByID(tenant); !ok {
		return ways{}, errNoTenant
	}
	w, ok, changed := s.connections.get(tenant)
	if ok {
		return w, nil
	}
	var sealed []sealedConnection
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		if sealed, err = loadConnections(ctx, tx); err != nil {
			return err
		}
		w.domains, err = loadDomains(ctx, tx)
		return err
	})
	if err != nil {
		return ways{}, fmt.Errorf("load connections: %w", err)
	}
	w.connections = make([]Connection, len(sealed))
	for i, c := range sealed {
		if w.connections[i], err = s.open(ctx, tenant, c); err != nil {
			return ways{}, err
		}
	}
	s.connections.keep(tenant, w, changed)
	return w, nil
}

// open gives a connection its secrets.
func (s *Service) open(ctx context.Context, tenant identity.TenantID, c sealedConnection) (Connection, error) {
	if into := c.Connection.secret(); len(c.secret) > 0 && into != nil {
		secret, err := s.keys.Open(ctx, tenant, sealPurpose, c.secret)
		if err != nil {
			return Connection{}, fmt.Errorf("secret of connection %s: %w", c.ID, err)
		}
		*into = string(secret)
	}
	if len(c.signals) > 0 && c.Signals != nil {
		secrets, err := s.keys.Open(ctx, tenant, sealSignals, c.signals)
		if err == nil {
			err = c.Signals.setSecrets(secrets)
		}
		if err != nil {
			return Connection{}, fmt.Errorf("secrets of the signals of connection %s: %w", c.ID, err)
		}
	}
	return c.Connection, nil
}

// PutConnection makes the connection of this name or replaces it whole, secret
// included, and returns it as it was kept. A version other than 0 must be that
// of the connection which is there. One that only disables what is there is kept
// whatever today's rules say of it.
func (s *Service) PutConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c Connection) (kept Connection, err error) {
	c = c.clone()
	err = s.alter(ctx, tenant, func() (recorded bool, err error) {
		kept, recorded, err = s.putConnection(ctx, cause, tenant, c)
		return recorded, err
	})
	return kept, err
}

func (s *Service) putConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, c Connection) (kept Connection, recorded bool, err error) {
	all, err := s.connectionsOf(ctx, tenant)
	if err != nil {
		return Connection{}, false, err
	}
	var current Connection
	if i := slices.IndexFunc(all, func(o Connection) bool { return o.Name == c.Name }); i >= 0 {
		current = all[i]
	}
	if !c.closes(current) {
		if err := c.check(); err != nil {
			return Connection{}, false, err
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	change := "created"
	if current.ID != "" {
		if c.Version != 0 && c.Version != current.Version {
			return Connection{}, false, errVersion
		}
		change = "replaced"
		c.ID, c.Version, c.CreatedAt, c.UpdatedAt = current.ID, current.Version+1, current.CreatedAt, now
	} else {
		if c.Version != 0 && c.Version != NoConnection {
			return Connection{}, false, errVersion
		}
		if len(all) >= maxConnections {
			return Connection{}, false, fault.New(fault.Conflict, "too-many-connections", "A tenant has at most %d connections.", maxConnections)
		}
		c.ID, c.Version, c.CreatedAt, c.UpdatedAt = identity.NewConnectionID(), 1, now, now
	}
	sealed, err := s.seal(ctx, tenant, c)
	if err != nil {
		return Connection{}, false, err
	}
	e := c.event(cause, tenant, audit.ConnectionChanged)
	e.Details = map[string]string{"change": change, "type": string(c.Type), "enabled": fmt.Sprint(c.Enabled), "version": fmt.Sprint(c.Version)}
	if c.Anybody {
		e.Details["anybody"] = "true"
	}
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return Connection{}, false, err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	defer s.connections.forget(tenant) // whatever came of it
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if err := putConnection(ctx, tx, sealed); err != nil || current.ID == "" || current.Naming() == c.Naming() {
			return err
		}
		// Whom nobody has noted who named: it was who is believed until now.
		_, err := tx.Exec(ctx, `UPDATE identities SET naming = $1 WHERE connection_id = $2 AND issuer = '' AND naming = ''`, current.Naming(), current.ID)
		return err
	})
	if store.IsUnique(err) {
		return Connection{}, true, errVersion
	}
	if err != nil {
		return Connection{}, true, fmt.Errorf("keep connection %s: %w", c.Name, err)
	}
	s.connections.forget(tenant)
	return c, true, nil
}

func (s *Service) seal(ctx context.Context, tenant identity.TenantID, c Connection) (sealed sealedConnection, err error) {
	sealed.Connection = c
	if c.HasSecret() {
		if sealed.secret, err = s.keys.Seal(ctx, tenant, sealPurpose, []byte(*c.secret())); err != nil {
			return sealed, err
		}
	}
	secrets, err := c.Signals.secrets()
	if err != nil {
		return sealed, fmt.Errorf("encode the secrets of signals: %w", err)
	}
	if secrets != nil {
		sealed.signals, err = s.keys.Seal(ctx, tenant, sealSignals, secrets)
	}
	return sealed, err
}

// DeleteConnection removes a connection of this version, or of any if it is 0.
// People who signed in by it stay; the caller has disabled the connection and
// ended its sessions before, and gives the version that was so.
func (s *Service) DeleteConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error {
	return s.alter(ctx, tenant, func() (recorded bool, err error) { return s.deleteConnection(ctx, cause, tenant, name, ifVersion) })
}

func (s *Service) deleteConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) (recorded bool, err error) {
	c, err := s.Connection(ctx, tenant, name)
	switch {
	case err != nil:
		return false, err
	case ifVersion != 0 && ifVersion != c.Version:
		return false, errVersion
	case c.Type == Local:
		return false, errLocalStays
	}
	e := c.event(cause, tenant, audit.ConnectionDeleted)
	e.Details = map[string]string{"type": string(c.Type)}
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return false, err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	defer s.connections.forget(tenant) // whatever came of it
	if err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error { return deleteConnection(ctx, tx, c.ID, ifVersion) }); err != nil {
		return true, fmt.Errorf("delete connection %s: %w", name, err)
	}
	s.connections.forget(tenant)
	return true, nil
}

func (c Connection) event(cause audit.Cause, tenant identity.TenantID, t audit.Type) audit.Event {
	e := cause.Event(tenant, t, audit.Success)
	e.Target = audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
	e.Connection = c.ID
	return e
}
