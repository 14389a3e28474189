package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// effectTime bounds what follows a journalled change, whose caller may go away.
const effectTime = 10 * time.Second

// Change tells what a version of the policy changed, enough to undo it: what
// stood there before and what stands there after; nil for nothing.
type Change struct {
	Op               string      `json:"op"` // role.put, role.deleted, assignment.put, assignment.deleted
	RoleBefore       *Role       `json:"role_before,omitempty"`
	RoleAfter        *Role       `json:"role_after,omitempty"`
	AssignmentBefore *Assignment `json:"assignment_before,omitempty"`
	AssignmentAfter  *Assignment `json:"assignment_after,omitempty"`
}

// PolicyVersion is one version of a tenant's policy: who made it of the one before,
// and how.
type PolicyVersion struct {
	Number uint64
	At     time.Time
	Actor  audit.Actor
	Change Change
}

// step is a change that was checked and can be made.
type step struct {
	change Change
	target audit.Target
	// apply writes it under the number of its version.
	apply func(ctx context.Context, tx *store.Tx, version uint64) error
}

// plan checks a change against what stands; nil if it changes nothing.
type plan func(ctx context.Context, tx *store.Tx) (*step, error)

// change is the one way by which a policy changes: checked, journalled, then
// written together with its version, and in force when it returns.
func (e *Engine) change(ctx context.Context, cause audit.Cause, tenant identity.TenantID, p plan) error {
	changed, err := e.alter(ctx, cause, tenant, p)
	// After the turn: requests wait for that, and telling the others may take as
	// long as a node's lease.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	return errors.Join(err, e.announce(ctx, tenant, changed))
}

// alter makes a change; it may have been made if changed, whatever the error.
func (e *Engine) alter(ctx context.Context, cause audit.Cause, tenant identity.TenantID, p plan) (changed bool, err error) {
	done, err := e.turns.Take(ctx, tenant)
	if err != nil {
		return false, err
	}
	defer done()
	var s *step
	var details map[string]string
	err = e.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		if s, err = p(ctx, tx); err != nil || s == nil {
			return err
		}
		last, err := lastVersion(ctx, tx)
		if err != nil {
			return err
		}
		details, err = s.change.details(ctx, tx, last+1)
		return err
	})
	if err != nil {
		return false, unavailable(err)
	}
	if s == nil {
		return false, nil
	}
	event := cause.Event(tenant, audit.PolicyChanged, audit.Success)
	event.Reason, event.Target, event.Details = s.change.Op, s.target, details
	if _, err := e.journal.Commit(ctx, event); err != nil {
		return false, err
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	err = e.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		// Checked again: another node may have been faster.
		s, err := p(ctx, tx)
		if err != nil || s == nil {
			return err
		}
		return s.write(ctx, tx, cause)
	})
	if err != nil {
		e.drop(tenant) // whether it was written is not known
		return true, unavailable(fmt.Errorf("write the policy: %w", err))
	}
	if _, err := e.renew(ctx, tenant, nil); err != nil {
		// Written, so the old policy must not go on: the next question reads anew.
		e.drop(tenant)
		return true, err
	}
	return true, nil
}

// write makes the change and the version that tells of it.
func (s *step) write(ctx context.Context, tx *store.Tx, cause audit.Cause) error {
	last, err := lastVersion(ctx, tx)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, tx, last+1); err != nil {
		return err
	}
	actor, err := json.Marshal(cause.Actor)
	if err != nil {
		return err
	}
	change, err := json.Marshal(s.change)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO policy_versions (version, at, actor, change) VALUES ($1, $2, $3, $4)`,
		last+1, store.Millis(time.Now()), string(actor), string(change))
	return err
}

const maxPage = 200

// PolicyVersions gives the versions of the policy, the newest first: those
// below a number, or the newest of all when it is 0; at most 200.
func (e *Engine) PolicyVersions(ctx context.Context, tenant identity.TenantID, below uint64, limit int) ([]PolicyVersion, error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	var all []PolicyVersion
	err := e.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		all, err = store.All(ctx, tx, scanVersion,
			`SELECT version, at, actor, change FROM policy_versions WHERE version < $1 OR $1 = 0 ORDER BY version DESC LIMIT $2`, below, limit)
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

func scanVersion(row store.Row) (PolicyVersion, error) {
	var v PolicyVersion
	var at int64
	var actor, change string
	if err := row.Scan(&v.Number, &at, &actor, &change); err != nil {
		return PolicyVersion{}, err
	}
	v.At = store.Time(at)
	if err := json.Unmarshal([]byte(actor), &v.Actor); err != nil {
		return PolicyVersion{}, fmt.Errorf("authz: actor of version %d: %w", v.Number, err)
	}
	if err := json.Unmarshal([]byte(change), &v.Change); err != nil {
		return PolicyVersion{}, fmt.Errorf("authz: change of version %d: %w", v.Number, err)
	}
	return v, nil
}

var (
	errVersion      = fault.New(fault.Precondition, "version-changed", "Somebody else changed this in the meantime. Read it again and repeat the change.")
	errNoRole       = fault.New(fault.NotFound, "role-not-found", "There is no such role.")
	errNoAssignment = fault.New(fault.NotFound, "assignment-not-found", "There is no such assignment.")
)
