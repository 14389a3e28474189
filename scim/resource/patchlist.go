package resource

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
)

// applyList changes a multi-valued attribute.
func (p *patcher) applyList(in map[string]any, t *target, o operation) error {
	stored, _ := in[t.attr.Name()].([]any)
	if err := p.spend(stored, t); err != nil {
		return err
	}
	list := slices.Clone(stored)
	var touched map[int]bool // positions that the operation wrote
	var err error
	switch {
	case t.where != nil && !t.attr.HasSubAttributes():
		list, err = changePlain(list, t, o)
	case t.where != nil || t.sub != nil:
		list, touched, err = changeElements(list, t, o)
	case o.op == "remove":
		list, err = removeValues(list, t, o)
	case o.op == "replace":
		list, touched, err = addValues(nil, t, o)
	default:
		list, touched, err = addValues(list, t, o)
	}
	if err != nil {
		return err
	}
	if p.kind.isMembers(t) {
		sayTypes(list)
	}
	if list = demoteOthers(list, touched); len(list) == 0 {
		return put(in, t, nil)
	}
	return put(in, t, list)
}

// addValues adds what an operation brings.
func addValues(list []any, t *target, o operation) ([]any, map[int]bool, error) {
	v, err := o.read(t.attr)
	if err != nil {
		return nil, nil, err
	}
	values, _ := v.([]any)
	return mergeValues(t.attr, list, values)
}

// maxAlike bounds the elements of a list that have the same value, by types of their
// own: each is compared with each.
const maxAlike = 64

func errAlike(name string) error {
	return Bad(scimerrors.ScimTypeTooMany, "%s has more than %d elements with the same value.", name, maxAlike)
}

// mergeValues adds elements to a list, or makes one that is there already what
// it is added as: a value is not listed twice (RFC 7643 §2.4, RFC 7644 §3.5.2.1).
// touched are the positions that it wrote.
func mergeValues(a schema.CoreAttribute, list, values []any) (merged []any, touched map[int]bool, err error) {
	known := make(map[string][]int, len(list)+len(values)) // positions by value
	for i, element := range list {
		key := valueKey(a, element)
		known[key] = append(known[key], i)
	}
	touched = make(map[int]bool)
	for _, element := range values {
		key := valueKey(a, element)
		i := slices.IndexFunc(known[key], func(i int) bool { return sameType(list[i], element) })
		if i < 0 {
			if len(known[key]) >= maxAlike {
				return nil, nil, errAlike(a.Name())
			}
			known[key] = append(known[key], len(list))
			touched[len(list)] = true
			list = append(list, element)
			continue
		}
		i = known[key][i]
		old, _ := list[i].(map[string]any)
		added, _ := element.(map[string]any)
		if now := maps.Clone(old); old != nil {
			maps.Copy(now, added)
			list[i], touched[i] = now, true
		}
	}
	return list, touched, nil
}

// sameType reports whether two elements with one value are the same one: both
// of a type, or one that does not say which it has.
func sameType(a, b any) bool {
	typeOf := func(v any) string {
		object, _ := v.(map[string]any)
		text, _ := object["type"].(string)
		return text
	}
	x, y := typeOf(a), typeOf(b)
	return x == "" || y == "" || strings.EqualFold(x, y)
}

// removeValues empties the attribute, or, where the operation has a value,
// takes away those elements alone: Entra ID removes members so, and emptying
// the group instead would lock everybody out.
func removeValues(list []any, t *target, o operation) ([]any, error) {
	if o.value == nil {
		return nil, nil
	}
	v, err := o.read(t.attr)
	if err != nil {
		return nil, err
	}
	gone := make(map[string][]any) // by value
	values, _ := v.([]any)
	if len(values) == 0 {
		return nil, errNotWhich()
	}
	for _, element := range values {
		key := valueKey(t.attr, element)
		if gone[key] = append(gone[key], element); len(gone[key]) > maxAlike {
			return nil, errAlike(t.attr.Name())
		}
	}
	return slices.DeleteFunc(list, func(element any) bool {
		return slices.ContainsFunc(gone[valueKey(t.attr, element)], func(other any) bool { return sameType(element, other) })
	}), nil
}

func errNotWhich() error {
	return Bad(scimerrors.ScimTypeInvalidValue, "The remove says that values are to be removed, and not which. To remove all of them, leave out the value.")
}

