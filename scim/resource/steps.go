package resource

import (
	"maps"
	"slices"
	"strings"
)

// Step is one step of a PATCH as it is understood.
type Step struct {
	Op    string // "add", "replace" or "remove"
	Path  string // of the attribute; empty where there is none
	Value any    // as the schema has it; nil: none
}

// Steps tells what a PATCH does, for people to read: an operation whose value holds
// attributes under their names is a step for each of them. What cannot be applied, and
// what comes after very long paths, is told as it was sent.
func (steps Patch) Steps(k *Kind) []Step {
	var all []Step
	read := 0
	tell := func(o operation) {
		told := Step{o.op, o.path, o.value}
		if read += len(o.path); o.value != nil && read <= maxFiltered {
			told.Value = o.understood(k)
		}
		all = append(all, told)
	}
	for _, o := range steps {
		prefix := ""
		i := slices.IndexFunc(k.Extensions, func(e Extension) bool { return strings.EqualFold(o.path, e.ID) })
		switch {
		case i >= 0:
			prefix = k.Extensions[i].ID + ":"
		case o.path != "" && !strings.EqualFold(o.path, k.Core.ID):
			tell(o)
			continue
		}
		object, ok := ReadAttributes(o.value)
		if !ok {
			all = append(all, Step{o.op, o.path, o.value})
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			switch strings.ToLower(name) {
			case "schemas", "meta", "id":
				continue
			}
			tell(operation{op: o.op, path: prefix + name, value: object[name]})
		}
	}
	return all
}

// understood is an operation's value as the schema has it, where it can be.
func (o operation) understood(k *Kind) any {
	t, err := k.resolve(o.path)
	if err != nil {
		return o.value
	}
	a := t.attr
	if t.sub != nil {
		a = *t.sub
	}
	if v, err := o.read(a); err == nil {
		return v
	}
	return o.value
}
