package directory

import (
	"context"
	"database/sql"
	"slices"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// MaxPage is the most that one call lists.
const MaxPage = 200

// UserQuery asks for a page of people, in order of their id: that is the order
// in which they were made. Start counts from 0; Count is at most [MaxPage], and
// 0 asks for the total alone.
type UserQuery struct {
	Filter       Filter // nil: everybody
	Start, Count int
}

// UserPage is a page of people with how many there are in all.
type UserPage struct {
	Items []User
	Total int
}

// GroupQuery asks for a page of groups as [UserQuery] does for people.
type GroupQuery struct {
	Filter       Filter // nil: all
	Start, Count int
	WithMembers  bool
}

// GroupPage is a page of groups with how many there are in all.
type GroupPage struct {
	Items []Group
	Total int
}

// Query asks for a page of people, groups or both in one list.
type Query struct {
	Users, Groups *Part // nil: none of them
	// Sorted has the list in the order of the parts' keys, and of the ids where these
	// are the same; otherwise the ids decide alone. Who has no value comes last.
	// Descending is the other way round in all of it (RFC 7644 §3.4.2.3).
	Sorted, Descending bool
	// At is where to go on from, the beginning if it is zero: which costs the same
	// wherever it is. Back reads what comes before, in the order of the list.
	At   Position
	Back bool
	// Start is how many to pass over, and counts from 0; Count is at most [MaxPage].
	Start, Count int
	// Total asks how many there are from the position on, which costs more the more
	// there are, unless all are on the page.
	Total       bool
	WithMembers bool
	// WithoutGroups leaves out the groups of people.
	WithoutGroups bool
}

// Part is which people or groups a list has, and what they are sorted by.
type Part struct {
	Filter Filter // nil: all
	By     Key
}

// Page is what was found.
type Page struct {
	Items []Item
	More  bool // there are more in the direction of reading
	Total int  // if it was asked for
}

// Item is a person or a group, and where in the list it stands.
type Item struct {
	User  *User
	Group *Group
	At    Position
}

// Users lists people, with their groups.
func (s *Service) Users(ctx context.Context, tenant identity.TenantID, q UserQuery) (UserPage, error) {
	found, err := s.Find(ctx, tenant, Query{Users: &Part{Filter: q.Filter}, Start: q.Start, Count: q.Count, Total: true})
	page := UserPage{Total: found.Total}
	for _, item := range found.Items {
		page.Items = append(page.Items, *item.User)
	}
	return page, err
}

// Groups lists groups.
func (s *Service) Groups(ctx context.Context, tenant identity.TenantID, q GroupQuery) (GroupPage, error) {
	found, err := s.Find(ctx, tenant, Query{Groups: &Part{Filter: q.Filter}, Start: q.Start, Count: q.Count, Total: true, WithMembers: q.WithMembers})
	page := GroupPage{Total: found.Total}
	for _, item := range found.Items {
		page.Items = append(page.Items, *item.Group)
	}
	return page, err
}

// The schemes tell people and groups apart in one list.
const (
	schemeUser  = "user"
	schemeGroup = "group"
)

// Find lists people and groups. The conditions come from the compiler: texts of
// ours, with every value as a parameter.
func (s *Service) Find(ctx context.Context, tenant identity.TenantID, q Query) (page Page, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		l := &lister{json: tx.JSON(), byID: !q.Sorted, backward: q.Descending != q.Back, at: q.At}
		if q.Users != nil {
			l.parts = append(l.parts, part{"users", schemeUser, ofUsers(l.json), q.Users.Filter, q.Users.By})
		}
		if q.Groups != nil {
			l.parts = append(l.parts, part{"groups", schemeGroup, ofGroups(), q.Groups.Filter, q.Groups.By})
		}
		f := finding{tx: tx, lister: l}
		if s.feed == nil || !q.Total || !q.whole() {
			page, err = f.page(ctx, q)
			return err
		}
		change, err := s.feed.Last(ctx, tx)
		if err != nil {
			return err
		}
		f.total, f.known = s.memory.total(tenant, q.kinds(), change)
		if page, err = f.page(ctx, q); err == nil {
			s.memory.putTotal(tenant, q.kinds(), total{change, page.Total})
		}
		return err
	})
	return page, err
}

// whole reports whether the list has everybody, from its beginning.
func (q *Query) whole() bool {
	return q.At == Position{} && (q.Users == nil || q.Users.Filter == nil) && (q.Groups == nil || q.Groups.Filter == nil)
}

// kinds tells lists of people, of groups and of both apart.
func (q *Query) kinds() kinds {
	return kinds{q.Users != nil, q.Groups != nil}
}

// record is what a list says of a record before it is loaded.
type record struct {
	scheme string
	at     Position
}

// finding is a list that is being read.
type finding struct {
	*lister
	tx    *store.Tx
	total int // if known: how many there are from the position on
	known bool
}

func (f *finding) page(ctx context.Context, q Query) (page Page, err error) {
	count, start := min(max(q.Count, 0), MaxPage), max(q.Start, 0)
	backward := q.Back
	read := count
	if count > 0 {
		read++ // one more says whether there are more
	}
	if q.Total && start > 0 {
		if err := f.countAll(ctx); err != nil {
			return page, err
		}
		if start > f.total/2 && count > 0 && !q.Back { // it is nearer to the end: fewer are passed over from there
			end := max(start, min(start+count, f.total))
			page.More = end < f.total
			start, read = f.total-end, end-start
			backward, f.backward = true, !f.backward
		}
	}
	records, err := f.records(ctx, max(start, 0), read)
	if err != nil {
		return page, err
	}
	if len(records) > count {
		page.More, records = true, records[:count]
	}
	if page.Total = len(records); q.Total && (page.More || count == 0 || q.Start > 0) {
		if err := f.countAll(ctx); err != nil {
			return page, err
		}
		page.Total = f.total
	}
	if backward {
		slices.Reverse(records)
	}
	page.Items, err = load(ctx, f.tx, records, q)
	return page, err
}

// records reads so many records behind those that are passed over.
func (f *finding) records(ctx context.Context, start, count int) (records []record, err error) {
	for _, of := range f.pieces(start) {
		if len(records) >= count {
			break
		}
		query, args, err := f.statement(of, start, count-len(records))
		if err != nil {
			return nil, err
		}
		more, err := store.All(ctx, f.tx, scanRecord, query, args...)
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
	}
	return records, nil
}

func (f *finding) countAll(ctx context.Context) error {
	if f.known {
		return nil
	}
	query, args, err := f.count()
	if err != nil {
		return err
	}
	f.total, err = store.One(ctx, f.tx, store.Scalar[int], query, args...)
	f.known = err == nil
	return err
}

func scanRecord(row store.Row) (r record, err error) {
	var key sql.NullString
	err = row.Scan(&r.scheme, &key, &r.at.ID)
	r.at.Key = key.String
	return r, err
}

// load reads what a list has found.
func load(ctx context.Context, tx *store.Tx, records []record, q Query) ([]Item, error) {
	var ids []identity.UserID
	for _, r := range records {
		if r.scheme == schemeUser {
			ids = append(ids, identity.UserID(r.at.ID))
		}
	}
	users, err := loadUsers(ctx, tx, ids, !q.WithoutGroups)
	if err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(records))
	for _, r := range records {
		item := Item{User: users[identity.UserID(r.at.ID)], At: r.at}
		if r.scheme == schemeGroup {
			g, err := loadGroup(ctx, tx, identity.GroupID(r.at.ID), q.WithMembers)
			if err != nil {
				return nil, err
			}
			item.Group = &g
		}
		items = append(items, item)
	}
	return items, nil
}