// valueKey is what an element of an attribute is known by: its "value" where it has one,
// letter case ignored unless the schema says that it matters (RFC 7643 §2.2), else all
// that it says.
func valueKey(a schema.CoreAttribute, element any) string {
	text, ok := element.(string)
	if object, is := element.(map[string]any); is {
		text, ok = object["value"].(string)
		a, _ = a.SubAttributes().ContainsAttribute("value")
	}
	switch {
	case ok && a.CaseExact():
		return text
	case ok:
		return strings.ToLower(text)
	}
	key, err := json.Marshal(element)
	if err != nil {
		panic(err) // it came out of JSON
	}
	return string(key)
}

// changeElements changes the elements that the path selects, or the only one
// where it selects none in particular ("emails.value").
func changeElements(list []any, t *target, o operation) ([]any, map[int]bool, error) {
	touched := make(map[int]bool)
	kept := make([]any, 0, len(list)+1)
	matched := 0
	for _, v := range list {
		element, ok := v.(map[string]any)
		if !ok || t.where != nil && !t.where.matches(element) {
			kept = append(kept, v)
			continue
		}
		if matched++; o.op == "remove" && t.sub == nil {
			continue
		}
		changed, err := t.changed(element, o)
		if err != nil {
			return nil, nil, err
		}
		if o.op == "remove" && !saysAnything(changed) {
			continue
		}
		if len(changed) > 0 {
			touched[len(kept)] = true
			kept = append(kept, changed)
		}
	}
	switch {
	case o.op == "remove":
		return kept, nil, nil // nothing there to remove: it is as asked (RFC 7644 §3.5.2.2)
	case t.where == nil && matched > 1:
		return nil, nil, Bad(scimerrors.ScimTypeNoTarget, "%s has several values: the path %.256q must say which.", t.attr.Name(), o.path)
	case matched > 0:
		return kept, touched, nil
	}
	element, err := t.missing(o)
	if err != nil {
		return nil, nil, err
	}
	touched[len(kept)] = true
	return append(kept, element), touched, nil
}

// changePlain changes those of several plain values that the path selects.
func changePlain(list []any, t *target, o operation) ([]any, error) {
	var by []any
	if o.op != "remove" {
		v, err := o.read(t.attr)
		if err != nil {
			return nil, err
		}
		by, _ = v.([]any)
	}
	var kept []any
	matched := false
	for _, v := range list {
		if !t.where.matches(map[string]any{"value": v}) {
			kept = append(kept, v)
			continue
		}
		if !matched {
			kept = append(kept, by...)
		}
		matched = true
	}
	if !matched && o.op != "remove" {
		return nil, errNoTarget(o.path)
	}
	return kept, nil
}

// saysAnything reports whether an element is more than labels on nothing:
// Entra ID removes an address as emails[type eq "work"].value.
func saysAnything(element map[string]any) bool {
	for name := range element {
		if name != "type" && name != "primary" && name != "display" {
			return true
		}
	}
	return false
}

// changed gives an element as it is after the operation. Replacing a whole
// element leaves nothing of the old one (RFC 7644 §3.5.2.3).
func (t *target) changed(element map[string]any, o operation) (map[string]any, error) {
	now := maps.Clone(element)
	if o.op == "replace" && t.sub == nil {
		clear(now)
	}
	return now, t.change(now, o)
}

// missing makes the element that a path describes and that is not there: Entra
// ID adds a first work address as emails[type eq "work"].value. A replace of
// what is not there fails (RFC 7644 §3.5.2.3).
func (t *target) missing(o operation) (map[string]any, error) {
	element := make(map[string]any)
	if t.where != nil {
		example, ok := t.where.example()
		if !ok || o.op == "replace" && !o.makes {
			return nil, errNoTarget(o.path)
		}
		element = example
	}
	if err := t.change(element, o); err != nil {
		return nil, err
	}
	if len(element) == 0 {
		return nil, errNoTarget(o.path)
	}
	return element, nil
}

// demoteOthers keeps at most one primary value: where the operation made one,
// the others are so no longer (RFC 7644 §3.5.2).
func demoteOthers(list []any, touched map[int]bool) []any {
	made := false
	for i := range touched {
		element, ok := list[i].(map[string]any)
		made = made || ok && element["primary"] == true
	}
	if !made {
		return list
	}
	for i, v := range list {
		element, ok := v.(map[string]any)
		if !ok || touched[i] || element["primary"] != true {
			continue
		}
		other := maps.Clone(element)
		other["primary"] = false
		list[i] = other
	}
	return list
}
