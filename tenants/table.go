package tenants

import (
	"context"
	"encoding/json"
	"fmt"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

func scanTenant(row store.Row) (*Tenant, error) {
	var t Tenant
	var settings string
	var created, updated int64
	if err := row.Scan(&t.ID, &t.Name, &t.DisplayName, &t.Status, &settings, &t.Version, &created, &updated); err != nil {
		return nil, err
	}
	t.CreatedAt, t.UpdatedAt = store.Time(created), store.Time(updated)
	var kept storedSettings
	if err := json.Unmarshal([]byte(settings), &kept); err != nil {
		return nil, fmt.Errorf("settings of tenant %s: %w", t.ID, err)
	}
	t.Settings, t.Logo = kept.Settings, kept.Logo.with()
	return &t, nil
}

// storedSettings is a tenant's settings column: what an admin sets, each in its way.
type storedSettings struct {
	Settings
	Logo *Logo `json:"logo,omitempty"`
}

// loadTenants reads every tenant, all of them on purpose: the snapshot answers
// for each request without a query.
func loadTenants(ctx context.Context, system store.System) (map[identity.TenantID]*Tenant, error) {
	type host struct {
		name   string
		tenant identity.TenantID
	}
	byID := map[identity.TenantID]*Tenant{}
	err := system.Read(ctx, func(tx *store.Tx) error {
		all, err := store.All(ctx, tx, scanTenant,
			`SELECT id, name, display_name, status, settings, version, created_at, updated_at FROM tenants`)
		if err != nil {
			return err
		}
		for _, t := range all {
			byID[t.ID] = t
		}
		hosts, err := store.All(ctx, tx, func(row store.Row) (h host, err error) { return h, row.Scan(&h.name, &h.tenant) },
			`SELECT host, tenant_id FROM tenant_hosts ORDER BY tenant_id, position`)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			t := byID[h.tenant] // there: the column refers to it
			t.Hosts = append(t.Hosts, h.name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load tenants: %w", err)
	}
	return byID, nil
}

func insertTenant(ctx context.Context, tx *store.Tx, t *Tenant) error {
	settings, err := json.Marshal(storedSettings{t.Settings, t.Logo})
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	if _, err := tx.Exec(ctx, `INSERT INTO tenants (id, name, display_name, status, settings, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, string(t.ID), t.Name, t.DisplayName, string(t.Status), string(settings), t.Version,
		store.Millis(t.CreatedAt), store.Millis(t.UpdatedAt)); err != nil {
		return err
	}
	return insertHosts(ctx, tx, t)
}

// updateTenant changes the row if it is still of the version before.
func updateTenant(ctx context.Context, tx *store.Tx, t *Tenant) error {
	settings, err := json.Marshal(storedSettings{t.Settings, t.Logo})
	if err != nil {
		return fmt.Errorf("encode settings: %w", err)
	}
	changed, err := tx.Exec(ctx, `UPDATE tenants SET display_name = $1, status = $2, settings = $3, version = $4, updated_at = $5
		WHERE id = $6 AND version = $7`, t.DisplayName, string(t.Status), string(settings), t.Version, store.Millis(t.UpdatedAt),
		string(t.ID), t.Version-1)
	if err != nil {
		return err
	}
	if changed != 1 {
		return errVersion
	}
	if _, err := tx.Exec(ctx, `DELETE FROM tenant_hosts WHERE tenant_id = $1`, string(t.ID)); err != nil {
		return err
	}
	return insertHosts(ctx, tx, t)
}

func insertHosts(ctx context.Context, tx *store.Tx, t *Tenant) error {
	for i, host := range t.Hosts {
		if _, err := tx.Exec(ctx, `INSERT INTO tenant_hosts (host, tenant_id, position) VALUES ($1, $2, $3)`, host, string(t.ID), i); err != nil {
			return err
		}
	}
	return nil
}

func deleteTenant(ctx context.Context, tx *store.Tx, id identity.TenantID) error {
	_, err := tx.Exec(ctx, `DELETE FROM tenants WHERE id = $1`, string(id))
	return err
}

// storedSpec is a connection's spec column: everything without a column of its
// own, save the secrets.
type storedSpec struct {
	DisplayName string      `json:"display_name,omitempty"`
	DefaultRole string      `json:"default_role,omitempty"`
	Link        LinkRule    `json:"link,omitempty"`
	Unknown     UnknownRule `json:"unknown,omitempty"`
	Admits      Admission   `json:"admits,omitzero"`
	Anybody     bool        `json:"anybody,omitempty"`
	GroupRules  []GroupRule `json:"group_rules,omitempty"`
	OIDC        *OIDCSpec   `json:"oidc,omitempty"`
	SAML        *SAMLSpec   `json:"saml,omitempty"`
	OAuth2      *OAuth2Spec `json:"oauth2,omitempty"`
	Signals     *Signals    `json:"signals,omitempty"`
}

func specOf(c Connection) storedSpec {
	return storedSpec{DisplayName: c.DisplayName, DefaultRole: c.DefaultRole, Link: c.Link, Unknown: c.Unknown, Admits: c.Admits, Anybody: c.Anybody,
		GroupRules: c.GroupRules, OIDC: c.OIDC, SAML: c.SAML, OAuth2: c.OAuth2, Signals: c.Signals}
}

func (s storedSpec) fill(c *Connection) {
	c.DisplayName, c.DefaultRole, c.Link, c.Unknown, c.Admits, c.Anybody = s.DisplayName, s.DefaultRole, s.Link, s.Unknown, s.Admits, s.Anybody
	c.GroupRules, c.OIDC, c.SAML, c.OAuth2, c.Signals = s.GroupRules, s.OIDC, s.SAML, s.OAuth2, s.Signals
}

// sealedConnection is a row of connections with its secrets still sealed.
type sealedConnection struct {
	Connection
	secret, signals []byte
}

func scanConnection(row store.Row) (sealedConnection, error) {
	var c sealedConnection
	var spec string
	var created, updated int64
	if err := row.Scan(&c.ID, &c.Name, &c.Type, &spec, &c.secret, &c.signals, &c.Enabled, &c.Version, &created, &updated); err != nil {
		return c, err
	}
	c.CreatedAt, c.UpdatedAt = store.Time(created), store.Time(updated)
	var s storedSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return c, fmt.Errorf("spec of connection %s: %w", c.ID, err)
	}
	s.fill(&c.Connection)
	return c, nil
}

func loadConnections(ctx context.Context, tx *store.Tx) ([]sealedConnection, error) {
	return store.All(ctx, tx, scanConnection,
		`SELECT id, name, type, spec, secret, signals_secret, enabled, version, created_at, updated_at FROM connections ORDER BY name LIMIT $1`, maxConnections)
}

// putConnection writes a new row for version 1, else changes the one of the
// version before.
func putConnection(ctx context.Context, tx *store.Tx, c sealedConnection) error {
	spec, err := json.Marshal(specOf(c.Connection))
	if err != nil {
		return fmt.Errorf("encode connection: %w", err)
	}
	if c.Version == 1 {
		_, err := tx.Exec(ctx, `INSERT INTO connections (id, name, type, spec, secret, signals_secret, enabled, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, string(c.ID), c.Name, string(c.Type), string(spec), c.secret, c.signals, c.Enabled, c.Version,
			store.Millis(c.CreatedAt), store.Millis(c.UpdatedAt))
		return err
	}
	changed, err := tx.Exec(ctx, `UPDATE connections SET type = $1, spec = $2, secret = $3, signals_secret = $4, enabled = $5, version = $6, updated_at = $7
		WHERE id = $8 AND version = $9`, string(c.Type), string(spec), c.secret, c.signals, c.Enabled, c.Version, store.Millis(c.UpdatedAt),
		string(c.ID), c.Version-1)
	if err != nil {
		return err
	}
	if changed != 1 {
		return errVersion
	}
	return nil
}

// deleteConnection removes a connection of this version; 0: of any.
func deleteConnection(ctx context.Context, tx *store.Tx, id identity.ConnectionID, version uint64) error {
	n, err := tx.Exec(ctx, `DELETE FROM connections WHERE id = $1 AND ($2 = 0 OR version = $2)`, string(id), version)
	if err == nil && n == 0 && version != 0 {
		return errVersion
	}
	return err
}
