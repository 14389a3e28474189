package directory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
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

// Kind is what the values of an attribute are.
type Kind uint8

// The kinds.
const (
	Text Kind = iota
	Bool
	Number
	Time   // among a person's attributes: as RFC 3339 writes it in UTC, with Z
	moment // a time, of which there are columns alone
)

// Filter is a condition on people or groups: one of [Compare], [Value], [Some],
// [All], [Any] and [Not]. Trees deeper than 32 or with more than 500 comparisons
// are refused.
//
// What has no value (an empty text is none) is equal to nothing, comes neither
// before nor after anything, and is NotEqual to everything: "not assigned" is not
// identical to any value (RFC 7643 §2.5, RFC 7644 §3.4.2.2).
type Filter interface{ compile(*compiler, int) error }

type (
	// Compare holds one attribute against a value: string, bool or time.Time, as
	// the attribute says. Before and After stand around the attribute's text, for
	// what is made of it, such as an address.
	Compare struct {
		Attr          Attr
		Op            Op
		Value         any
		Before, After string
	}
	// Value holds a value in a person's attributes against another: string, bool,
	// float64 or time.Time, as Kind says. Path has the names that lead to it from the
	// outside in, and begins at the element inside of [Some]; empty: that itself.
	Value struct {
		Path  []string
		Kind  Kind
		Exact bool // letter case matters
		Op    Op
		Value any
	}
	// Some holds where one element of a list is as Of says, the same one for all of
	// it (RFC 7644 §3.4.2.2, value paths). The list is AttrGroup or AttrMember, or in
	// a person's attributes at Path.
	Some struct {
		In   Attr
		Path []string
		Of   Filter
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
	maxOperand     = 2048 // octets
)

// scope is what a filter can speak of: a record, or an element of a list.
type scope struct {
	attrs map[Attr]column
	lists map[Attr]relation
	// folded has the attributes in lower case, "" if there are none; exact gives
	// them as they are.
	folded string
	exact  func() string
	// element is whether they are an element of a list, which may be a plain value.
	element bool
	// text is the column that folded is from, as [User.search] has written it.
	text string
}

// compiler turns a filter into a condition that means the same to SQLite and
// PostgreSQL: string functions that both have, no LIKE (whose letter case
// differs), and nothing of the caller's in the text. Every condition is true or
// false, never NULL, so that NOT is the opposite.
type compiler struct {
	json  store.JSON
	scope scope
	sql   strings.Builder
	args  []any
	terms int
	lists int
}

// where gives the condition that a filter is.
func (c *compiler) where(f Filter) (string, error) {
	if f == nil {
		return "1 = 1", nil
	}
	c.sql.Reset()
	err := f.compile(c, 0)
	return c.sql.String(), err
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

func (c *compiler) count() error {
	if c.terms++; c.terms > maxComparisons {
		return errFilter("The filter has more than %d comparisons.", maxComparisons)
	}
	return nil
}

func (f Compare) compile(c *compiler, _ int) error {
	if err := c.count(); err != nil {
		return err
	}
	col, ok := c.scope.attrs[f.Attr]
	if !ok {
		return errFilter("There is no filtering by %s here.", f.Attr)
	}
	if f.Before != "" || f.After != "" {
		f, col = c.surrounded(f, col)
	}
	condition, err := c.condition(col, string(f.Attr), f.Op, f.Value)
	if err != nil {
		return err
	}
	if col.within != "" {
		condition = fmt.Sprintf(col.within, condition)
	}
	c.sql.WriteString(condition)
	return nil
}

// surrounded takes what stands around an attribute off the value, which leaves
// an index its use, or puts it around the attribute where that cannot be.
func (c *compiler) surrounded(f Compare, col column) (Compare, column) {
	if text, ok := f.Value.(string); ok && f.Op == Equal && len(text) >= len(f.Before)+len(f.After) &&
		strings.HasPrefix(text, f.Before) && strings.HasSuffix(text, f.After) {
		f.Value = text[len(f.Before) : len(text)-len(f.After)]
		return f, col
	}
	if f.Op != Present {
		col.expr = fmt.Sprintf("(CAST(%s AS TEXT) || %s || CAST(%s AS TEXT))", c.bind(f.Before), col.expr, c.bind(f.After))
	}
	return f, col
}

func (f Value) compile(c *compiler, _ int) error {
	if err := c.count(); err != nil {
		return err
	}
	col, err := c.value(f.Path, f.Kind, f.Exact)
	if err != nil {
		return err
	}
	condition, err := c.condition(col, strings.Join(f.Path, "."), f.Op, f.Value)
	if mentioned := c.mentioned(f); mentioned != "" {
		condition = "(" + mentioned + " AND " + condition + ")"
	}
	c.sql.WriteString(condition)
	return err
}

// mentioned is a condition that all meet who meet f, and that is less work than f
// itself; "" if there is none. What JSON can write in several ways is none: an "&" as it
// is was put into some documents by the database, and as an escape into others by us.
func (c *compiler) mentioned(f Value) string {
	text, ok := f.Value.(string)
	if !ok || text == "" || f.Exact || f.Kind != Text || f.Op != Equal && f.Op != Contains && f.Op != StartsWith && f.Op != EndsWith {
		return ""
	}
	written, err := json.Marshal(text)
	if err != nil || bytes.IndexByte(written, '\\') >= 0 || c.json.Mentions(c.scope.text, "") == "" {
		return ""
	}
	return c.json.Mentions(c.scope.text, c.bind(strings.ToLower(string(written[1:len(written)-1]))))
}

// value finds what is at a path of the attributes.
func (c *compiler) value(path []string, kind Kind, exact bool) (column, error) {
	if whole := c.scope.element && len(path) == 0; !whole {
		if err := checkPath(path); err != nil {
			return column{}, err
		}
	}
	if c.scope.folded == "" {
		return column{}, errFilter("There are no attributes to filter by here.")
	}
	document, col := c.scope.folded, column{kind: kind, fold: strings.ToLower}
	if exact {
		document, col.fold = c.scope.exact(), nil
	} else {
		path = lower(path)
	}
	at := c.bind(c.json.Path(path...))
	switch kind {
	case Text:
		col.expr = "coalesce(" + c.json.Text(document, at) + ", '')"
	case Time: // so that what is later comes later, with a fraction or without
		col.expr = "rtrim(coalesce(" + c.json.Text(document, at) + ", ''), 'zZ')"
	case Bool:
		col.expr = "coalesce(" + c.json.Bool(document, at) + ", '')"
	case Number:
		col.expr = c.json.Number(document, at)
	default:
		return column{}, errFilter("There is no filtering by such a value here.")
	}
	return col, nil
}

// checkPath refuses names that no schema has: what is bound as a path is read
// by a small grammar of the database's own.
func checkPath(path []string) error {
	if len(path) == 0 || len(path) > 4 {
		return errFilter("That is no path to an attribute.")
	}
	for _, name := range path {
		_, err := strconv.Atoi(name)
		if err == nil || name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, `"\`) || strings.ContainsFunc(name, unicode.IsControl) {
			return errFilter("That is no path to an attribute.")
		}
	}
	return nil
}

func lower(names []string) []string {
	names = slices.Clone(names)
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names
}

func (f Some) compile(c *compiler, depth int) error {
	if depth > maxFilterDepth {
		return errFilter("The filter is nested more than %d deep.", maxFilterDepth)
	}
	if f.Of == nil {
		return errFilter("The filter has an empty part.")
	}
	outer := c.scope
	defer func() { c.scope = outer }()
	if len(f.Path) == 0 {
		list, ok := outer.lists[f.In]
		if !ok {
			return errFilter("There is no filtering by %s here.", f.In)
		}
		c.scope = scope{attrs: list.attrs}
		c.sql.WriteString("t.id IN (SELECT " + list.owner + " FROM " + list.from + " WHERE ")
	} else {
		list, err := c.elements(f.Path)
		if err != nil {
			return err
		}
		c.sql.WriteString("EXISTS (SELECT 1 FROM " + list + " WHERE ")
	}
	if err := f.Of.compile(c, depth+1); err != nil {
		return err
	}
	c.sql.WriteByte(')')
	return nil
}

// elements goes into a list of the attributes: what it gives stands in FROM.
func (c *compiler) elements(path []string) (string, error) {
	if err := checkPath(path); err != nil {
		return "", err
	}
	in := c.scope
	if in.folded == "" {
		return "", errFilter("There are no attributes to filter by here.")
	}
	c.lists++
	alias := c.alias()
	c.scope = scope{element: true, text: in.text, folded: c.json.Element(alias), exact: func() string {
		return c.json.Twin(in.exact(), c.bind(c.json.Path(path...)), alias)
	}}
	return c.json.Elements(in.folded, c.bind(c.json.Path(lower(path)...)), alias), nil
}

// alias is what the list that was gone into last is called.
func (c *compiler) alias() string { return fmt.Sprintf("e%d", c.lists) }

// condition compares an expression with a value.
func (c *compiler) condition(col column, name string, op Op, value any) (string, error) {
	if op == Present {
		return col.present(), nil
	}
	arg, exact, err := col.argument(name, value)
	if err != nil {
		return "", err
	}
	symbol, ordered := map[Op]string{Equal: "=", NotEqual: "<>", Greater: ">", GreaterOrEqual: ">=", Less: "<", LessOrEqual: "<="}[op]
	switch {
	case op == Equal && !exact:
		return "1 = 0", nil
	case op == NotEqual && !exact:
		return "1 = 1", nil
	case ordered && col.kind == moment:
		if !exact { // the value is between two milliseconds, of which this is the earlier
			symbol = map[Op]string{Greater: ">", GreaterOrEqual: ">", Less: "<=", LessOrEqual: "<="}[op]
		}
		return fmt.Sprintf("%s %s %s", col.expr, symbol, c.bind(arg)), nil
	case ordered && col.kind == Number:
		return fmt.Sprintf("coalesce(%s %s %s, %s)", col.expr, symbol, c.bind(arg), map[bool]string{true: "TRUE", false: "FALSE"}[op == NotEqual]), nil
	case op <= NotEqual:
		return fmt.Sprintf("%s %s %s", col.expr, symbol, c.bind(arg)), nil
	case col.kind != Text && col.kind != Time:
		return "", errFilter("%s cannot be compared in this way.", name)
	case ordered:
		return fmt.Sprintf("(%s AND %s %s %s)", col.present(), c.json.Bytes(col.expr), symbol, c.bind(arg)), nil
	}
	return c.partOf(col, op, arg)
}

// partOf compares a text with a part of it.
func (c *compiler) partOf(col column, op Op, arg any) (string, error) {
	part, _ := arg.(string)
	if part == "" && op <= EndsWith {
		return col.present(), nil // every text contains, starts and ends with nothing
	}
	switch op {
	case Contains:
		return fmt.Sprintf("replace(%[1]s, %[2]s, '') <> %[1]s", col.expr, c.bind(part)), nil
	case StartsWith:
		// As a range, which an index serves.
		from := fmt.Sprintf("%s >= %s", c.json.Bytes(col.expr), c.bind(part))
		if end := behindAll(part); end != "" {
			from = fmt.Sprintf("(%s AND %s < %s)", from, c.json.Bytes(col.expr), c.bind(end))
		}
		return from, nil
	case EndsWith:
		return fmt.Sprintf("(length(%[1]s) >= length(%[2]s) AND substr(%[1]s, length(%[1]s) - length(%[2]s) + 1) = %[2]s)", col.expr, c.bind(part)), nil
	}
	return "", errFilter("That is no comparison.")
}

// behindAll is the first text that comes after all that start with s; "" if there
// is none.
func behindAll(s string) string {
	for s != "" {
		last, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
		switch last {
		case unicode.MaxRune:
		case 0xD7FF: // surrogates are no characters
			return s + "\uE000"
		default:
			return s + string(last+1)
		}
	}
	return ""
}

func (c *compiler) bind(arg any) string {
	c.args = append(c.args, arg)
	return fmt.Sprintf("$%d", len(c.args))
}

var parameter = regexp.MustCompile(`\$[0-9]+`)

// statement gives a query with what it uses of all that was bound: a condition may not
// need in the end what was bound for a part of it.
func (c *compiler) statement(query string) (string, []any, error) {
	var args []any
	numbers := make(map[string]string)
	query = parameter.ReplaceAllStringFunc(query, func(old string) string {
		if _, ok := numbers[old]; !ok {
			n, _ := strconv.Atoi(old[1:]) // digits alone
			args = append(args, c.args[n-1])
			numbers[old] = fmt.Sprintf("$%d", len(args))
		}
		return numbers[old]
	})
	return query, args, nil
}

// present is the condition that there is a value.
func (col column) present() string {
	switch {
	case col.kind == Number:
		return col.expr + " IS NOT NULL"
	case col.kind == moment || col.always:
		return "1 = 1" // every record has its times and its state
	}
	return col.expr + " <> ''"
}

// argument gives the value as it is stored; exact is false if what is stored is
// never equal to it.
func (col column) argument(name string, value any) (arg any, exact bool, err error) {
	switch v := value.(type) {
	case string:
		if col.kind == Text && len(v) <= maxOperand {
			if col.fold != nil {
				v = col.fold(v)
			}
			return v, v != "", nil
		}
	case bool:
		if col.kind == Bool {
			return fmt.Sprint(v), true, nil
		}
	case float64:
		if col.kind == Number && !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v, true, nil
		}
	case time.Time:
		if col.kind == Time {
			text := strings.TrimSuffix(v.UTC().Format(time.RFC3339Nano), "Z")
			if col.fold != nil {
				text = col.fold(text)
			}
			return text, true, nil
		}
		if col.kind == moment {
			return store.Millis(v), v.Nanosecond()%int(time.Millisecond) == 0, nil
		}
	}
	return nil, false, errFilter("%s is compared with a value that it cannot have.", name)
}
