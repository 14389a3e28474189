package directory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Attr is what a list can be filtered by.
type Attr string

// Of people: all but AttrMember. Of groups: AttrID, AttrDisplayName,
// AttrExternalID, AttrSource, AttrMember and the times.
const (
	AttrID          Attr = "id"           // string, exact
	AttrUserName    Attr = "user_name"    // string, letter case ignored
	AttrDisplayName Attr = "display_name" // string, letter case ignored
	AttrExternalID  Attr = "external_id"  // string, exact
	AttrEmail       Attr = "email"        // string, letter case ignored; any of the person's addresses
	AttrSource      Attr = "source"       // string, exact
	AttrActive      Attr = "active"       // bool
	AttrCreated     Attr = "created"      // time.Time
	AttrUpdated     Attr = "updated"      // time.Time
	AttrGroup       Attr = "group"        // string: the id of a group that the person is in, also through others
	AttrMember      Attr = "member"       // string: the id of a person or a group that is in the group itself
)

// Op is a comparison (RFC 7644 §3.4.2.2 has the same ones). Present takes no
// value; Contains, StartsWith and EndsWith take strings; bools know Equal,
// NotEqual and Present alone.
type Op uint8

// The comparisons.
const (
	Equal Op = iota
	NotEqual
	Contains
	StartsWith
	EndsWith
	Present
	Greater
	GreaterOrEqual
	Less
	LessOrEqual
)

// Filter is a condition on people or groups: one of [Compare], [All], [Any]
// and [Not]. Trees deeper than 32 or with more than 500 comparisons are refused.
type Filter interface{ compile(*compiler, int) error }

type (
	// Compare holds one attribute against a value: string, bool or time.Time, as
	// the attribute says. Nothing is NotEqual to what it does not have.
	Compare struct {
		Attr  Attr
		Op    Op
		Value any
	}
	// All holds where every part does.
	All []Filter
	// Any holds where at least one part does.
	Any []Filter
	// Not holds where its part does not.
	Not struct{ Of Filter }
)

const (
	maxFilterDepth = 32
	maxComparisons = 500
	// MaxPage is the most that one call lists.
	MaxPage = 200
)

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

// Users lists people, with their groups.
func (s *Service) Users(ctx context.Context, tenant identity.TenantID, q UserQuery) (page UserPage, err error) {
	list := listing{table: "users", attrs: userAttrs, filter: q.Filter, start: q.Start, count: q.Count}
	page.Total, page.Items, err = read(ctx, s.store.Tenant(tenant), list, loadUser)
	return page, err
}

// Groups lists groups.
func (s *Service) Groups(ctx context.Context, tenant identity.TenantID, q GroupQuery) (page GroupPage, err error) {
	list := listing{table: "groups", attrs: groupAttrs, filter: q.Filter, start: q.Start, count: q.Count}
	page.Total, page.Items, err = read(ctx, s.store.Tenant(tenant), list, func(ctx context.Context, tx *store.Tx, id identity.GroupID) (Group, error) {
		return loadGroup(ctx, tx, id, q.WithMembers)
	})
	return page, err
}

// listing is one page of a table.
type listing struct {
	table        string
	attrs        map[Attr]column
	filter       Filter
	start, count int
}

