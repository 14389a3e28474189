package directory

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Roles tells who is given any, in the transactions of others ([Config.Roles]).
type Roles interface {
	// GroupsGiven gives the groups that are given a role, account-wide or in a team.
	GroupsGiven(ctx context.Context, tx *store.Tx) ([]string, error)
	// PeopleGiven gives those of some people, 500 at most, who are given one themselves.
	PeopleGiven(ctx context.Context, tx *store.Tx, among []string) ([]string, error)
}

// giving are the groups by which people have a role: those that are given one, and the
// groups in them.
type giving map[string]bool

// nesting is that member is in group.
type nesting struct{ group, member string }

// givingBy finds them as they are before a change of a group and after it: of its members
// as the plan has it, and without one, when the group is gone. Groups in groups are few.
func (s *Service) givingBy(ctx context.Context, tx *store.Tx, group string, p *memberPlan) (before, after giving, err error) {
	given, err := s.roles.GroupsGiven(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	nestings, err := store.All(ctx, tx, func(row store.Row) (n nesting, err error) {
		err = row.Scan(&n.group, &n.member)
		return n, err
	}, `SELECT group_id, member_id FROM group_nestings LIMIT `+strconv.Itoa(2*maxNestings))
	if err != nil {
		return nil, nil, err
	}
	before = givenBy(given, nestings)
	if p == nil {
		given = slices.DeleteFunc(given, func(id string) bool { return id == group })
		nestings = slices.DeleteFunc(nestings, func(n nesting) bool { return n.group == group || n.member == group })
		return before, givenBy(given, nestings), nil
	}
	nestings = slices.DeleteFunc(nestings, func(n nesting) bool { return n.group == group && p.groups.leaves(n.member) })
	for _, id := range p.groups.join {
		nestings = append(nestings, nesting{group, id})
	}
	return before, givenBy(given, nestings), nil
}

func givenBy(given []string, nestings []nesting) giving {
	in := map[string][]string{}
	for _, n := range nestings {
		in[n.group] = append(in[n.group], n.member)
	}
	all := giving{}
	for _, id := range given {
		all[id] = true
	}
	for next, depth := given, 0; len(next) > 0 && depth < identity.MaxGroupDepth; depth++ {
		level := next
		next = nil
		for _, id := range level {
			for _, member := range in[id] {
				if !all[member] {
					all[member], next = true, append(next, member)
				}
			}
		}
	}
	return all
}

// besides gives those that are not among others, in order.
func (g giving) besides(others giving) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(g)) {
		if !others[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// leaves reports whether a member does.
func (p *kindPlan) leaves(id string) bool {
	list := p.leave
	if p.rest {
		list = p.stay
	}
	_, listed := slices.BinarySearch(list, id)
	return listed != p.rest
}
