package directory

import (
	"context"
	"strconv"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

var depth = strconv.Itoa(identity.MaxGroupDepth)

// peopleWithin selects the people of those groups g for which a condition holds, also
// those who are in them through others.
var peopleWithin = `WITH RECURSIVE within (id, depth) AS (SELECT g.id, 0 FROM groups g WHERE %s
		UNION SELECT n.member_id, w.depth + 1 FROM within w JOIN group_nestings n ON n.group_id = w.id WHERE w.depth < ` + depth + `)
	SELECT m.user_id FROM group_members m WHERE m.group_id IN (SELECT id FROM within)`

// everyMember is who is in a group itself: a person, or another group.
const everyMember = `SELECT group_id, user_id AS id FROM group_members UNION ALL SELECT group_id, member_id FROM group_nestings`

// groupsOf gives the groups that a person is in: by themselves, and through groups that
// are in groups, up to [identity.MaxGroupDepth] of them above each other. A group that
// is reached in several ways, or in a circle, counts once, by the shortest.
func groupsOf(ctx context.Context, tx *store.Tx, id identity.UserID) ([]identity.Group, error) {
	return store.All(ctx, tx, func(row store.Row) (g identity.Group, err error) {
		err = row.Scan(&g.ID, &g.Name, &g.Indirect)
		return g, err
	}, `WITH RECURSIVE reached (id, depth) AS (
			SELECT group_id, 0 FROM group_members WHERE user_id = $1
			UNION SELECT n.group_id, r.depth + 1 FROM reached r JOIN group_nestings n ON n.member_id = r.id WHERE r.depth < `+depth+`)
		SELECT g.id, g.display_name, min(r.depth) > 0 FROM reached r JOIN groups g ON g.id = r.id
		GROUP BY g.id, g.display_name, g.name_key ORDER BY g.name_key LIMIT `+strconv.Itoa(maxGroupsOf), id)
}

// maxGroupsOf is how many groups of a person are told of at most.
const maxGroupsOf = 10_000

// groupsOfAll is [groupsOf] for those of a list of parameters, in one statement: a page
// of people is not to ask for each.
func groupsOfAll(ctx context.Context, tx *store.Tx, in string, args []any) (map[identity.UserID][]identity.Group, error) {
	groups := map[identity.UserID][]identity.Group{}
	_, err := store.All(ctx, tx, func(row store.Row) (none struct{}, err error) {
		var user identity.UserID
		var g identity.Group
		if err := row.Scan(&user, &g.ID, &g.Name, &g.Indirect); err != nil {
			return none, err
		}
		if len(groups[user]) < maxGroupsOf {
			groups[user] = append(groups[user], g)
		}
		return none, nil
	}, `WITH RECURSIVE reached (user_id, id, depth) AS (
			SELECT user_id, group_id, 0 FROM group_members WHERE user_id IN (`+in+`)
			UNION SELECT r.user_id, n.group_id, r.depth + 1 FROM reached r JOIN group_nestings n ON n.member_id = r.id WHERE r.depth < `+depth+`)
		SELECT r.user_id, g.id, g.display_name, min(r.depth) > 0 FROM reached r JOIN groups g ON g.id = r.id
		GROUP BY r.user_id, g.id, g.display_name, g.name_key ORDER BY r.user_id, g.name_key`, args...)
	return groups, err
}