// read counts what matches and loads one page of it. The condition comes from
// the compiler below: texts of ours, with every value as a parameter.
func read[ID ~string, T any](ctx context.Context, in store.Tenant, l listing, load func(context.Context, *store.Tx, ID) (T, error)) (total int, items []T, err error) {
	where, args, err := compileFilter(l.filter, l.attrs)
	if err != nil {
		return 0, nil, err
	}
	from := ` FROM ` + l.table + ` t WHERE ` + where
	err = in.Read(ctx, func(tx *store.Tx) error {
		total, err = store.One(ctx, tx, store.Scalar[int], `SELECT count(*)`+from, args...)
		if err != nil || l.count <= 0 {
			return err
		}
		n := len(args)
		ids, err := store.All(ctx, tx, store.Scalar[ID], fmt.Sprintf(`SELECT id%s ORDER BY id LIMIT $%d OFFSET $%d`, from, n+1, n+2),
			append(args[:n:n], min(l.count, MaxPage), max(l.start, 0))...)
		if err != nil {
			return err
		}
		items = make([]T, len(ids))
		for i, id := range ids {
			if items[i], err = load(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	return total, items, err
}

// column says how an attribute is found in SQL. within, if set, is the
// condition around a comparison with expr, for what a record has several of.
type column struct {
	expr   string
	kind   valueKind
	folded bool
	within string
}

type valueKind uint8

const (
	textValue valueKind = iota
	boolValue
	timeValue
)

var userAttrs = map[Attr]column{
	AttrID:          {expr: "t.id"},
	AttrUserName:    {expr: "t.user_key", folded: true},
	AttrDisplayName: {expr: "t.display_key", folded: true},
	AttrExternalID:  {expr: "t.external_id"},
	AttrEmail:       {expr: "e.email", folded: true, within: "EXISTS (SELECT 1 FROM user_emails e WHERE e.user_id = t.id AND %s)"},
	AttrSource:      {expr: "t.source"},
	AttrActive:      {expr: "t.active", kind: boolValue},
	AttrCreated:     {expr: "t.created_at", kind: timeValue},
	AttrUpdated:     {expr: "t.updated_at", kind: timeValue},
	AttrGroup:       {expr: "g.id", within: "t.id IN (" + peopleWithin + ")"},
}

var groupAttrs = map[Attr]column{
	AttrID:          {expr: "t.id"},
	AttrDisplayName: {expr: "t.name_key", folded: true},
	AttrExternalID:  {expr: "t.external_id"},
	AttrSource:      {expr: "t.source"},
	AttrCreated:     {expr: "t.created_at", kind: timeValue},
	AttrUpdated:     {expr: "t.updated_at", kind: timeValue},
	AttrMember:      {expr: "m.id", within: "t.id IN (SELECT m.group_id FROM (" + everyMember + ") m WHERE %s)"},
}

// compiler turns a filter into a condition that SQLite and PostgreSQL read
// alike: string functions that both have, no LIKE (whose letter case differs),
// and nothing of the caller's in the text.
type compiler struct {
	attrs map[Attr]column
	sql   strings.Builder
	args  []any
	terms int
}

func compileFilter(f Filter, attrs map[Attr]column) (where string, args []any, err error) {
	if f == nil {
		return "1 = 1", nil, nil
	}
	c := &compiler{attrs: attrs}
	if err := f.compile(c, 0); err != nil {
		return "", nil, err
	}
	return c.sql.String(), c.args, nil
}

func errFilter(format string, args ...any) error {
	return fault.New(fault.Invalid, "invalid-filter", fmt.Sprintf(format, args...))
}

func (f All) compile(c *compiler, depth int) error { return c.join(f, " AND ", "1 = 1", depth) }
func (f Any) compile(c *compiler, depth int) error { return c.join(f, " OR ", "1 = 0", depth) }

func (f Not) compile(c *compiler, depth int) error {
	c.sql.WriteString("NOT ")
	return All{f.Of}.compile(c, depth)
}

func (c *compiler) join(parts []Filter, by, empty string, depth int) error {
	if depth > maxFilterDepth {
		return errFilter("The filter is nested more than %d deep.", maxFilterDepth)
	}
	c.sql.WriteByte('(')
	for i, part := range parts {
		if i > 0 {
			c.sql.WriteString(by)
		}
		if part == nil {
			return errFilter("The filter has an empty part.")
		}
		if err := part.compile(c, depth+1); err != nil {
			return err
		}
	}
	if len(parts) == 0 {
		c.sql.WriteString(empty)
	}
	c.sql.WriteByte(')')
	return nil
}

func (f Compare) compile(c *compiler, _ int) error {
	if c.terms++; c.terms > maxComparisons {
		return errFilter("The filter has more than %d comparisons.", maxComparisons)
	}
	col, ok := c.attrs[f.Attr]
	if !ok {
		return errFilter("There is no filtering by %s here.", f.Attr)
	}
	condition, err := c.condition(col, f)
	if err != nil {
		return err
	}
	if col.within != "" {
		condition = fmt.Sprintf(col.within, condition)
	}
	c.sql.WriteString(condition)
	return nil
}

func (c *compiler) condition(col column, f Compare) (string, error) {
	if f.Op == Present {
		if col.kind == textValue {
			return col.expr + " <> ''", nil
		}
		return "1 = 1", nil // every record has its times and its state
	}
	arg, err := col.argument(f)
	if err != nil {
		return "", err
	}
	symbol, ordered := map[Op]string{Equal: "=", NotEqual: "<>", Greater: ">", GreaterOrEqual: ">=", Less: "<", LessOrEqual: "<="}[f.Op]
	switch {
	case ordered && (col.kind != boolValue || f.Op <= NotEqual):
		return fmt.Sprintf("%s %s %s", col.expr, symbol, c.bind(arg)), nil
	case col.kind != textValue:
		return "", errFilter("%s cannot be compared in this way.", f.Attr)
	case arg == "":
		return col.expr + " <> ''", nil // every text contains, starts and ends with nothing
	}
	p := c.bind(arg)
	switch f.Op {
	case Contains:
		return fmt.Sprintf("replace(%[1]s, %[2]s, '') <> %[1]s", col.expr, p), nil
	case StartsWith:
		return fmt.Sprintf("substr(%s, 1, length(%s)) = %[2]s", col.expr, p), nil
	case EndsWith:
		return fmt.Sprintf("(length(%[1]s) >= length(%[2]s) AND substr(%[1]s, length(%[1]s) - length(%[2]s) + 1) = %[2]s)", col.expr, p), nil
	}
	return "", errFilter("That is no comparison.")
}

func (c *compiler) bind(arg any) string {
	c.args = append(c.args, arg)
	return fmt.Sprintf("$%d", len(c.args))
}

// argument gives the value as it is stored.
func (col column) argument(f Compare) (any, error) {
	switch v := f.Value.(type) {
	case string:
		if col.kind == textValue && len(v) <= 4*maxName {
			if col.folded {
				v = foldForSearch(v)
			}
			return v, nil
		}
	case bool:
		if col.kind == boolValue {
			return v, nil
		}
	case time.Time:
		if col.kind == timeValue {
			return store.Millis(v), nil
		}
	}
	return nil, errFilter("%s is compared with a value that it cannot have.", f.Attr)
}
