package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/internal/fault"
)

// dialect is how a database is spoken to: text turns a query with $1, $2 into what
// it understands.
type dialect struct {
	text func(query string, args int) (string, error)
	json JSON
}

var (
	sqliteDialect         = dialect{sqliteText, sqliteJSON{}}
	postgresDialect       = dialect{postgresText, postgresJSON{}}
	postgresTenantDialect = dialect{postgresTenantText, postgresJSON{}}
)

// sqliteText writes $1 as ?1, because SQLite takes $1 for a name and would bind
// it by the order of appearance.
func sqliteText(query string, args int) (string, error) { return rewrite(query, args, '?') }

// postgresText leaves the query as it is, and refuses what could bind the
// transaction to another tenant.
func postgresText(query string, args int) (string, error) {
	if strings.Contains(strings.ToLower(query), "set_config") {
		return "", errBinding
	}
	return rewrite(query, args, '$')
}

// postgresTenantText names the tenant's column where a statement names the
// columns of a unique key, of which it is the first.
func postgresTenantText(query string, args int) (string, error) {
	query, err := postgresText(query, args)
	return strings.ReplaceAll(query, "ON CONFLICT (", "ON CONFLICT (tenant_id, "), err
}

var (
	errBinding   = errors.New("store: a statement must not choose the tenant")
	errStatement = errors.New("store: only SELECT, INSERT, UPDATE and DELETE, one at a time, are run in a transaction")
	errText      = fault.New(fault.Invalid, "text-invalid", "A text holds characters that cannot be kept: use UTF-8 without NUL.")
)

// statements are the words that a query may begin with: whatever else there is
// would end the transaction, or change the connection for its next user.
var statements = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}

// rewrite marks parameters with mark. A wrong number of arguments is refused
// here: SQLite binds NULL to a parameter that has none. Text in quotes is left
// alone.
func rewrite(query string, args int, mark byte) (string, error) {
	query = strings.TrimSpace(query)
	if !slices.ContainsFunc(statements, func(word string) bool {
		return len(query) > len(word) && strings.EqualFold(query[:len(word)], word) && !isWord(query[len(word)])
	}) {
		return "", errStatement
	}
	var b strings.Builder
	b.Grow(len(query))
	highest, quote := 0, byte(0)
	for i := range len(query) {
		c := query[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == ';':
			return "", errStatement
		case c == '$':
			n, digits := 0, 0
			for i+1+digits < len(query) && digits < 4 {
				d := query[i+1+digits]
				if d < '0' || d > '9' {
					break
				}
				n = n*10 + int(d-'0')
				digits++
			}
			if n == 0 {
				return "", fmt.Errorf("store: parameter without a number at offset %d", i)
			}
			highest = max(highest, n)
			c = mark
		}
		b.WriteByte(c)
	}
	if highest != args {
		return "", fmt.Errorf("store: query with parameters up to $%d got %d arguments", highest, args)
	}
	return b.String(), nil
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// checkTexts refuses what PostgreSQL cannot keep and SQLite would, so that both
// keep the same.
func checkTexts(args []any) error {
	for _, arg := range args {
		text, ok := arg.(string)
		if !ok {
			v := reflect.ValueOf(arg)
			if v.Kind() != reflect.String {
				continue
			}
			text = v.String()
		}
		if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
			return errText
		}
	}
	return nil
}
