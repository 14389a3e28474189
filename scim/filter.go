package scim

import (
	"encoding/json"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	filter "github.com/scim2/filter-parser/v2"

	"gatehouse/directory"
	"gatehouse/scim/resource"
)

// listing is what a list is of, as far as filters and orders have to know.
type listing struct {
	kinds []*resource.Kind
	base  string // absolute URL of the service
}

var operators = map[filter.CompareOperator]directory.Op{
	filter.EQ: directory.Equal, filter.NE: directory.NotEqual, filter.CO: directory.Contains,
	filter.SW: directory.StartsWith, filter.EW: directory.EndsWith, filter.PR: directory.Present,
	filter.GT: directory.Greater, filter.GE: directory.GreaterOrEqual, filter.LT: directory.Less, filter.LE: directory.LessOrEqual,
}

func badFilter(format string, args ...any) error {
	return resource.Bad(scimerrors.ScimTypeInvalidFilter, format, args...)
}

// filters reads a filter parameter, which means something else to each kind; an empty
// one lets everything through.
func (l *listing) filters(text string) (map[*resource.Kind]directory.Filter, error) {
	if text == "" {
		return nil, nil
	}
	e, err := resource.ParseFilter(text)
	if err != nil {
		return nil, badFilter("The filter cannot be used: %v.", err)
	}
	of := make(map[*resource.Kind]directory.Filter)
	for _, k := range l.kinds {
		t := translation{l, k}
		if of[k], err = t.tree(e, t.comparison); err != nil {
			return nil, err
		}
	}
	return of, nil
}

// translation turns the library's tree into the directory's.
type translation struct {
	*listing
	kind *resource.Kind
}

// tree translates all but the comparisons, which one does.
func (t translation) tree(e filter.Expression, one func(*filter.AttributeExpression) (directory.Filter, error)) (directory.Filter, error) {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		return t.chain(e, one)
	case *filter.NotExpression:
		of, err := t.tree(e.Expression, one)
		return directory.Not{Of: of}, err
	case *filter.ValuePath:
		return t.valuePath(e)
	case *filter.AttributeExpression:
		return one(e)
	}
	return nil, badFilter("The filter has a part of an unknown sort.")
}

// chain flattens what the parser nests to the left.
func (t translation) chain(e *filter.LogicalExpression, one func(*filter.AttributeExpression) (directory.Filter, error)) (directory.Filter, error) {
	var parts []directory.Filter
	chain := e
	for {
		right, err := t.tree(chain.Right, one)
		if err != nil {
			return nil, err
		}
		parts = append(parts, right)
		next, ok := chain.Left.(*filter.LogicalExpression)
		if !ok || next.Operator != e.Operator {
			break
		}
		chain = next
	}
	left, err := t.tree(chain.Left, one)
	if err != nil {
		return nil, err
	}
	if parts = append(parts, left); e.Operator == filter.AND {
		return directory.All(parts), nil
	}
	return directory.Any(parts), nil
}

// named finds the attribute that a filter or an order names. here is false if another
// kind of the list has it, and this one does not.
func (t translation) named(path filter.AttributePath) (a attribute, here bool, err error) {
	for _, k := range append([]*resource.Kind{t.kind}, t.kinds...) {
		found, extension, ok := k.Attribute(strings.TrimSuffix(path.URI(), ":"), path.AttributeName)
		if !ok {
			continue
		}
		a = attribute{CoreAttribute: found, extension: extension}
		if sub := path.SubAttributeName(); sub != "" {
			if a, ok = a.with(sub); !ok {
				continue
			}
		}
		return a, k == t.kind, nil
	}
	return a, false, badFilter("There is no attribute %.128q here.", path)
}

func (t translation) comparison(e *filter.AttributeExpression) (directory.Filter, error) {
	a, here, err := t.named(e.AttributePath)
	if err != nil {
		return nil, err
	}
	if a.isCore("schemas") {
		return t.schemas(a, e)
	}
	return t.compare(a, here, e)
}

