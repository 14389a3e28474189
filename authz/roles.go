package authz

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// maxRoles bounds a tenant's own roles: each is asked at every decision that
// is not remembered.
const maxRoles = 200

// Roles gives the built-in roles and then the tenant's own by name.
func (e *Engine) Roles(ctx context.Context, tenant identity.TenantID) ([]Role, error) {
	v, err := e.current(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all := make([]Role, 0, len(v.roles))
	for _, r := range builtIn {
		all = append(all, v.roles[r.Name])
	}
	for _, name := range slices.Sorted(maps.Keys(v.roles)) {
		if r := v.roles[name]; !r.BuiltIn {
			all = append(all, r)
		}
	}
	for i := range all {
		all[i].Permissions = slices.Clone(all[i].Permissions)
	}
	return all, nil
}

func readRole(ctx context.Context, tx *store.Tx, name string) (Role, error) {
	if r, ok := builtInRole(name); ok {
		return r, nil
	}
	r, err := store.One(ctx, tx, scanRole, `SELECT name, description, permissions, version, updated_at FROM roles WHERE name = $1`, name)
	if errors.Is(err, store.ErrNoRows) {
		return Role{}, errNoRole
	}
	return r, err
}

// PutRole makes or replaces a role of the tenant's own; ifVersion, unless 0,
// must be the present one's version (fault Precondition). Whether its author
// may is for the caller to ask first, see [Engine.MayDefine].
func (e *Engine) PutRole(ctx context.Context, cause audit.Cause, tenant identity.TenantID, r Role, ifVersion uint64) (Role, error) {
	r.Permissions = slices.Compact(slices.Sorted(slices.Values(r.Permissions)))
	r.BuiltIn, r.assignable, r.UpdatedAt = false, reachAny, time.Now().UTC().Truncate(time.Millisecond)
	if err := r.check(); err != nil {
		return Role{}, err
	}
	kept := r
	err := e.change(ctx, cause, tenant, func(ctx context.Context, tx *store.Tx) (*step, error) {
		before, err := readRole(ctx, tx, r.Name)
		switch {
		case (err == nil || errors.Is(err, errNoRole)) && ifVersion != 0 && ifVersion != before.Version:
			return nil, errVersion
		case err == nil && before.Description == r.Description && slices.Equal(before.Permissions, r.Permissions):
			kept = before
			return nil, nil
		case errors.Is(err, errNoRole):
			if err := below(ctx, tx, maxRoles, `SELECT count(*) FROM roles`, "roles"); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		}
		s := &step{change: Change{Op: "role.put", RoleAfter: &r}, target: audit.Target{Kind: "role", ID: r.Name, Name: r.Name}}
		if err == nil {
			s.change.RoleBefore = &before
		}
		s.apply = func(ctx context.Context, tx *store.Tx, version uint64) error {
			kept.Version = version
			_, err := tx.Exec(ctx, `INSERT INTO roles (name, description, permissions, version, updated_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (name) DO UPDATE SET description = excluded.description, permissions = excluded.permissions,
					version = excluded.version, updated_at = excluded.updated_at`,
				r.Name, r.Description, strings.Join(r.Permissions, " "), version, store.Millis(r.UpdatedAt))
			return err
		}
		return s, nil
	})
	if err != nil {
		return Role{}, err
	}
	return kept, nil
}

// below refuses one more of what is bounded.
func below(ctx context.Context, tx *store.Tx, bound int, count, what string) error {
	n, err := store.One(ctx, tx, store.Scalar[int], count)
	if err == nil && n >= bound {
		return fault.New(fault.Conflict, "too-many-"+what, "There are as many "+what+" as there can be. Delete some first.")
	}
	return err
}

// DeleteRole takes away a role of the tenant's own that nobody has; for
// ifVersion see [Engine.PutRole].
func (e *Engine) DeleteRole(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error {
	return e.change(ctx, cause, tenant, func(ctx context.Context, tx *store.Tx) (*step, error) {
		before, err := readRole(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		if ifVersion != 0 && ifVersion != before.Version {
			return nil, errVersion
		}
		if before.BuiltIn {
			return nil, fault.New(fault.Conflict, "role-built-in", "The role "+name+" is built in and cannot be deleted.")
		}
		used, err := store.One(ctx, tx, store.Scalar[bool], `SELECT EXISTS (SELECT 1 FROM assignments WHERE role = $1)`, name)
		if err != nil {
			return nil, err
		}
		if used {
			return nil, fault.New(fault.Conflict, "role-in-use", "Somebody has the role "+name+". Take it away from them first.")
		}
		return &step{
			change: Change{Op: "role.deleted", RoleBefore: &before},
			target: audit.Target{Kind: "role", ID: name, Name: name},
			apply: func(ctx context.Context, tx *store.Tx, _ uint64) error {
				_, err := tx.Exec(ctx, `DELETE FROM roles WHERE name = $1`, name)
				return err
			},
		}, nil
	})
}
