package resource

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	filter "github.com/scim2/filter-parser/v2"
)

const (
	maxExpression      = 2048
	maxExpressionDepth = 16
)

// checkExpression bounds a filter or path before the parser sees it: the
// parser recurses as deep as the text is nested, and a stack that overflows
// cannot be recovered from.
func checkExpression(text string) error {
	if len(text) > maxExpression {
		return errors.New("it is longer than 2048 characters")
	}
	if !utf8.ValidString(text) {
		return errors.New("it is not valid UTF-8")
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			if depth++; depth > maxExpressionDepth {
				return errors.New("it is nested more than 16 deep")
			}
		case c == ')' || c == ']':
			depth--
		}
	}
	return nil
}

// upperEscapes writes the escapes of JSON's strings in capitals, \u00e9 as \u00E9: the
// parser knows no others, and JSON has both (RFC 8259 §7).
func upperEscapes(text string) string {
	b, quoted := []byte(text), false
	for i := 0; i < len(b); i++ {
		switch {
		case quoted && b[i] == '\\':
			if i++; i == len(b) || b[i] != 'u' {
				continue
			}
			for j := i + 1; j < min(i+5, len(b)); j++ {
				if 'a' <= b[j] && b[j] <= 'f' {
					b[j] -= 'a' - 'A'
				}
			}
		case b[i] == '"':
			quoted = !quoted
		}
	}
	return string(b)
}

// ParseFilter reads a filter (RFC 7644 §3.4.2.2); which attributes there are is for
// its reader to say.
func ParseFilter(text string) (filter.Expression, error) {
	if err := checkExpression(text); err != nil {
		return nil, err
	}
	expression, err := parseFilter(upperEscapes(text))
	if err != nil {
		return nil, err
	}
	if err := unescape(expression); err != nil {
		return nil, err
	}
	return expression, nil
}

// unescape turns the strings of an expression into what they stand for: the
// parser leaves JSON's escapes in them (RFC 7644 §3.4.2.2: values are JSON).
func unescape(e filter.Expression) error {
	switch e := e.(type) {
	case *filter.AttributeExpression:
		text, ok := e.CompareValue.(string)
		if !ok || !strings.Contains(text, `\`) {
			return nil
		}
		if err := json.Unmarshal([]byte(`"`+text+`"`), &text); err != nil {
			return errors.New("a string in it is not valid JSON")
		}
		e.CompareValue = text
	case *filter.LogicalExpression:
		return errors.Join(unescape(e.Left), unescape(e.Right))
	case *filter.NotExpression:
		return unescape(e.Expression)
	case *filter.ValuePath:
		return unescape(e.ValueFilter)
	}
	return nil
}