// compare translates a comparison of an attribute. RFC 7644 §3.4.2.2 has it hold for
// one with several values where it does for one of them; "ne" does for none as well,
// as what is not assigned is not identical to anything (RFC 7643 §2.5).
func (t translation) compare(a attribute, here bool, e *filter.AttributeExpression) (directory.Filter, error) {
	a, err := defaulted(a, e)
	if err != nil {
		return nil, err
	}
	if a.sub == nil && a.HasSubAttributes() { // and it is asked whether it is there
		f := t.present(a, here)
		if e.Operator == filter.EQ {
			f = directory.Not{Of: f}
		}
		return f, nil
	}
	op, value, err := operand(a, e)
	if err != nil {
		return nil, err
	}
	if value == nil && e.Operator != filter.PR { // "eq null": not assigned (RFC 7643 §2.5)
		f, err := t.compare(a, here, &filter.AttributeExpression{AttributePath: e.AttributePath, Operator: filter.PR})
		if e.Operator == filter.EQ {
			f = directory.Not{Of: f}
		}
		return f, err
	}
	if !here { // RFC 7644 §3.4.2.1: no value
		return always(op == directory.NotEqual), nil
	}
	p, list := t.find(t.kind, a), a.list()
	if !list.any() {
		return p.holds(op, value), nil
	}
	present := p.holds(directory.Present, nil)
	if op == directory.NotEqual {
		return directory.Any{list.some(directory.All{present, p.holds(op, value)}), directory.Not{Of: list.some(present)}}, nil
	}
	return indexed(a, op, value, list.some(p.holds(op, value))), nil
}

// defaulted gives a complex attribute that is compared its "value" (RFC 7644 §3.4.2.2).
func defaulted(a attribute, e *filter.AttributeExpression) (attribute, error) {
	if a.sub != nil || !a.HasSubAttributes() {
		return a, nil
	}
	whole := e.Operator == filter.PR || e.CompareValue == nil && (e.Operator == filter.EQ || e.Operator == filter.NE)
	if whole {
		return a, nil
	}
	a, ok := a.with("value")
	if !ok {
		return a, badFilter("%s is compared by one of its parts, such as %s.%s.", a.Name(), a.Name(), a.SubAttributes()[0].Name())
	}
	return a, nil
}

// present holds where a complex attribute has anything in it: "a non-empty node"
// (RFC 7644 §3.4.2.2, table 3).
func (t translation) present(a attribute, here bool) directory.Filter {
	if !here {
		return always(false)
	}
	var parts directory.Any
	for _, sub := range a.SubAttributes() {
		a.sub = &sub
		parts = append(parts, t.find(t.kind, a).holds(directory.Present, nil))
	}
	return a.list().some(parts)
}

// operand gives a comparison that the attribute's type allows, and with what; nil: with
// null, or nothing.
func operand(a attribute, e *filter.AttributeExpression) (op directory.Op, value any, err error) {
	op, kind := operators[e.Operator], a.value().AttributeType()
	equality := op == directory.Equal || op == directory.NotEqual
	if op == directory.Present || e.CompareValue == nil && equality {
		return op, nil, nil
	}
	text, isText := e.CompareValue.(string)
	part := op == directory.Contains || op == directory.StartsWith || op == directory.EndsWith
	ok := false
	switch kind {
	case "boolean":
		value = e.CompareValue
		if b, is := resource.BoolText(text); is { // Entra ID
			value = b
		}
		_, ok = value.(bool)
		ok = ok && equality
	case "string", "reference":
		value, ok = text, isText
	case "binary": // has no order (RFC 7644 §3.4.2.2)
		value, ok = text, isText && (equality || part)
	case "dateTime":
		value, ok = resource.ParseTime(text)
		ok = ok && !part
	case "integer", "decimal":
		number, isNumber := e.CompareValue.(json.Number)
		n, err := number.Float64()
		value, ok = n, isNumber && err == nil && !part
	}
	if !ok {
		return op, nil, badFilter("%s is compared with what it cannot be: it is %s.", a.value().Name(), kind)
	}
	return op, value, nil
}

// indexed has records found by an address, a group or a member without going through
// them all: among whom the directory knows by it are all of whom f holds.
func indexed(a attribute, op directory.Op, value any, f directory.Filter) directory.Filter {
	switch by := lookedUp(a, op, value); {
	case by == nil:
		return f
	case !a.isCore("emails"): // it says the same
		return by
	default:
		return directory.All{by, f}
	}
}

