package authz

import (
	"context"
	"crypto/rand"
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

// maxAssignments bounds a tenant's assignments; whoever needs more gives roles
// to groups.
const maxAssignments = 50_000

// Assignments gives all assignments by name.
func (e *Engine) Assignments(ctx context.Context, tenant identity.TenantID) ([]Assignment, error) {
	v, err := e.current(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return slices.Clone(v.assignments), nil
}

// Assign gives a role. An assignment of the same name is replaced; one that
// says the same already stays as it is. Whether its author may is for the
// caller to ask first, see [Engine.MayGrant].
func (e *Engine) Assign(ctx context.Context, cause audit.Cause, tenant identity.TenantID, a Assignment) (Assignment, error) {
	a.ID, a.CreatedAt = "asg_"+strings.ToLower(rand.Text()), time.Now().UTC().Truncate(time.Millisecond)
	if a.Name == "" {
		a.Name = a.ID
	}
	if !isName(a.Name, "_-") {
		return Assignment{}, fault.New(fault.Invalid, "assignment-name-invalid", "An assignment's name is 1 to 63 characters of a-z, 0-9, - and _, and begins with a letter or digit.")
	}
	if (a.User == "") == (a.Group == "") {
		return Assignment{}, fault.New(fault.Invalid, "subject-invalid", "A role is given to exactly one user or group.")
	}
	kept := a
	err := e.change(ctx, cause, tenant, func(ctx context.Context, tx *store.Tx) (*step, error) {
		if err := checkAssignment(ctx, tx, a); err != nil {
			return nil, err
		}
		s := &step{change: Change{Op: "assignment.put", AssignmentAfter: &a}, target: audit.Target{Kind: "assignment", ID: a.ID, Name: a.Name}}
		before, err := store.One(ctx, tx, scanAssignment, `SELECT `+assignmentColumns+` FROM assignments WHERE name = $1`, a.Name)
		switch {
		case errors.Is(err, store.ErrNoRows):
			if err := below(ctx, tx, maxAssignments, `SELECT count(*) FROM assignments`, "assignments"); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		case before.same(a):
			kept = before
			return nil, nil
		default:
			if err := keepsOwner(ctx, tx, before, a); err != nil {
				return nil, err
			}
			s.change.AssignmentBefore = &before
		}
		s.apply = func(ctx context.Context, tx *store.Tx, version uint64) error {
			kept.Version = version
			return writeAssignment(ctx, tx, a, version)
		}
		return s, nil
	})
	if err != nil {
		return Assignment{}, err
	}
	return kept, nil
}

// checkAssignment refuses what names something that does not exist or does not
// go together.
func checkAssignment(ctx context.Context, tx *store.Tx, a Assignment) error {
	role, err := readRole(ctx, tx, a.Role)
	if err != nil {
		return err
	}
	if err := role.fits(a.Team); err != nil {
		return err
	}
	for _, part := range []struct{ query, id, what string }{
		{`SELECT EXISTS (SELECT 1 FROM teams WHERE id = $1)`, string(a.Team), "team"},
		{`SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)`, string(a.User), "user"},
		{`SELECT EXISTS (SELECT 1 FROM groups WHERE id = $1)`, string(a.Group), "group"},
	} {
		if part.id == "" {
			continue
		}
		exists, err := store.One(ctx, tx, store.Scalar[bool], part.query, part.id)
		if err != nil {
			return err
		}
		if !exists {
			return fault.New(fault.NotFound, part.what+"-not-found", "There is no such "+part.what+".")
		}
	}
	return nil
}

func writeAssignment(ctx context.Context, tx *store.Tx, a Assignment, version uint64) error {
	kind, id := a.holder()
	var team any // NULL: account-wide
	if a.Team != "" {
		team = string(a.Team)
	}
	_, err := tx.Exec(ctx, `INSERT INTO assignments (id, name, role, team_id, subject_kind, subject_id, version, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (name) DO UPDATE SET id = excluded.id, role = excluded.role, team_id = excluded.team_id,
			subject_kind = excluded.subject_kind, subject_id = excluded.subject_id, version = excluded.version, created_at = excluded.created_at`,
		a.ID, a.Name, a.Role, team, kind, id, version, store.Millis(a.CreatedAt))
	return err
}

// Unassign takes an assignment away. The last owner's stays: an organisation
// that nobody owns could not be mended from within.
func (e *Engine) Unassign(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id string) error {
	return e.change(ctx, cause, tenant, func(ctx context.Context, tx *store.Tx) (*step, error) {
		before, err := store.One(ctx, tx, scanAssignment, `SELECT `+assignmentColumns+` FROM assignments WHERE id = $1`, id)
		if errors.Is(err, store.ErrNoRows) {
			return nil, errNoAssignment
		}
		if err != nil {
			return nil, err
		}
		if err := keepsOwner(ctx, tx, before, Assignment{}); err != nil {
			return nil, err
		}
		return unassignment(before), nil
	})
}

func unassignment(a Assignment) *step {
	return &step{
		change: Change{Op: "assignment.deleted", AssignmentBefore: &a},
		target: audit.Target{Kind: "assignment", ID: a.ID, Name: a.Name},
		apply: func(ctx context.Context, tx *store.Tx, _ uint64) error {
			_, err := tx.Exec(ctx, `DELETE FROM assignments WHERE id = $1`, a.ID)
			return err
		},
	}
}

// Withdraw takes away every role that a person or a group has, or that was
// given for a team, in the transaction that deletes them: no assignment
// outlives what it names. The record of the deletion covers it (P1); an
// [Engine] goes by the new policy as soon as the directory's version moves.
func Withdraw(ctx context.Context, tx *store.Tx, cause audit.Cause, gone audit.Target) error {
	of := map[string]string{
		kindUser:  `subject_kind = 'user' AND subject_id = $1`,
		kindGroup: `subject_kind = 'group' AND subject_id = $1`,
		kindTeam:  `team_id = $1`,
	}[gone.Kind]
	if of == "" {
		return fmt.Errorf("authz: withdraw the roles of a %q", gone.Kind)
	}
	all, err := store.All(ctx, tx, scanAssignment, `SELECT `+assignmentColumns+` FROM assignments WHERE `+of+` ORDER BY name`, gone.ID)
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := unassignment(a).write(ctx, tx, cause); err != nil {
			return err
		}
	}
	return nil
}

// keepsOwner refuses to replace the assignment by which the last active person
// is an owner. after is empty when it is only taken away.
func keepsOwner(ctx context.Context, tx *store.Tx, before, after Assignment) error {
	if before.Role != Owner || before.Team != "" {
		return nil
	}
	const others = `SELECT a.subject_id FROM assignments a WHERE a.role = 'owner' AND a.team_id IS NULL AND a.id <> $1 AND a.subject_kind = `
	remains, err := store.One(ctx, tx, store.Scalar[bool], `WITH RECURSIVE owning (id, depth) AS (
			SELECT g.id, 0 FROM groups g WHERE (g.id = $3 AND $4) OR g.id IN (`+others+`'group')
			UNION SELECT n.member_id, o.depth + 1 FROM owning o JOIN group_nestings n ON n.group_id = o.id WHERE o.depth < `+strconv.Itoa(identity.MaxGroupDepth)+`)
		SELECT EXISTS (SELECT 1 FROM users u WHERE u.active AND ((u.id = $2 AND $4) OR u.id IN (`+others+`'user')
			OR u.id IN (SELECT m.user_id FROM owning o JOIN group_members m ON m.group_id = o.id)))`,
		before.ID, after.User, after.Group, after.Role == Owner && after.Team == "")
	if err == nil && !remains {
		return fault.New(fault.Conflict, "last-owner", "This is the last active owner. Make somebody else an owner first.")
	}
	return err
}

// GrantDefault gives a person the account-wide role that their connection gives
// to newcomers. Doing it again changes nothing.
func (e *Engine) GrantDefault(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, role string) error {
	_, err := e.Assign(ctx, cause, tenant, Assignment{Name: "default-" + string(user), Role: role, User: user})
	return err
}

// CheckDefault tells what [Engine.GrantDefault] would refuse of a role, whoever the
// newcomer is.
func (e *Engine) CheckDefault(ctx context.Context, tenant identity.TenantID, role string) error {
	return e.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		r, err := readRole(ctx, tx, role)
		if err != nil {
			return err
		}
		return r.fits("")
	})
}
