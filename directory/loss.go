package directory

import (
	"context"
	"errors"
	"slices"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// losing adds to a change of a group what the brake says of those who have no role any
// more by it, which for them is as good as being deactivated. Without a plan the group is
// deleted.
func (s *Service) losing(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, group audit.Target, p *memberPlan, do *step) error {
	if s.roles == nil || p != nil && p.removed() == 0 {
		return nil
	}
	search := func(ctx context.Context, tx *store.Tx, most int) ([]identity.UserID, error) {
		before, after, err := s.givingBy(ctx, tx, group.ID, p)
		if err != nil || !before[group.ID] {
			return nil, err
		}
		l := losers{service: s, tx: tx, most: most, seen: map[string]bool{}, newcomers: []string{}}
		if p != nil {
			if after[group.ID] {
				l.newcomers = p.people.join
			}
			// Whoever leaves the group itself has what other groups give them.
			l.left = after.besides(giving{group.ID: true})
			err = p.people.leavers(ctx, tx, identity.GroupID(group.ID), func(ids []string) error { return l.look(ctx, ids) })
		}
		l.left = after.besides(nil)
		for _, id := range before.besides(after) {
			if err == nil {
				err = peopleTable.pages(ctx, tx, identity.GroupID(id), func(ids []string) error { return l.look(ctx, ids) })
			}
		}
		if errors.Is(err, errEnough) {
			err = nil
		}
		return l.found, err
	}
	var last struct { // what was found, which holds as long as its transaction
		in    *store.Tx
		most  int
		found []identity.UserID
	}
	return s.leaving(ctx, tx, cause, tenant, group, func(ctx context.Context, tx *store.Tx, most int) (found []identity.UserID, err error) {
		if last.in != tx || most > last.most && len(last.found) == last.most {
			if found, err = search(ctx, tx, most); err != nil {
				return nil, err
			}
			last.in, last.most, last.found = tx, most, found
		}
		return last.found[:min(len(last.found), most)], nil
	}, do)
}

// leavers reads who leaves a group, in parts.
func (p *kindPlan) leavers(ctx context.Context, tx *store.Tx, group identity.GroupID, each func([]string) error) error {
	if p.rest {
		return p.table.pages(ctx, tx, group, func(page []string) error { return each(p.without(page)) })
	}
	return each(p.leave)
}

// activeAmong selects those of some people who are active, by their ids: SQLite takes an
// index of everybody who is for the better one where it may.
const activeAmong = `SELECT id FROM users WHERE CASE WHEN active THEN 1 ELSE 0 END = 1 AND id IN (`

// losers is a search for active people without a role.
type losers struct {
	service   *Service
	tx        *store.Tx
	left      []string // the groups that give one
	newcomers []string // who come into one of them; in order
	most      int
	seen      map[string]bool
	found     []identity.UserID
}

// errEnough ends a search that has found as many as it was to.
var errEnough = errors.New("directory: enough")

// look adds those of some people who are such.
func (l *losers) look(ctx context.Context, people []string) error {
	for batch := range slices.Chunk(people, memberBatch) {
		without, err := present(ctx, l.tx, activeAmong, batch)
		if err != nil {
			return err
		}
		have, err := l.service.roles.PeopleGiven(ctx, l.tx, batch)
		if err != nil {
			return err
		}
		for groups := range slices.Chunk(l.left, memberBatch) {
			in, args := listOf(groups)
			some, err := present(ctx, l.tx, `SELECT DISTINCT user_id FROM group_members WHERE group_id IN (`+in+`) AND user_id IN (`, batch, args...)
			if err != nil {
				return err
			}
			for id := range some {
				have = append(have, id)
			}
		}
		for _, id := range have {
			delete(without, id)
		}
		for _, id := range batch {
			if _, comes := slices.BinarySearch(l.newcomers, id); comes || !without[id] || l.seen[id] {
				continue
			}
			l.seen[id], l.found = true, append(l.found, identity.UserID(id))
			if len(l.found) >= l.most {
				return errEnough
			}
		}
	}
	return nil
}

// regained is for those who have a role by a group that they come into: they have not
// left. It comes before the members do.
func (s *Service) regained(ctx context.Context, tx *store.Tx, group string, p *memberPlan) error {
	if s.brake == nil || s.roles == nil || p.added() == 0 {
		return nil
	}
	return s.brake.Returned(ctx, tx, func(ctx context.Context, tx *store.Tx, each func([]string) error) error {
		before, after, err := s.givingBy(ctx, tx, group, p)
		if err != nil {
			return err
		}
		active := func(ids []string) error {
			there, err := present(ctx, tx, activeAmong, ids)
			if err != nil {
				return err
			}
			return each(slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !there[id] }))
		}
		if after[group] {
			if err := active(p.people.join); err != nil {
				return err
			}
		}
		for _, id := range after.besides(before) {
			if err := peopleTable.pages(ctx, tx, identity.GroupID(id), active); err != nil {
				return err
			}
		}
		return nil
	})
}
