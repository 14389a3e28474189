package resource

import (
	"errors"
	"strconv"
	"strings"

	filter "github.com/scim2/filter-parser/v2"
)

// placeholder stands for a value path while the rest of a filter is read, with its
// number behind it.
const placeholder = "value-path-"

// valuePath is what stood in brackets, and the sub-attribute behind them: RFC 7644
// knows that of paths alone, but Entra ID writes emails[type eq "work"].value eq "x".
type valuePath struct {
	inside filter.Expression
	sub    string
}

// parseFilter reads a filter. Inside of brackets the library knows two comparisons at
// most, where RFC 7644 §3.4.2.2 has any filter: so each is read by itself.
func parseFilter(text string) (filter.Expression, error) {
	rest, paths, err := cutValuePaths(text)
	if err != nil {
		return nil, err
	}
	expression, err := filter.ParseFilterNumber([]byte(strings.TrimSpace(rest)))
	if err != nil {
		return nil, errGrammar
	}
	used := make([]bool, len(paths))
	if expression, err = putValuePaths(expression, paths, used); err != nil {
		return nil, err
	}
	for _, u := range used {
		if !u {
			return nil, errGrammar
		}
	}
	return expression, nil
}

var errGrammar = errors.New("it does not follow the grammar")

// cutValuePaths writes emails[type eq "work"] as emails.value-path-0 pr.
func cutValuePaths(text string) (rest string, paths []valuePath, err error) {
	var b strings.Builder
	for {
		before, inside, behind, found, err := cutBrackets(text)
		if err != nil {
			return "", nil, err
		}
		b.WriteString(before)
		if !found {
			return b.String(), paths, nil
		}
		b.WriteString("." + placeholder + strconv.Itoa(len(paths)))
		text = behind
		p := valuePath{inside: inside}
		if after, ok := strings.CutPrefix(text, "."); ok {
			p.sub, text = after, ""
			if end := strings.IndexByte(after, ' '); end >= 0 {
				p.sub, text = after[:end], after[end:]
			}
			if p.sub == "" {
				return "", nil, errGrammar
			}
		} else {
			b.WriteString(" pr")
		}
		paths = append(paths, p)
	}
}

// cutBrackets cuts a text at its first brackets, and reads the filter in them; found is
// false where there are none, and all of it is before.
func cutBrackets(text string) (before string, inside filter.Expression, behind string, found bool, err error) {
	open := unquoted(text, "[]")
	if open < 0 {
		return text, nil, "", false, nil
	}
	end := unquoted(text[open+1:], "[]")
	if text[open] == ']' || end < 0 || text[open+1+end] == '[' {
		return "", nil, "", false, errGrammar
	}
	end += open + 1
	if inside, err = filter.ParseFilterNumber([]byte(strings.TrimSpace(text[open+1 : end]))); err != nil {
		return "", nil, "", false, errGrammar
	}
	return strings.TrimRight(text[:open], " "), inside, text[end+1:], true, nil
}

// unquoted finds the first of some characters that is not inside of a string.
func unquoted(text, chars string) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(chars, c) >= 0:
			return i
		}
	}
	return -1
}

// putValuePaths puts each value path back, exactly once.
func putValuePaths(e filter.Expression, paths []valuePath, used []bool) (filter.Expression, error) {
	var err error
	switch e := e.(type) {
	case *filter.LogicalExpression:
		if e.Left, err = putValuePaths(e.Left, paths, used); err != nil {
			return nil, err
		}
		e.Right, err = putValuePaths(e.Right, paths, used)
		return e, err
	case *filter.NotExpression:
		e.Expression, err = putValuePaths(e.Expression, paths, used)
		return e, err
	case *filter.AttributeExpression:
		number, ok := strings.CutPrefix(e.AttributePath.SubAttributeName(), placeholder)
		if !ok {
			return e, nil
		}
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(paths) || used[i] {
			return nil, errGrammar
		}
		used[i] = true
		within := e.AttributePath
		within.SubAttribute = nil
		inside := paths[i].inside
		if sub := paths[i].sub; sub != "" {
			inside = &filter.LogicalExpression{Operator: filter.AND, Left: inside, Right: &filter.AttributeExpression{
				AttributePath: filter.AttributePath{AttributeName: sub}, Operator: e.Operator, CompareValue: e.CompareValue}}
		}
		return &filter.ValuePath{AttributePath: within, ValueFilter: inside}, nil
	}
	return nil, errGrammar
}
