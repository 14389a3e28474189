package authz

import (
	"context"
	"fmt"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func (e *Engine) view(tenant identity.TenantID) *view {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.views[tenant]
}

// current is the tenant's view as of now: the one at hand, or one made anew
// when the directory has changed or nothing is in memory.
func (e *Engine) current(ctx context.Context, tenant identity.TenantID) (*view, error) {
	if v := e.view(tenant); v != nil && v.directory == e.people.Version(tenant) {
		if now := e.clock.Load(); v.used.Load() != now {
			v.used.Store(now)
		}
		return v, nil
	}
	done, err := e.turns.Take(ctx, tenant)
	if err != nil {
		return nil, err
	}
	defer done()
	v := e.view(tenant)
	directory := e.people.Version(tenant)
	if v != nil && v.directory == directory {
		return v, nil
	}
	var keep *policy
	if v != nil {
		keep = v.policy
	}
	return e.renew(ctx, tenant, keep)
}

// renew reads what a view is made of and puts it in place. The policy is read
// only if keep is not its present version: who goes takes their roles along,
// see [Withdraw]. Callers have the tenant's turn.
func (e *Engine) renew(ctx context.Context, tenant identity.TenantID, keep *policy) (*view, error) {
	// The version comes first: what is read after it may be newer, never older.
	v := &view{directory: e.people.Version(tenant), decisions: newMemory[decisionKey, Decision](), held: newMemory[holderKey, []string](),
		places: map[string]string{}, teamNames: map[identity.TeamID]string{}}
	err := e.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		teams, err := store.All(ctx, tx, scanTeam, `SELECT id, name FROM teams`)
		if err != nil {
			return err
		}
		for _, t := range teams {
			v.places[t.name], v.teamNames[t.id] = atTeam+string(t.id), t.name
		}
		version, err := lastVersion(ctx, tx)
		if err != nil {
			return err
		}
		if keep != nil && keep.version == version {
			v.policy = keep
			return nil
		}
		roles, err := store.All(ctx, tx, scanRole, `SELECT name, description, permissions, version, updated_at FROM roles ORDER BY name`)
		if err != nil {
			return err
		}
		assignments, err := store.All(ctx, tx, scanAssignment, `SELECT `+assignmentColumns+` FROM assignments ORDER BY name`)
		if err != nil {
			return err
		}
		v.policy, err = newPolicy(tenant, version, roles, assignments)
		return err
	})
	if err != nil {
		return nil, unavailable(fmt.Errorf("read the policy of %s: %w", tenant, err))
	}
	if v.policy != keep {
		v.stamp = e.clock.Add(1)
	}
	v.used.Store(e.clock.Load())
	e.put(tenant, v)
	return v, nil
}

func unavailable(err error) error {
	return fault.OutOfReach(err, "policy-unavailable", "Permissions cannot be checked right now. Try again in a moment.")
}

func (e *Engine) put(tenant identity.TenantID, v *view) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.views[tenant] = v
	if len(e.views) <= e.maxTenants {
		return
	}
	var oldest identity.TenantID
	for id, other := range e.views {
		if id != tenant && (oldest == "" || other.used.Load() < e.views[oldest].used.Load()) {
			oldest = id
		}
	}
	delete(e.views, oldest)
}

func (e *Engine) drop(tenant identity.TenantID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.views, tenant)
}

type team struct {
	id   identity.TeamID
	name string
}

func scanTeam(row store.Row) (team, error) {
	var t team
	err := row.Scan(&t.id, &t.name)
	return t, err
}

func lastVersion(ctx context.Context, tx *store.Tx) (uint64, error) {
	return store.One(ctx, tx, store.Scalar[uint64], `SELECT coalesce(max(version), 0) FROM policy_versions`)
}

// Permissions are stored with spaces between: none holds one.
func scanRole(row store.Row) (Role, error) {
	r := Role{assignable: reachAny}
	var permissions string
	var updated int64
	err := row.Scan(&r.Name, &r.Description, &permissions, &r.Version, &updated)
	r.Permissions, r.UpdatedAt = strings.Fields(permissions), store.Time(updated)
	return r, err
}

const assignmentColumns = `id, name, role, coalesce(team_id, ''), subject_kind, subject_id, version, created_at`

func scanAssignment(row store.Row) (Assignment, error) {
	var a Assignment
	var kind, id string
	var created int64
	if err := row.Scan(&a.ID, &a.Name, &a.Role, &a.Team, &kind, &id, &a.Version, &created); err != nil {
		return Assignment{}, err
	}
	switch kind {
	case kindUser:
		a.User = identity.UserID(id)
	case kindGroup:
		a.Group = identity.GroupID(id)
	default:
		return Assignment{}, fmt.Errorf("authz: assignment %s is for a %q", a.ID, kind)
	}
	a.CreatedAt = store.Time(created)
	return a, nil
}

const (
	kindUser  = "user"
	kindGroup = "group"
	kindTeam  = "team"
)
