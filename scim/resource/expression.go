package resource

import (
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	scimfilter "github.com/elimity-com/scim/filter"
	"github.com/elimity-com/scim/schema"
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

// ParseFilter reads a filter (RFC 7644 §3.4.2.2); which attributes there are is for
// its reader to say.
func ParseFilter(text string) (filter.Expression, error) {
	if err := checkExpression(text); err != nil {
		return nil, err
	}
	expression, err := parseFilter(text)
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

// elementFilter selects elements of one multi-valued attribute, as in
// emails[type eq "work"].
type elementFilter struct {
	expression filter.Expression
	validator  scimfilter.Validator
}

// newElementFilter makes sure that every comparison is with a value of the
// attribute's own type: to the library a comparison that makes no sense is
// merely false, and a "not" around it would select everything.
func newElementFilter(e filter.Expression, attrs schema.Attributes) (*elementFilter, error) {
	if err := unescape(e); err != nil {
		return nil, err
	}
	if err := checkComparisons(e, attrs); err != nil {
		return nil, err
	}
	return &elementFilter{e, scimfilter.NewFilterValidator(e, schema.Schema{Attributes: attrs})}, nil
}

func checkComparisons(e filter.Expression, attrs schema.Attributes) error {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		return errors.Join(checkComparisons(e.Left, attrs), checkComparisons(e.Right, attrs))
	case *filter.NotExpression:
		return checkComparisons(e.Expression, attrs)
	case *filter.AttributeExpression:
		a, ok := attrs.ContainsAttribute(e.AttributePath.AttributeName)
		if !ok || e.AttributePath.SubAttribute != nil || e.AttributePath.URIPrefix != nil {
			return errNoPart
		}
		if e.Operator == filter.PR {
			return nil
		}
		if !readOperand(e, a) {
			return errors.New("it compares " + a.Name() + " with what it cannot be")
		}
		return nil
	}
	return errors.New("it has a part that does not belong there")
}

// readOperand brings what an attribute is compared with into the type that the library
// compares; false if it is of another, or the operator has no meaning for it.
func readOperand(e *filter.AttributeExpression, a schema.CoreAttribute) bool {
	equality := e.Operator == filter.EQ || e.Operator == filter.NE
	part := e.Operator == filter.CO || e.Operator == filter.SW || e.Operator == filter.EW
	text, isText := e.CompareValue.(string)
	number, isNumber := e.CompareValue.(json.Number)
	switch a.AttributeType() {
	case "boolean":
		if b, isBool := BoolText(text); isBool {
			e.CompareValue = b
		}
		_, ok := e.CompareValue.(bool)
		return ok && equality
	case "string", "reference":
		return isText
	case "binary":
		return isText && equality
	case "integer":
		n, err := strconv.Atoi(number.String())
		e.CompareValue = n
		return isNumber && err == nil && !part
	case "decimal":
		n, err := number.Float64()
		e.CompareValue = n
		return isNumber && err == nil && !part
	case "dateTime":
		at, ok := utc(text)
		e.CompareValue = at
		return ok && !part
	}
	return false
}

var errNoPart = errors.New("it names an attribute that the elements do not have")

// matches reports whether an element, checked by [validate] before, is selected.
func (f *elementFilter) matches(element map[string]any) bool {
	for name, v := range element {
		if n, ok := v.(int64); ok { // the library compares with an int
			element = maps.Clone(element)
			element[name] = int(n)
		}
	}
	return f.validator.PassesFilter(element) == nil
}

// example gives the element that the filter describes, where it does so by
// equality alone: {"type": "work"} for type eq "work". ok is false otherwise.
func (f *elementFilter) example(attrs schema.Attributes) (element map[string]any, ok bool) {
	element = make(map[string]any)
	return element, describeElement(f.expression, attrs, element)
}

func describeElement(e filter.Expression, attrs schema.Attributes, element map[string]any) bool {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		return e.Operator == filter.AND && describeElement(e.Left, attrs, element) && describeElement(e.Right, attrs, element)
	case *filter.AttributeExpression:
		a, ok := attrs.ContainsAttribute(e.AttributePath.AttributeName)
		if !ok || e.Operator != filter.EQ {
			return false
		}
		element[a.Name()] = e.CompareValue
		if n, ok := e.CompareValue.(int); ok {
			element[a.Name()] = int64(n) // as one that was sent
		}
		return true
	}
	return false
}