// lookedUp is a condition that an index serves, and that holds where an element is equal
// to a value; nil: there is none.
func lookedUp(a attribute, op directory.Op, value any) directory.Filter {
	text, ok := value.(string)
	if !ok || op != directory.Equal || a.extension != "" || a.value().Name() != "value" {
		return nil
	}
	switch in := lists[a.Name()]; {
	case in != "" && a.sub.CaseExact():
		return directory.Compare{Attr: in, Op: op, Value: text}
	case in != "":
		return directory.Compare{Attr: in, Op: op, Value: strings.ToLower(text)} // as all ids are
	case a.Name() == "emails":
		if email, err := directory.CanonicalEmail(text); err == nil { // as the directory keeps it beside what was sent
			return directory.Compare{Attr: directory.AttrEmail, Op: op, Value: email}
		}
	}
	return nil
}

// valuePath translates a filter in brackets, all of which holds for the same value
// (RFC 7644 §3.4.2.2).
func (t translation) valuePath(e *filter.ValuePath) (directory.Filter, error) {
	a, here, err := t.named(e.AttributePath)
	if err != nil {
		return nil, err
	}
	if !a.HasSubAttributes() && !a.isPlain() || a.sub != nil {
		return nil, badFilter("%s has no parts that brackets could speak of.", e.AttributePath)
	}
	of, err := t.tree(e.ValueFilter, t.element(a))
	if err != nil {
		return nil, err
	}
	if !here {
		return always(false), nil
	}
	of = a.list().some(of)
	if by := inBrackets(a, e.ValueFilter); by != nil {
		of = directory.All{by, of}
	}
	return of, nil
}

// element translates the comparisons inside of brackets.
func (t translation) element(of attribute) func(*filter.AttributeExpression) (directory.Filter, error) {
	return func(e *filter.AttributeExpression) (directory.Filter, error) {
		a, ok := of.with(e.AttributePath.AttributeName)
		if !ok || e.AttributePath.URI() != "" || e.AttributePath.SubAttributeName() != "" {
			return nil, badFilter("The values of %s have no part %.128q.", of.Name(), e.AttributePath)
		}
		op, value, err := operand(a, e)
		if err != nil {
			return nil, err
		}
		p := t.find(t.kind, a)
		switch {
		case value != nil:
			return p.holds(op, value), nil
		case op == directory.Equal:
			return directory.Not{Of: p.holds(directory.Present, nil)}, nil
		}
		return p.holds(directory.Present, nil), nil
	}
}

// inBrackets is [lookedUp] for a filter in brackets, which holds only where each of the
// parts does that "and" joins.
func inBrackets(of attribute, e filter.Expression) directory.Filter {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		if e.Operator != filter.AND {
			return nil
		}
		if f := inBrackets(of, e.Left); f != nil {
			return f
		}
		return inBrackets(of, e.Right)
	case *filter.AttributeExpression:
		if a, ok := of.with(e.AttributePath.AttributeName); ok && a.MultiValued() {
			return lookedUp(a, operators[e.Operator], e.CompareValue)
		}
	}
	return nil
}

// schemas compares the URNs of what a record holds (RFC 7643 §3).
func (t translation) schemas(a attribute, e *filter.AttributeExpression) (directory.Filter, error) {
	op, value, err := operand(a, e)
	if err != nil {
		return nil, err
	}
	if value == nil { // it is always assigned
		return always(e.Operator != filter.EQ), nil
	}
	urns := directory.Any{constant(t.kind.Core.ID, a.CaseExact(), op, value)}
	for _, ext := range t.kind.Extensions {
		if compares(ext.ID, a.CaseExact(), op, value) { // only then: there may be many attributes
			urns = append(urns, t.any(ext))
		}
	}
	return urns, nil
}

// any holds where there is something of an extension.
func (t translation) any(ext resource.Extension) directory.Filter {
	var there directory.Any
	for _, attr := range ext.Attributes {
		part := attribute{CoreAttribute: attr, extension: ext.ID}
		switch {
		case part.HasSubAttributes():
			there = append(there, t.present(part, true))
		default:
			there = append(there, part.list().some(t.find(t.kind, part).holds(directory.Present, nil)))
		}
	}
	return there
}
