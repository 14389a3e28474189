package resource

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"github.com/elimity-com/scim/schema"
	filter "github.com/scim2/filter-parser/v2"
)

// elementFilter selects elements of one multi-valued attribute, as in
// emails[type eq "work"]. In a PATCH it means what it does in a search.
type elementFilter struct {
	expression  filter.Expression
	parts       schema.Attributes
	comparisons int
	// fold is how texts are compared that are not to the letter.
	fold func(string) string
}

// newElementFilter makes sure that every comparison is with a value of the
// attribute's own type: one that makes no sense would be merely false, and a
// "not" around it would select everything.
func newElementFilter(e filter.Expression, parts schema.Attributes) (*elementFilter, error) {
	if err := unescape(e); err != nil {
		return nil, err
	}
	f := &elementFilter{expression: e, parts: parts, fold: strings.ToLower}
	return f, f.check(e)
}

func (f *elementFilter) check(e filter.Expression) error {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		return errors.Join(f.check(e.Left), f.check(e.Right))
	case *filter.NotExpression:
		return f.check(e.Expression)
	case *filter.AttributeExpression:
		f.comparisons++
		a, ok := f.parts.ContainsAttribute(e.AttributePath.AttributeName)
		if !ok || e.AttributePath.SubAttribute != nil || e.AttributePath.URIPrefix != nil {
			return errNoPart
		}
		if !readOperand(e, a) {
			return errors.New("it compares " + a.Name() + " with what it cannot be")
		}
		return nil
	}
	return errors.New("it has a part that does not belong there")
}

// readOperand brings what an attribute is compared with into the attribute's type, a
// number into float64; false if it is of another, or the operator has no meaning for it.
func readOperand(e *filter.AttributeExpression, a schema.CoreAttribute) bool {
	equality := e.Operator == filter.EQ || e.Operator == filter.NE
	part := e.Operator == filter.CO || e.Operator == filter.SW || e.Operator == filter.EW
	if e.Operator == filter.PR || e.CompareValue == nil && equality { // null: not assigned
		return true
	}
	text, isText := e.CompareValue.(string)
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
		return isText && (equality || part)
	case "integer", "decimal":
		number, isNumber := e.CompareValue.(json.Number)
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
func (f *elementFilter) matches(element map[string]any) bool { return f.holds(f.expression, element) }

// holds evaluates a filter. What is not there, null or an empty text is not assigned:
// no comparison holds for it but ne (RFC 7643 §2.5).
func (f *elementFilter) holds(e filter.Expression, element map[string]any) bool {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		if e.Operator == filter.AND {
			return f.holds(e.Left, element) && f.holds(e.Right, element)
		}
		return f.holds(e.Left, element) || f.holds(e.Right, element)
	case *filter.NotExpression:
		return !f.holds(e.Expression, element)
	case *filter.AttributeExpression:
		a, _ := f.parts.ContainsAttribute(e.AttributePath.AttributeName)
		v := element[a.Name()]
		there := v != nil && v != ""
		switch {
		case e.Operator == filter.PR:
			return there
		case e.CompareValue == nil:
			return there == (e.Operator == filter.NE)
		case !there:
			return e.Operator == filter.NE
		}
		return f.compares(a, v, e.Operator, e.CompareValue)
	}
	return false
}

// compares holds a value that is there against another of the attribute's type.
func (f *elementFilter) compares(a schema.CoreAttribute, have any, op filter.CompareOperator, want any) bool {
	order := 0
	switch a.AttributeType() {
	case "boolean":
		if have != want {
			order = 1
		}
	case "integer", "decimal":
		order = cmp.Compare(number(have), number(want))
	default:
		x, _ := have.(string)
		y, _ := want.(string)
		if a.AttributeType() == "dateTime" {
			at, _ := ParseTime(x)
			other, _ := ParseTime(y)
			order = at.Compare(other)
			break
		}
		if !a.CaseExact() {
			x, y = f.fold(x), f.fold(y)
		}
		switch op {
		case filter.CO:
			return strings.Contains(x, y)
		case filter.SW:
			return strings.HasPrefix(x, y)
		case filter.EW:
			return strings.HasSuffix(x, y)
		}
		order = strings.Compare(x, y)
	}
	switch op {
	case filter.EQ:
		return order == 0
	case filter.NE:
		return order != 0
	case filter.GT:
		return order > 0
	case filter.GE:
		return order >= 0
	case filter.LT:
		return order < 0
	case filter.LE:
		return order <= 0
	}
	return false
}

// number reads one as it is sent, stored or compared with: integers are in float64 as
// they are, see [maxInteger].
func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case json.Number:
		n, _ := v.Float64()
		return n
	}
	return 0
}

// example gives the element that the filter describes, where it does so by
// equality alone: {"type": "work"} for type eq "work". ok is false otherwise.
func (f *elementFilter) example() (element map[string]any, ok bool) {
	element = make(map[string]any)
	return element, f.describe(f.expression, element) && f.matches(element)
}

func (f *elementFilter) describe(e filter.Expression, element map[string]any) bool {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		return e.Operator == filter.AND && f.describe(e.Left, element) && f.describe(e.Right, element)
	case *filter.AttributeExpression:
		a, ok := f.parts.ContainsAttribute(e.AttributePath.AttributeName)
		if !ok || e.Operator != filter.EQ {
			return false
		}
		switch v := e.CompareValue.(type) {
		case nil: // not assigned
		case float64:
			if element[a.Name()] = v; a.AttributeType() == "integer" {
				element[a.Name()] = int64(v) // as one that was sent
			}
		default:
			element[a.Name()] = v
		}
		return true
	}
	return false
}
