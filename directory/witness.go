package directory

import (
	"context"
	"slices"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Effect is what a change has made of one person, or of one group with its members. What
// was there before is nil of what was made, and what is there after it of what is gone.
type Effect struct {
	UserBefore, UserAfter   *User
	GroupBefore, GroupAfter *Group // without their members
	Joined, Left            Members
}

// Members are some members of a group: how many, and the first of them, at most 100. Of a
// thousand and more who leave at once none is named.
type Members struct {
	Count int
	First []Member
}

// maxNamed is how many members an [Effect] names.
const maxNamed = 100

type witnessKey struct{}

// WithWitness has each change that is made under ctx told to somebody, once it has come
// true and before the call returns, by the goroutine that makes it.
func WithWitness(ctx context.Context, told func(Effect)) context.Context {
	return context.WithValue(ctx, witnessKey{}, told)
}

func witness(ctx context.Context) (told func(Effect), ok bool) {
	told, ok = ctx.Value(witnessKey{}).(func(Effect))
	return told, ok
}

// tell tells the witness of a step that has been made.
func (do *step) tell(ctx context.Context) {
	if told, ok := witness(ctx); ok && do.effects != nil {
		for _, e := range do.effects() {
			told(e)
		}
	}
}

// told gives who has come into a group and gone out of it, by name where somebody asks.
func (p *memberPlan) told(ctx context.Context, tx *store.Tx) (joined, left Members, err error) {
	joined.Count, left.Count = p.added(), p.removed()
	if _, ok := witness(ctx); !ok {
		return joined, left, nil
	}
	if joined.First, err = named(ctx, tx, p.people.join, p.groups.join); err == nil {
		left.First, err = named(ctx, tx, p.people.leave, p.groups.leave)
	}
	return joined, left, err
}

// named gives the first of some people and groups with what they are called.
func named(ctx context.Context, tx *store.Tx, people, groups []string) (members []Member, err error) {
	people = people[:min(len(people), maxNamed)]
	groups = groups[:min(len(groups), maxNamed-len(people))]
	of := func(ids []string, table string, member func(id, name string) Member) error {
		if len(ids) == 0 {
			return nil
		}
		places, args := listOf(ids)
		found, err := store.All(ctx, tx, func(row store.Row) (Member, error) {
			var id, name string
			err := row.Scan(&id, &name)
			return member(id, name), err
		}, `SELECT id, display_name FROM `+table+` WHERE id IN (`+places+`) ORDER BY id`, args...)
		members = append(members, found...)
		return err
	}
	if err := of(people, "users", func(id, name string) Member { return Member{User: identity.UserID(id), Display: name} }); err != nil {
		return nil, err
	}
	err = of(groups, "groups", func(id, name string) Member { return Member{Group: identity.GroupID(id), Display: name} })
	return members, err
}

// leavingWith gives who is in a group that goes.
func leavingWith(ctx context.Context, tx *store.Tx, group identity.GroupID) (left Members, err error) {
	if _, ok := witness(ctx); !ok {
		return left, nil
	}
	for _, t := range []memberTable{peopleTable, nestedTable} {
		n, err := t.count(ctx, tx, group)
		if err != nil {
			return left, err
		}
		left.Count += n
	}
	members, err := membersOf(ctx, tx, group, maxNamed)
	left.First = slices.Clone(members[:min(len(members), maxNamed)])
	return left, err
}
