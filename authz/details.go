package authz

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/store"
)

// details are what the journal tells of a change: who has which role and what
// it allows, and under "_before" what an assignment of the same name gave until
// now. Ids stand beside the names of this moment, because who is named may be
// gone when somebody reads it. The version is the number that the change is
// about to get; another node that is faster takes it, and then it is the next.
func (c *Change) details(ctx context.Context, tx *store.Tx, version uint64) (map[string]string, error) {
	d := map[string]string{"change": c.Op, "version": strconv.FormatUint(version, 10)}
	if r := cmp.Or(c.RoleAfter, c.RoleBefore); r != nil {
		d["role"], d["permissions"] = r.Name, strings.Join(r.Permissions, " ")
	}
	if was, is := c.RoleBefore, c.RoleAfter; was != nil && is != nil {
		tell(d, "added", without(is.Permissions, was.Permissions))
		tell(d, "removed", without(was.Permissions, is.Permissions))
	}
	if a := cmp.Or(c.AssignmentAfter, c.AssignmentBefore); a != nil {
		d["assignment"] = a.Name
		if err := a.describe(ctx, tx, d, ""); err != nil {
			return nil, err
		}
	}
	if c.AssignmentAfter == nil || c.AssignmentBefore == nil {
		return d, nil
	}
	return d, c.AssignmentBefore.describe(ctx, tx, d, "_before")
}

// describe adds what an assignment gives to whom; without a team it is
// account-wide.
func (a *Assignment) describe(ctx context.Context, tx *store.Tx, d map[string]string, suffix string) error {
	kind, id := a.holder()
	d["role"+suffix], d["subject_kind"+suffix], d["subject"+suffix] = a.Role, kind, id
	if a.Team != "" {
		d["team"+suffix] = string(a.Team)
	}
	for _, named := range []struct{ key, query, id string }{
		{"team_name", `SELECT name FROM teams WHERE id = $1`, string(a.Team)},
		{"subject_name", `SELECT coalesce(nullif(email, ''), user_name) FROM users WHERE id = $1`, string(a.User)},
		{"subject_name", `SELECT display_name FROM groups WHERE id = $1`, string(a.Group)},
	} {
		if named.id == "" {
			continue
		}
		name, err := store.One(ctx, tx, store.Scalar[string], named.query, named.id)
		if err != nil && !errors.Is(err, store.ErrNoRows) {
			return err
		}
		tell(d, named.key+suffix, name)
	}
	return nil
}

func tell(d map[string]string, key, value string) {
	if value != "" {
		d[key] = value
	}
}

// without are the permissions of all that are not in some.
func without(all, some []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(all), func(p string) bool { return slices.Contains(some, p) }), " ")
}
