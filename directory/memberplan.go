package directory

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// maxNestings bounds the groups in groups of a tenant, and by that the groups that
// somebody is in through others, and how long it takes to find them.
const maxNestings = 2000

// memberPlan is what a [MemberChange] comes to, held against who is in the group.
type memberPlan struct {
	people, groups kindPlan
	// replaces says that nobody is to stay who is not named: what others do meanwhile
	// comes before it or after it.
	replaces bool
}

// kindPlan is the part of a plan that is about members of one kind.
type kindPlan struct {
	table       memberTable
	join, leave []string // by id, in order
	// rest says that all leave who are not to stay, which are too many to be listed.
	rest    bool
	stay    []string
	leaving int // in all
}

func (p *memberPlan) added() int { return len(p.people.join) + len(p.groups.join) }

func (p *memberPlan) removed() int { return p.people.leaving + p.groups.leaving }

// touched gives whose [Service.Person] the plan changes. A group that is put into
// another, or taken out of it, takes everybody along who is in it, whoever that is.
func (p *memberPlan) touched() []identity.UserID {
	if len(p.groups.join)+p.groups.leaving > 0 || p.people.rest || len(p.people.join) > maxListed {
		return Everybody
	}
	var ids []identity.UserID
	for _, id := range slices.Concat(p.people.join, p.people.leave) {
		ids = append(ids, identity.UserID(id))
	}
	return ids
}

// plan holds the change against who is in a group; of a new one, nobody.
func (c *MemberChange) plan(ctx context.Context, tx *store.Tx, group identity.GroupID) (p memberPlan, err error) {
	people, groups, err := c.fold(ctx, tx)
	if err != nil {
		return p, err
	}
	p.replaces = people.nobodyElse || groups.nobodyElse
	if in := groups.in[string(group)]; in {
		return p, invalid("group-in-itself", "A group cannot be a member of itself.")
	}
	if p.people, err = people.against(ctx, tx, peopleTable, group); err != nil {
		return p, err
	}
	if p.groups, err = groups.against(ctx, tx, nestedTable, group); err != nil || len(p.groups.join) == 0 {
		return p, err
	}
	n, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM group_nestings`)
	if err == nil && n+len(p.groups.join)-p.groups.leaving > maxNestings {
		err = invalid("too-many-nestings", "There can be at most %d groups in groups.", maxNestings)
	}
	return p, err
}

// against tells who joins and who leaves.
func (w *wanted) against(ctx context.Context, tx *store.Tx, t memberTable, group identity.GroupID) (kindPlan, error) {
	p := kindPlan{table: t}
	named := slices.Sorted(maps.Keys(w.in))
	there, err := present(ctx, tx, `SELECT `+t.column+` FROM `+t.name+t.named(), named, group)
	if err != nil {
		return p, err
	}
	for _, id := range named {
		switch {
		case w.in[id] && there[id]:
			p.stay = append(p.stay, id)
		case w.in[id]:
			p.join = append(p.join, id)
		case there[id]:
			p.leave = append(p.leave, id)
		}
	}
	if p.leaving = len(p.leave); !w.nobodyElse {
		return p, nil
	}
	all, err := t.count(ctx, tx, group)
	if err != nil {
		return p, err
	}
	if p.leaving = all - len(p.stay); p.leaving > maxListed {
		p.leave, p.rest = nil, true
		return p, nil
	}
	p.leave = nil
	err = t.pages(ctx, tx, group, func(page []string) error {
		p.leave = append(p.leave, p.without(page)...)
		return nil
	})
	return p, err
}

// without gives those of a page who are not to stay.
func (p *kindPlan) without(page []string) []string {
	return slices.DeleteFunc(page, func(id string) bool {
		_, stays := slices.BinarySearch(p.stay, id)
		return stays
	})
}

func (t memberTable) count(ctx context.Context, tx *store.Tx, group identity.GroupID) (int, error) {
	return store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM `+t.name+` WHERE group_id = $1`, group)
}

