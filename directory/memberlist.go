package directory

import (
	"context"
	"strconv"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// MemberQuery asks for some of those who are in a group themselves, in order of their
// ids: of the people with [PersonMember], or of the groups with [GroupMember].
type MemberQuery struct {
	Group  identity.GroupID
	Kind   MemberKind
	Search string // part of a name, a user name or a person's address; "": all
	After  string // the id to go on behind; "": from the beginning
	Count  int    // at most [MaxPage]
}

// MemberPage has the people, without their groups and further addresses, or the groups.
type MemberPage struct {
	People []User
	Groups []Group
	More   bool
}

// Members reads a page of a group's members, which costs the same wherever in the group
// it is, unless something is searched for. A group that is not there is a NotFound fault.
func (s *Service) Members(ctx context.Context, tenant identity.TenantID, q MemberQuery) (page MemberPage, err error) {
	count := min(max(q.Count, 1), MaxPage)
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		if _, err := loadGroup(ctx, tx, q.Group, false); err != nil {
			return err
		}
		if q.Kind == GroupMember {
			page.Groups, err = membersLike(ctx, tx, q, nestedTable, groupColumns, scanGroup, "name_key")
			page.Groups, page.More = atMost(page.Groups, count)
			return err
		}
		page.People, err = membersLike(ctx, tx, q, peopleTable, userColumns, scanUser, "display_key", "user_key", "email")
		page.People, page.More = atMost(page.People, count)
		return err
	})
	return page, err
}

// membersLike reads one more than the page, which tells whether there is another one.
func membersLike[T any](ctx context.Context, tx *store.Tx, q MemberQuery, t memberTable, columns string, scan func(store.Row) (T, error), searched ...string) ([]T, error) {
	args := []any{q.Group, q.After}
	condition := ""
	if q.Search != "" {
		args = append(args, identity.NameKey(q.Search))
		for i, column := range searched {
			searched[i] = `replace(` + column + `, $3, '') <> ` + column
		}
		condition = ` AND (` + strings.Join(searched, " OR ") + `)`
	}
	return store.All(ctx, tx, scan, `SELECT `+columns+` FROM `+t.name+` JOIN `+t.of+` ON id = `+t.column+`
		WHERE group_id = $1 AND `+t.column+` > $2`+condition+` ORDER BY `+t.column+` LIMIT `+strconv.Itoa(min(max(q.Count, 1), MaxPage)+1), args...)
}

func atMost[T any](items []T, count int) ([]T, bool) {
	if len(items) > count {
		return items[:count], true
	}
	return items, false
}

// Size is how many are in a group themselves.
type Size struct {
	People, Groups int
	AtLeast        bool // there are more people than were counted
}

// Sizes counts the members of groups, of each up to so many people; 0 counts all.
// Groups that are not there are empty.
func (s *Service) Sizes(ctx context.Context, tenant identity.TenantID, groups []identity.GroupID, most int) (map[identity.GroupID]Size, error) {
	sizes := make(map[identity.GroupID]Size, len(groups))
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		for _, id := range groups {
			var size Size
			var err error
			if size.Groups, err = nestedTable.count(ctx, tx, id); err != nil {
				return err
			}
			if most <= 0 {
				size.People, err = peopleTable.count(ctx, tx, id)
			} else {
				size.People, err = store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM (SELECT 1 FROM group_members WHERE group_id = $1 LIMIT `+strconv.Itoa(most+1)+`) m`, id)
				size.AtLeast = size.People > most
				size.People = min(size.People, most)
			}
			if err != nil {
				return err
			}
			sizes[id] = size
		}
		return nil
	})
	return sizes, err
}
