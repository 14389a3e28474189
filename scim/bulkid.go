package scim

import (
	"encoding/json"
	"slices"
	"strings"

	"gatehouse/scim/resource"
)

// bulkPrefix begins what stands in the place of an id that nobody knows yet: that of
// the resource which the operation with this bulkId makes (RFC 7644 §3.7.2).
const bulkPrefix = "bulkId:"

// naming are the attributes whose values are ids of resources.
var naming = []string{"members", "manager"}

// names reports whether an attribute holds ids, by its name or the path to it:
// "members", "members[...].value", or under its schema's URN.
func names(path string) bool {
	path, _, _ = strings.Cut(path, "[")
	path = path[strings.LastIndexByte(path, ':')+1:]
	path, _, _ = strings.Cut(path, ".")
	return slices.ContainsFunc(naming, func(n string) bool { return strings.EqualFold(strings.TrimSpace(path), n) })
}

// references replaces what stands in the place of an id; "" leaves out the value
// that it names.
type references func(bulkID string) (id string)

// inPath replaces the id of the resource that a path names.
func (id references) inPath(path string) string {
	if at := strings.LastIndexByte(path, '/'); strings.HasPrefix(path[at+1:], bulkPrefix) {
		return path[:at+1] + id(path[at+1+len(bulkPrefix):])
	}
	return path
}

// inObject replaces in a resource, or in the value of a PATCH without a path.
func (id references) inObject(object map[string]any) {
	for name, v := range object {
		if names(name) {
			if v, ok := id.inValue(v); ok {
				object[name] = v
			} else {
				delete(object, name)
			}
		} else if inner, ok := v.(map[string]any); ok { // of an extension
			id.inObject(inner)
		}
	}
}

// inValue replaces in the value of an attribute that holds ids: false if nothing is
// left of it.
func (id references) inValue(v any) (any, bool) {
	switch v := v.(type) {
	case string:
		if bulkID, ok := strings.CutPrefix(v, bulkPrefix); ok {
			known := id(bulkID)
			return known, known != ""
		}
	case []any:
		kept := make([]any, 0, len(v))
		for _, element := range v {
			if element, ok := id.inValue(element); ok {
				kept = append(kept, element)
			}
		}
		return kept, true
	case map[string]any:
		for name, inner := range v {
			if !strings.EqualFold(name, "value") {
				continue
			}
			inner, ok := id.inValue(inner)
			if !ok {
				return nil, false
			}
			v[name] = inner
		}
	}
	return v, true
}

// inPatch replaces in the message of a PATCH.
func (id references) inPatch(message map[string]any) {
	v, _ := resource.Member(message, "Operations")
	list, _ := v.([]any)
	for _, v := range list {
		step, ok := v.(map[string]any)
		if !ok {
			continue
		}
		name, _ := resource.Member(step, "path")
		path, _ := name.(string)
		for member, v := range step {
			switch {
			case strings.EqualFold(member, "path") && names(path):
				step[member] = id.inFilter(path)
			case !strings.EqualFold(member, "value"):
			case names(path):
				if v, ok := id.inValue(v); ok {
					step[member] = v
				}
			case strings.TrimSpace(path) == "" || isSchema(path):
				step[member] = id.inAttributes(v)
			default:
				if object, ok := v.(map[string]any); ok {
					id.inObject(object)
				}
			}
		}
	}
}

// inAttributes replaces in a value of a PATCH that has attributes under their names, in
// each of the forms in which one is understood.
func (id references) inAttributes(v any) any {
	object, ok := resource.ReadAttributes(v)
	if !ok {
		return v
	}
	for name, inner := range object {
		if isSchema(name) {
			object[name] = id.inAttributes(inner)
		}
	}
	id.inObject(object)
	return object
}

// isSchema reports whether a path of a PATCH is that of a schema that has references.
func isSchema(path string) bool {
	path = strings.TrimSpace(path)
	for _, k := range []*resource.Kind{resource.User, resource.Group} {
		if strings.EqualFold(path, k.Core.ID) || slices.ContainsFunc(k.Extensions, func(e resource.Extension) bool { return strings.EqualFold(path, e.ID) }) {
			return true
		}
	}
	return false
}

// maxPatchPath is more than a path of a PATCH may have: a longer one is refused.
const maxPatchPath = 4096

// inFilter replaces in the path of a PATCH: members[value eq "bulkId:x"].
func (id references) inFilter(path string) string {
	if len(path) > maxPatchPath {
		return path
	}
	var b strings.Builder
	for {
		open := strings.IndexByte(path, '"')
		if open < 0 {
			break
		}
		end := open + 1
		for end < len(path) && path[end] != '"' {
			if path[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(path) {
			break
		}
		literal := path[open : end+1]
		var text string
		if err := json.Unmarshal([]byte(literal), &text); err == nil {
			if bulkID, ok := strings.CutPrefix(text, bulkPrefix); ok {
				if known, err := json.Marshal(id(bulkID)); err == nil {
					literal = string(known)
				}
			}
		}
		b.WriteString(path[:open] + literal)
		path = path[end+1:]
	}
	return b.String() + path
}
