package machines

import (
	"context"
	"encoding/json"
	"fmt"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// sealPurpose is under which the secrets of credentials are sealed.
const sealPurpose = "service"

// row is a service as it is kept.
type row struct {
	Machine
	credentials string
	secrets     []byte
}

func scan(r store.Row) (m row, err error) {
	var created, updated int64
	err = r.Scan(&m.ID, &m.Name, &m.DisplayName, &m.Role, &m.Enabled, &m.credentials, &m.secrets, &m.Version, &created, &updated)
	m.CreatedAt, m.UpdatedAt = store.Time(created), store.Time(updated)
	return m, err
}

func (s *Service) read(ctx context.Context, tenant identity.TenantID, tx *store.Tx) ([]Machine, error) {
	rows, err := store.All(ctx, tx, scan, `SELECT id, name, display_name, role, enabled, credentials, secrets, version, created_at, updated_at
		FROM services ORDER BY name LIMIT $1`, maxMachines)
	if err != nil {
		return nil, err
	}
	all := make([]Machine, len(rows))
	for i, r := range rows {
		if all[i], err = s.open(ctx, tenant, r); err != nil {
			return nil, fmt.Errorf("service %s: %w", r.ID, err)
		}
	}
	return all, nil
}

// open reads the credentials, and puts back the secrets that were sealed.
func (s *Service) open(ctx context.Context, tenant identity.TenantID, r row) (Machine, error) {
	if err := json.Unmarshal([]byte(r.credentials), &r.Credentials); err != nil {
		return Machine{}, err
	}
	if len(r.secrets) == 0 {
		return r.Machine, nil
	}
	plain, err := s.keys.Open(ctx, tenant, sealPurpose, r.secrets)
	if err != nil {
		return Machine{}, err
	}
	var secrets map[int]string
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return Machine{}, err
	}
	for i, c := range r.Credentials {
		if c.Introspection != nil {
			c.Introspection.AuthClientSecret = secrets[i]
		}
	}
	return r.Machine, nil
}

// seal is the reverse of open.
func (s *Service) seal(ctx context.Context, tenant identity.TenantID, m Machine) (row, error) {
	r := row{Machine: m}
	credentials, err := json.Marshal(m.Credentials)
	if err != nil {
		return row{}, err
	}
	r.credentials = string(credentials)
	secrets := map[int]string{}
	for i, c := range m.Credentials {
		if c.Introspection != nil {
			secrets[i] = c.Introspection.AuthClientSecret
		}
	}
	if len(secrets) == 0 {
		return r, nil
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return row{}, err
	}
	r.secrets, err = s.keys.Seal(ctx, tenant, sealPurpose, plain)
	return r, err
}

func put(ctx context.Context, tx *store.Tx, r row) error {
	_, err := tx.Exec(ctx, `INSERT INTO services (id, name, display_name, role, enabled, credentials, secrets, version, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, role = excluded.role, enabled = excluded.enabled,
			credentials = excluded.credentials, secrets = excluded.secrets, version = excluded.version, updated_at = excluded.updated_at`,
		string(r.ID), r.Name, r.DisplayName, r.Role, r.Enabled, r.credentials, r.secrets, r.Version, store.Millis(r.CreatedAt), store.Millis(r.UpdatedAt))
	return err
}