// pages reads the ids of a group's members in their order, never all at once.
func (t memberTable) pages(ctx context.Context, tx *store.Tx, group identity.GroupID, each func([]string) error) error {
	for after, more := "", true; more; {
		page, err := store.All(ctx, tx, store.Scalar[string], `SELECT `+t.column+` FROM `+t.name+` WHERE group_id = $1 AND `+t.column+` > $2
			ORDER BY `+t.column+` LIMIT `+strconv.Itoa(memberPage), group, after)
		if err != nil || len(page) == 0 {
			return err
		}
		after, more = page[len(page)-1], len(page) == memberPage
		if err := each(page); err != nil {
			return err
		}
	}
	return nil
}

// write makes the change. What the journal says of it is what it does, or it does
// nothing: another node may have changed the same members meanwhile.
func (p *memberPlan) write(ctx context.Context, tx *store.Tx, group identity.GroupID) error {
	if err := p.people.write(ctx, tx, group); err != nil {
		return err
	}
	return p.groups.write(ctx, tx, group)
}

func (p *kindPlan) write(ctx context.Context, tx *store.Tx, group identity.GroupID) error {
	left, err := p.takeOut(ctx, tx, group)
	if err != nil {
		return err
	}
	joined := 0
	for batch := range slices.Chunk(p.join, memberBatch) {
		places, args := listOf(batch, group)
		n, err := tx.Exec(ctx, `INSERT INTO `+p.table.name+` (group_id, `+p.table.column+`) SELECT $1, id FROM `+p.table.of+`
			WHERE id IN (`+places+`) ON CONFLICT (group_id, `+p.table.column+`) DO NOTHING`, args...)
		if err != nil {
			return err
		}
		joined += int(n)
	}
	if left != p.leaving || joined != len(p.join) {
		return errVersion()
	}
	return nil
}

func (p *kindPlan) takeOut(ctx context.Context, tx *store.Tx, group identity.GroupID) (left int, err error) {
	if p.rest {
		return p.table.sweep(ctx, tx, group, p.stay)
	}
	for batch := range slices.Chunk(p.leave, memberBatch) {
		places, args := listOf(batch, group)
		n, err := tx.Exec(ctx, `DELETE FROM `+p.table.name+p.table.named()+places+`)`, args...)
		if err != nil {
			return left, err
		}
		left += int(n)
	}
	return left, nil
}

// sweep takes all members out of a group who are not to stay, so many in one statement
// that it is over within the database's limit.
func (t memberTable) sweep(ctx context.Context, tx *store.Tx, group identity.GroupID, stay []string) (left int, err error) {
	err = t.pages(ctx, tx, group, func(page []string) error {
		first, last := page[0], page[len(page)-1]
		statement := `DELETE FROM ` + t.name + ` WHERE group_id = $1 AND ` + t.column + ` >= $2 AND ` + t.column + ` <= $3`
		from, _ := slices.BinarySearch(stay, first)
		to, _ := slices.BinarySearch(stay, last+"\x00") // behind the last
		places, args := listOf(stay[from:to], group, first, last)
		if from < to {
			statement += ` AND ` + t.column + ` NOT IN (` + places + `)`
		}
		n, err := tx.Exec(ctx, statement, args...)
		left += int(n)
		return err
	})
	return left, err
}

// room is how many members a group has, as far as that matters for the most it may hold.
type room struct {
	atMost  int
	counted bool // just now: it stands as long as nobody else changes the group
}

// roomFor refuses to put more members into a group than it may hold. They are counted
// only where that is not known beforehand, so that one more costs the same in a group
// of any size. Whom sign-ins put in is not looked at: nobody is kept out by it.
func (p *memberPlan) roomFor(ctx context.Context, tx *store.Tx, group identity.GroupID, limit int) (r room, err error) {
	more := p.added() - p.removed()
	r.atMost, err = store.One(ctx, tx, store.Scalar[int], `SELECT coalesce(members_at_most, -1) FROM groups WHERE id = $1`, group)
	if err != nil || r.atMost >= 0 && r.atMost+more <= limit {
		return r, err
	}
	people, err := peopleTable.count(ctx, tx, group)
	if err != nil {
		return r, err
	}
	groups, err := nestedTable.count(ctx, tx, group)
	if err != nil {
		return r, err
	}
	r = room{people + groups, true}
	if r.atMost+more > limit && more > 0 {
		return r, errTooManyMembers(limit)
	}
	return r, nil
}

func errTooManyMembers(limit int) error {
	return invalid("too-many-members", "A group can have at most %d members.", limit)
}
