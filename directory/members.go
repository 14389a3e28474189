package directory

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Member is a person or a group in a group: one of User and Group is set.
type Member struct {
	User    identity.UserID
	Group   identity.GroupID
	Display string // read only: the person's display name, or the group's
}

// MemberKind is what a member is.
type MemberKind uint8

// The kinds. AnyMember is a person or a group, whichever has the id.
const (
	AnyMember MemberKind = iota
	PersonMember
	GroupMember
)

const (
	// maxStored bounds the members that a change may ask to see.
	maxStored = 50_000
	// memberBatch is how many members one statement names.
	memberBatch = 500
	// memberPage is how many members of a group one statement reads, or takes out by range.
	memberPage = 1000
	// maxListed is how many members leave a group by name when all do: more are not
	// listed, and told of as everybody.
	maxListed = 1000
)

// MemberChange is what becomes of the members of a group, step by step in the order of
// the calls. It takes as long as what it names is, whatever the size of the group: who
// is in it already, or is not in it, is passed over.
type MemberChange struct {
	steps  []memberStep
	stored func() ([]Member, error)
}

type memberStep struct {
	verb memberVerb
	kind MemberKind
	ids  []string // nil with removeAll
}

type memberVerb uint8

const (
	addMember memberVerb = iota
	removeMember
	removeAll
)

// Add puts members of a kind into the group.
func (c *MemberChange) Add(kind MemberKind, ids ...string) { c.step(addMember, kind, ids) }

// Remove takes members of a kind out of the group.
func (c *MemberChange) Remove(kind MemberKind, ids ...string) { c.step(removeMember, kind, ids) }

// RemoveAll takes everybody of a kind out of the group. With those added after it they
// are a replacement: who was in the group and is added again has never left.
func (c *MemberChange) RemoveAll(kind MemberKind) { c.step(removeAll, kind, nil) }

// Stored reads who is in the group before the change, for the few changes that cannot
// be told without; of a group of more than 50,000 that is refused ("members-too-many").
func (c *MemberChange) Stored() ([]Member, error) { return c.stored() }

func (c *MemberChange) step(verb memberVerb, kind MemberKind, ids []string) {
	if n := len(c.steps); n > 0 && verb != removeAll && c.steps[n-1].verb == verb && c.steps[n-1].kind == kind {
		c.steps[n-1].ids = append(c.steps[n-1].ids, ids...)
		return
	}
	c.steps = append(c.steps, memberStep{verb, kind, slices.Clone(ids)})
}

// replaceBy has these and nobody else in the group.
func (c *MemberChange) replaceBy(members []Member) {
	c.RemoveAll(AnyMember)
	for _, m := range members {
		if m.Group != "" {
			c.Add(GroupMember, string(m.Group))
		} else {
			c.Add(PersonMember, string(m.User))
		}
	}
}

// memberTable is where members of one kind are kept: who, in what column, and what
// they are themselves.
type memberTable struct{ name, column, of string }

// named begins a condition that those of a list are in the group of $1. They are looked
// up one by one: where a database takes all groups for small, as they are on average, it
// would read through a large one instead, if its index were of use.
func (t memberTable) named() string { return ` WHERE group_id || '' = $1 AND ` + t.column + ` IN (` }

var (
	peopleTable = memberTable{"group_members", "user_id", "users"}
	nestedTable = memberTable{"group_nestings", "member_id", "groups"}
)

// wanted is what a change says of one kind: who is in the group after it (true), who is
// not (false), and that nobody else is.
type wanted struct {
	nobodyElse bool
	in         map[string]bool
}

func (w *wanted) clear() { w.nobodyElse, w.in = true, map[string]bool{} }

