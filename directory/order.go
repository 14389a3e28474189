package directory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Key is what a list is sorted by (RFC 7644 §3.4.2.3): an attribute of the
// record, or of the first element of a list. The zero Key is nobody's, so that
// all come as those without a value do.
type Key struct {
	Attr Attr
	In   Attr // AttrGroup or AttrMember: Attr is of the first element
	// In a person's attributes, the value at Path: in the primary, or else the
	// first element of the list at List where there is one, or that itself. A text counts with its
	// first 256 characters.
	List, Path []string
	Kind       Kind
	Exact      bool
}

// Position is a place in a list: right behind a record, or before it where the
// list is read backwards.
type Position struct {
	Key string // what the record is sorted by, as text; "": it has no value, or the list is sorted by the id
	ID  string
}

const maxKey = 256 // characters

func errPosition() error {
	return fault.New(fault.Invalid, "invalid-position", "That is no place in this list.")
}

// sorting is the SQL of a key.
type sorting struct {
	column
	none bool // nobody has a value
}

// present and absent are conditions; the first one is a range of an index.
func (s sorting) present(j store.JSON) string {
	switch {
	case s.none:
		return "1 = 0"
	case s.always || s.kind == moment:
		return "1 = 1"
	case s.kind == Number:
		return s.expr + " IS NOT NULL"
	}
	return j.Bytes(s.expr) + " > ''"
}

func (s sorting) absent() string {
	switch {
	case s.none:
		return "1 = 1"
	case s.always || s.kind == moment:
		return "1 = 0"
	case s.kind == Number:
		return s.expr + " IS NULL"
	}
	return s.expr + " = ''"
}

// key is what is sorted by, in the order of its bytes where it is a text.
func (s sorting) key(j store.JSON) string {
	if s.kind == moment || s.kind == Number {
		return s.expr
	}
	return j.Bytes(s.expr)
}

// argument gives a key as it is bound.
func (s sorting) argument(key string) (any, error) {
	switch s.kind {
	case moment:
		at, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return nil, errPosition()
		}
		return at, nil
	case Number:
		n, err := strconv.ParseFloat(key, 64)
		if err != nil {
			return nil, errPosition()
		}
		return n, nil
	}
	return key, nil
}

// sorting compiles a key for the records that the scope is of.
func (c *compiler) sorting(k Key) (sorting, error) {
	switch {
	case len(k.Path) > 0 || len(k.List) > 0:
		return c.sortingByValue(k)
	case k.Attr == "":
		return sorting{column: column{expr: "''", kind: k.Kind}, none: true}, nil
	case k.In != "":
		list, ok := c.scope.lists[k.In]
		col, known := list.attrs[k.Attr]
		if !ok || !known {
			return sorting{}, errFilter("There is no sorting by %s here.", k.In)
		}
		col.expr = fmt.Sprintf("coalesce((SELECT %s FROM %s WHERE %s = t.id ORDER BY %s LIMIT 1), '')", col.expr, list.its, list.owner, list.order)
		col.always = false
		return sorting{column: col}, nil
	}
	col, ok := c.scope.attrs[k.Attr]
	if !ok || col.within != "" {
		return sorting{}, errFilter("There is no sorting by %s here.", k.Attr)
	}
	return sorting{column: col}, nil
}

func (c *compiler) sortingByValue(k Key) (sorting, error) {
	outer := c.scope
	defer func() { c.scope = outer }()
	var list, first string
	if len(k.List) > 0 {
		var err error
		if list, err = c.elements(k.List); err != nil {
			return sorting{}, err
		}
		primary, err := c.value([]string{"primary"}, Bool, false)
		if err != nil {
			return sorting{}, err
		}
		first = fmt.Sprintf(" FROM %s ORDER BY CASE WHEN %s = 'true' THEN 0 ELSE 1 END, %s LIMIT 1)", list, primary.expr, c.json.Place(c.alias()))
	}
	col, err := c.value(k.Path, k.Kind, k.Exact)
	if err != nil {
		return sorting{}, err
	}
	if list != "" {
		col.expr = "(SELECT " + col.expr + first
	}
	if k.Kind != Number {
		col.expr = fmt.Sprintf("coalesce(substr(%s, 1, %d), '')", col.expr, maxKey)
	}
	return sorting{column: col}, nil
}

// part is the share that one kind of records has in a list.
type part struct {
	table, scheme string // scheme tells the kinds apart
	scope         scope
	filter        Filter
	by            Key
}

// lister writes the SQL of a list.
type lister struct {
	json     store.JSON
	parts    []part
	byID     bool
	backward bool // against the order of the keys
	at       Position
}

// piece is what of a list a statement reads.
type piece uint8

const (
	everything piece = iota
	withValue
	withoutValue
)

// compiled is a part as SQL.
type compiled struct {
	part
	where string
	by    sorting
}

