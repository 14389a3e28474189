package resource

import (
	"encoding/json"
	"maps"
	"slices"

	scimerrors "github.com/elimity-com/scim/errors"
)

// applyList changes a multi-valued attribute.
func (p *patcher) applyList(in map[string]any, t *target, o operation) error {
	stored, _ := in[t.attr.Name()].([]any)
	if p.work += len(stored) + 1; p.work > maxWork {
		return Bad(scimerrors.ScimTypeTooMany, "The operations are too many for a resource of this size. Send fewer at a time.")
	}
	list := slices.Clone(stored)
	var touched map[int]bool // positions that the operation wrote
	var err error
	switch {
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
	if list = demoteOthers(list, touched); len(list) == 0 {
		return put(in, t, nil)
	}
	return put(in, t, list)
}

// elementKey tells whether two elements are the same: a member by whom it
// names, anything else by all it says (RFC 7644 §3.5.2.1: no value twice).
func elementKey(t *target, element any) string {
	if object, ok := element.(map[string]any); ok && t.attr.Name() == "members" {
		id, _ := object["value"].(string)
		return id
	}
	key, err := json.Marshal(element)
	if err != nil {
		panic(err) // it came out of JSON
	}
	return string(key)
}

func addValues(list []any, t *target, o operation) ([]any, map[int]bool, error) {
	v, err := validate(t.attr, o.value)
	if err != nil {
		return nil, nil, err
	}
	values, _ := v.([]any)
	known := make(map[string]bool, len(list)+len(values))
	for _, element := range list {
		known[elementKey(t, element)] = true
	}
	touched := make(map[int]bool)
	for _, element := range values {
		if key := elementKey(t, element); !known[key] {
			known[key] = true
			touched[len(list)] = true
			list = append(list, element)
		}
	}
	return list, touched, nil
}

// removeValues empties the attribute, or, where the operation has a value,
// takes away those elements alone: Entra ID removes members so, and emptying
// the group instead would lock everybody out.
func removeValues(list []any, t *target, o operation) ([]any, error) {
	if o.value == nil {
		return nil, nil
	}
	v, err := validate(t.attr, o.value)
	if err != nil {
		return nil, err
	}
	gone := make(map[string]bool)
	values, _ := v.([]any)
	for _, element := range values {
		gone[valueKey(element)] = true
	}
	return slices.DeleteFunc(list, func(element any) bool { return gone[valueKey(element)] }), nil
}

// valueKey is what an element is known by when it is to be removed: its
// "value" where it has one.
func valueKey(element any) string {
	if object, ok := element.(map[string]any); ok {
		if v, ok := object["value"].(string); ok {
			return v
		}
	}
	return elementKey(&target{}, element)
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
		example, ok := t.where.example(t.attr.SubAttributes())
		if !ok || o.op == "replace" {
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