// fold brings the steps into one, in which no member is named twice.
func (c *MemberChange) fold(ctx context.Context, tx *store.Tx) (people, groups wanted, err error) {
	people.in, groups.in = map[string]bool{}, map[string]bool{}
	known, nested, err := c.find(ctx, tx)
	if err != nil {
		return people, groups, err
	}
	for _, s := range c.steps {
		if s.verb == removeAll {
			if s.kind != GroupMember {
				people.clear()
			}
			if s.kind != PersonMember {
				groups.clear()
			}
			continue
		}
		for _, id := range s.ids {
			switch {
			case s.verb == removeMember:
				if s.kind != GroupMember {
					people.in[id] = false
				}
				if s.kind != PersonMember {
					groups.in[id] = false
				}
			case s.kind != GroupMember && known[id]:
				people.in[id] = true
			case s.kind != PersonMember && nested[id]:
				groups.in[id] = true
			default:
				return people, groups, errUnknownMember(s.kind, id)
			}
		}
	}
	return people, groups, nil
}

func errUnknownMember(kind MemberKind, id string) error {
	switch kind {
	case PersonMember:
		return invalid("unknown-member", "There is no person with the id %.64q.", id)
	case GroupMember:
		return invalid("unknown-member", "There is no group with the id %.64q.", id)
	}
	return invalid("unknown-member", "There is no person and no group with the id %.64q.", id)
}

// find tells which of those who are added are people, and which are groups.
func (c *MemberChange) find(ctx context.Context, tx *store.Tx) (people, groups map[string]bool, err error) {
	var maybe, named []string
	for _, s := range c.steps {
		if s.verb == addMember && s.kind != GroupMember {
			maybe = append(maybe, s.ids...)
		}
	}
	if people, err = present(ctx, tx, `SELECT id FROM users WHERE id IN (`, maybe); err != nil {
		return nil, nil, err
	}
	for _, s := range c.steps {
		if s.verb != addMember || s.kind == PersonMember {
			continue
		}
		for _, id := range s.ids {
			if s.kind == GroupMember || !people[id] {
				named = append(named, id)
			}
		}
	}
	groups, err = present(ctx, tx, `SELECT id FROM groups WHERE id IN (`, named)
	return people, groups, err
}

// present gives which of the ids a query finds; it ends where they are to be listed,
// and has the other parameters first.
func present(ctx context.Context, tx *store.Tx, query string, ids []string, before ...any) (map[string]bool, error) {
	found := map[string]bool{}
	for batch := range slices.Chunk(sortedSet(ids), memberBatch) {
		places, args := listOf(batch, before...)
		some, err := store.All(ctx, tx, store.Scalar[string], query+places+`)`, args...)
		if err != nil {
			return nil, err
		}
		for _, id := range some {
			found[id] = true
		}
	}
	return found, nil
}

// listOf gives the places of ids behind other parameters, and all of the arguments.
func listOf(ids []string, before ...any) (places string, args []any) {
	args = slices.Clone(before)
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		args = append(args, id)
		b.WriteString("$" + strconv.Itoa(len(args)))
	}
	return b.String(), args
}

func sortedSet(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// membersOf gives the people in a group by their ids, and then the groups by theirs.
func membersOf(ctx context.Context, tx *store.Tx, id identity.GroupID, limit int) ([]Member, error) {
	people, err := store.All(ctx, tx, func(row store.Row) (m Member, err error) {
		err = row.Scan(&m.User, &m.Display)
		return m, err
	}, `SELECT u.id, u.display_name FROM group_members m JOIN users u ON u.id = m.user_id
		WHERE m.group_id = $1 ORDER BY u.id LIMIT `+strconv.Itoa(limit), id)
	if err != nil {
		return nil, err
	}
	groups, err := store.All(ctx, tx, func(row store.Row) (m Member, err error) {
		err = row.Scan(&m.Group, &m.Display)
		return m, err
	}, `SELECT g.id, g.display_name FROM group_nestings n JOIN groups g ON g.id = n.member_id
		WHERE n.group_id = $1 ORDER BY g.id LIMIT `+strconv.Itoa(limit), id)
	return append(people, groups...), err
}

// storedMembers is [membersOf] for a change that cannot be told without.
func storedMembers(ctx context.Context, tx *store.Tx, id identity.GroupID) ([]Member, error) {
	members, err := membersOf(ctx, tx, id, maxStored+1)
	if err == nil && len(members) > maxStored {
		err = fault.New(fault.Invalid, "members-too-many", "This cannot be done in a group of more than %d members. Name the members by their ids.", maxStored)
	}
	return members, err
}