func (l *lister) compile(c *compiler) ([]compiled, error) {
	all := make([]compiled, 0, len(l.parts))
	for _, p := range l.parts {
		c.scope = p.scope
		where, err := c.where(p.filter)
		if err != nil {
			return nil, err
		}
		by := sorting{column: column{expr: "''"}, none: true}
		if !l.byID {
			if by, err = c.sorting(p.by); err != nil {
				return nil, err
			}
		}
		all = append(all, compiled{p, where, by})
	}
	// What nobody has of one kind is written as the other kind has it.
	for i := range all {
		if other := all[len(all)-1-i].by; all[i].by.none && !other.none {
			all[i].by.kind = other.kind
			all[i].by.expr = map[bool]string{true: "CAST(NULL AS DOUBLE PRECISION)", false: "''"}[other.kind == Number]
			if other.kind == moment {
				all[i].by.expr = "CAST(NULL AS BIGINT)"
			}
		}
	}
	return all, nil
}

// behind is the condition of what comes after a position.
func (l *lister) behind(c *compiler, p compiled, of piece) (string, error) {
	if l.at.ID == "" {
		return "1 = 1", nil
	}
	id := "t.id > " + c.bind(l.at.ID)
	symbol := ">"
	if l.backward {
		id, symbol = "t.id < "+fmt.Sprintf("$%d", len(c.args)), "<"
	}
	if l.byID {
		return id, nil
	}
	if l.at.Key == "" {
		if of == withoutValue {
			return id, nil
		}
		further := "1 = 0"
		if l.backward {
			further = p.by.present(l.json)
		}
		return fmt.Sprintf("((%s AND %s) OR %s)", p.by.absent(), id, further), nil
	}
	if p.by.none {
		return map[bool]string{true: "(1 = 0 AND " + id + ")", false: "(1 = 1 OR " + id + ")"}[l.backward], nil
	}
	key, err := p.by.argument(l.at.Key)
	if err != nil {
		return "", err
	}
	bound := c.bind(key)
	after := fmt.Sprintf("(%s, t.id) %s (%s, $%d)", p.by.key(l.json), symbol, bound, len(c.args)-1)
	if of == withValue {
		return after, nil
	}
	further := p.by.absent()
	if l.backward {
		further = "1 = 0"
	}
	return fmt.Sprintf("((%s AND %s) OR %s)", p.by.present(l.json), after, further), nil
}

// count is the statement that counts what comes after the position.
func (l *lister) count() (string, []any, error) {
	c := &compiler{json: l.json}
	all, err := l.compile(c)
	if err != nil {
		return "", nil, err
	}
	counts := make([]string, len(all))
	for i, p := range all {
		behind, err := l.behind(c, p, everything)
		if err != nil {
			return "", nil, err
		}
		counts[i] = fmt.Sprintf("(SELECT count(*) FROM %s t WHERE %s AND %s)", p.table, p.where, behind)
	}
	return c.statement("SELECT " + strings.Join(counts, " + "))
}

// statement reads a piece: kind, key and id of each record.
func (l *lister) statement(of piece, start, count int) (string, []any, error) {
	c := &compiler{json: l.json}
	all, err := l.compile(c)
	if err != nil {
		return "", nil, err
	}
	direction := ""
	if l.backward {
		direction = " DESC"
	}
	order := "key" + direction + ", id" + direction
	if of == everything {
		order = "absent" + direction + ", " + order
	}
	if l.byID {
		order = "id" + direction
	}
	selects := make([]string, 0, len(all))
	for _, p := range all {
		behind, err := l.behind(c, p, of)
		if err != nil {
			return "", nil, err
		}
		absent, only := "0", ""
		switch {
		case of == withValue:
			only = " AND " + p.by.present(l.json)
		case of == withoutValue:
			only = " AND " + p.by.absent()
		case !l.byID:
			absent = "CASE WHEN " + p.by.absent() + " THEN 1 ELSE 0 END"
		}
		key := p.by.key(l.json)
		if of == withoutValue || l.byID {
			key = "''"
		}
		selects = append(selects, fmt.Sprintf("SELECT '%s' AS scheme, %s AS key, t.id AS id, %s AS absent FROM %s t WHERE %s AND %s%s ORDER BY %s LIMIT %s",
			p.scheme, key, absent, p.table, p.where, behind, only, order, c.bind(start+count)))
	}
	limit := fmt.Sprintf(" LIMIT %s OFFSET %s", c.bind(count), c.bind(start))
	return c.statement("SELECT scheme, key, id FROM (SELECT * FROM (" + strings.Join(selects, ") a UNION ALL SELECT * FROM (") + ") b) u ORDER BY " + order + limit)
}

// pieces are what a page is read from, one after the other. Where a list begins
// at a number, there is no telling in which piece, and all are read as one.
func (l *lister) pieces(start int) []piece {
	all := []piece{withValue, withoutValue}
	switch {
	case l.byID || start > 0:
		return []piece{everything}
	case l.backward:
		slices.Reverse(all)
	}
	if l.at.ID != "" && (l.at.Key == "") != (all[0] == withoutValue) {
		return all[1:]
	}
	return all
}
