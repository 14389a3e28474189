package store

import (
	"fmt"
	"strings"
)

// numbered writes $1 as ?1 for SQLite, which takes $1 for a name and would bind
// it by the order of appearance. SQLite also binds NULL to what has no
// argument, so a wrong count is refused here. Text in quotes is left alone.
func numbered(query string, args int) (string, error) {
	if args == 0 && !strings.Contains(query, "$") {
		return query, nil
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
			c = '?'
		}
		b.WriteByte(c)
	}
	if highest != args {
		return "", fmt.Errorf("store: query with parameters up to $%d got %d arguments", highest, args)
	}
	return b.String(), nil
}
