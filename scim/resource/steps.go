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
// attributes under their names is a step for each of them. What cannot be applied is told
// as it was sent.
func (steps Patch) Steps(k *Kind) []Step {
	var all []Step
	for _, o := range steps {
		prefix := ""
		i := slices.IndexFunc(k.Extensions, func(e Extension) bool { return strings.EqualFold(o.path, e.ID) })
		switch {
		case i >= 0:
			prefix = k.Extensions[i].ID + ":"
		case o.path != "" && !strings.EqualFold(o.path, k.Core.ID):
			all = append(all, o.step(k))
			continue
		}
		object, ok := readAttributes(o.value)
		if !ok {
			all = append(all, Step{o.op, o.path, o.value})
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			switch strings.ToLower(name) {
			case "schemas", "meta", "id":
				continue
			}
			all = append(all, operation{op: o.op, path: prefix + name, value: object[name]}.step(k))
		}
	}
	return all
}

func (o operation) step(k *Kind) Step {
	told := Step{o.op, o.path, o.value}
	t, err := k.resolve(o.path)
	if err != nil || o.value == nil {
		return told
	}
	a := t.attr
	if t.sub != nil {
		a = *t.sub
	}
	if v, err := o.read(a); err == nil {
		told.Value = v
	}
	return told
}
