package directory

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

var depth = strconv.Itoa(identity.MaxGroupDepth)

// peopleWithin selects the people of those groups g for which a condition holds, also
// those who are in them through others.
var peopleWithin = `WITH RECURSIVE within (id, depth) AS (SELECT g.id, 0 FROM groups g WHERE %s
		UNION SELECT n.member_id, w.depth + 1 FROM within w JOIN group_nestings n ON n.group_id = w.id WHERE w.depth < ` + depth + `)
	SELECT m.user_id FROM group_members m WHERE m.group_id IN (SELECT id FROM within)`

// anyNumber is more than there can be of anything, and one more is a number still.
const anyNumber = math.MaxInt32 - 1

// everyMember is who is in a group itself: a person, or another group.
const everyMember = `SELECT group_id, user_id AS id FROM group_members UNION ALL SELECT group_id, member_id FROM group_nestings`

// groupsOf gives the groups that a person is in: by themselves, and through groups that
// are in groups, up to [identity.MaxGroupDepth] of them above each other. A group that
// is reached in several ways, or in a circle, counts once, by the shortest. It gives all
// of them: who decides what somebody may do must not miss one, and there are no more than
// the tenant has.
func groupsOf(ctx context.Context, tx *store.Tx, id identity.UserID) ([]identity.Group, error) {
	all, err := groupsOfAll(ctx, tx, "$1", []any{id}, anyNumber)
	return all[id], err
}

// Nesting is a group that is in another one itself.
type Nesting struct{ Group, In identity.Group }

// Nestings gives all groups in groups of a tenant, of which there are few (2,000), in
// the order of their names.
func (s *Service) Nestings(ctx context.Context, tenant identity.TenantID) (all []Nesting, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		all, err = store.All(ctx, tx, func(row store.Row) (n Nesting, err error) {
			err = row.Scan(&n.Group.ID, &n.Group.Name, &n.In.ID, &n.In.Name)
			return n, err
		}, `SELECT m.id, m.display_name, g.id, g.display_name FROM group_nestings n JOIN groups m ON m.id = n.member_id JOIN groups g ON g.id = n.group_id
			ORDER BY g.name_key, m.name_key LIMIT `+strconv.Itoa(2*maxNestings))
		return err
	})
	return all, err
}

// groupsOfAll is [groupsOf] for those of a list of parameters: a page of people is not to
// ask for each, and is refused if they are in more than most groups together. The groups
// are read by their ids, as a database that joined them might read all of the tenant's.
func groupsOfAll(ctx context.Context, tx *store.Tx, in string, args []any, most int) (map[identity.UserID][]identity.Group, error) {
	type reached struct {
		user identity.UserID
		identity.Group
		key string // of the name
	}
	all, err := store.All(ctx, tx, func(row store.Row) (r reached, err error) {
		err = row.Scan(&r.user, &r.ID, &r.Indirect)
		return r, err
	}, `WITH RECURSIVE reached (user_id, id, depth) AS (
			SELECT user_id, group_id, 0 FROM group_members WHERE user_id IN (`+in+`)
			UNION SELECT r.user_id, n.group_id, r.depth + 1 FROM reached r JOIN group_nestings n ON n.member_id = r.id WHERE r.depth < `+depth+`)
		SELECT user_id, id, min(depth) > 0 FROM reached GROUP BY user_id, id LIMIT `+strconv.Itoa(most+1), args...)
	if err != nil {
		return nil, err
	}
	if len(all) > most {
		return nil, fault.New(fault.Invalid, "groups-too-many", "The people of this page are in more than %d groups together. Ask for fewer people at a time, or leave their groups out.", most)
	}
	named := make(map[identity.GroupID]reached)
	var ids []any
	for _, r := range all {
		if _, seen := named[r.ID]; !seen {
			named[r.ID], ids = r, append(ids, r.ID)
		}
	}
	err = inPieces(ids, func(ids []any) error {
		some, err := store.All(ctx, tx, func(row store.Row) (r reached, err error) {
			err = row.Scan(&r.ID, &r.Name, &r.key)
			return r, err
		}, `SELECT id, display_name, name_key FROM groups WHERE id IN `+values(1, len(ids)), ids...)
		for _, r := range some {
			named[r.ID] = r
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Name, all[i].key = named[all[i].ID].Name, named[all[i].ID].key
	}
	slices.SortFunc(all, func(a, b reached) int { return strings.Compare(a.key, b.key) })
	groups := make(map[identity.UserID][]identity.Group)
	for _, r := range all {
		if r.key != "" { // "": deleted just now
			groups[r.user] = append(groups[r.user], r.Group)
		}
	}
	return groups, nil
}
