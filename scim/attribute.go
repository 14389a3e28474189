package scim

import (
	"slices"
	"strings"

	"github.com/elimity-com/scim/schema"

	"gatehouse/directory"
	"gatehouse/scim/resource"
)

// place is where the directory has the values of an attribute: of a record, or of an
// element where the attribute is one of several.
type place struct {
	attr          directory.Attr // one of its own
	before, after string         // stand around it
	member        string         // the service's address: it is that of a member, of whatever kind
	path          []string       // among a person's attributes
	constant      string         // the same for all
	kind          directory.Kind
	exact         bool // letter case matters
}

// several is the list that an attribute with several values is; the zero one is none.
type several struct {
	in   directory.Attr
	path []string
}

func (s several) any() bool { return s.in != "" || len(s.path) > 0 }

// some holds for one element of the list.
func (s several) some(of directory.Filter) directory.Filter {
	if !s.any() {
		return of
	}
	return directory.Some{In: s.in, Path: s.path, Of: of}
}

// own are the attributes that the directory keeps beside the others, by their name in
// lower case.
var own = map[string]directory.Attr{
	"id": directory.AttrID, "username": directory.AttrUserName, "displayname": directory.AttrDisplayName, "externalid": directory.AttrExternalID,
	"active": directory.AttrActive, "meta.created": directory.AttrCreated, "meta.lastmodified": directory.AttrUpdated,
	"groups.value": directory.AttrID, "groups.display": directory.AttrDisplayName, "groups.type": directory.AttrType,
	"members.value": directory.AttrID, "members.display": directory.AttrDisplayName, "members.type": directory.AttrType,
}

// lists are the attributes that are lists of other records.
var lists = map[string]directory.Attr{"groups": directory.AttrGroup, "members": directory.AttrMember}

// attribute is one that was named, with its sub-attribute if it has any.
type attribute struct {
	schema.CoreAttribute
	extension string
	sub       *schema.CoreAttribute
}

// value is what is compared: the sub-attribute, or the attribute itself.
func (a attribute) value() schema.CoreAttribute {
	if a.sub != nil {
		return *a.sub
	}
	return a.CoreAttribute
}

// isCore reports whether it is an attribute of this name that no extension has.
func (a attribute) isCore(name string) bool { return a.extension == "" && a.Name() == name }

// isPlain reports whether it has several values without parts.
func (a attribute) isPlain() bool {
	return a.MultiValued() && !a.HasSubAttributes() && !a.isCore("schemas")
}

// with is the attribute with one of its sub-attributes. A plain value is its own "value"
// (RFC 7643 §2.4).
func (a attribute) with(name string) (attribute, bool) {
	if a.isPlain() && strings.EqualFold(name, "value") {
		return a, true
	}
	sub, ok := a.SubAttributes().ContainsAttribute(name)
	a.sub = &sub
	return a, ok
}

// list gives the list that the attribute is.
func (a attribute) list() several {
	switch in, ok := lists[strings.ToLower(a.Name())]; {
	case !a.MultiValued():
		return several{}
	case ok && a.extension == "":
		return several{in: in}
	}
	return several{path: a.names()}
}

// names lead to the attribute among a person's.
func (a attribute) names() []string {
	if a.extension != "" {
		return []string{a.extension, a.Name()}
	}
	return []string{a.Name()}
}

var kinds = map[string]directory.Kind{"boolean": directory.Bool, "integer": directory.Number, "decimal": directory.Number, "dateTime": directory.Time}

// find gives the place of an attribute of a kind.
func (l *listing) find(k *resource.Kind, a attribute) place {
	p := place{kind: kinds[a.value().AttributeType()], exact: a.value().CaseExact()}
	name := strings.ToLower(a.Name())
	if a.sub != nil {
		name += "." + strings.ToLower(a.sub.Name())
	}
	switch attr, ok := own[name]; {
	case a.extension != "": // has names of its own
	case ok:
		p.attr = attr
		return p
	case name == "meta.resourcetype":
		p.constant = k.Name
		return p
	case name == "meta.version":
		p.attr, p.before, p.after = directory.AttrVersion, `W/"`, `"`
		return p
	case name == "meta.location":
		p.attr, p.before = directory.AttrID, l.base+k.Endpoint+"/"
		return p
	case name == "groups.$ref":
		p.attr, p.before = directory.AttrID, l.base+resource.Group.Endpoint+"/"
		return p
	case name == "members.$ref":
		p.attr, p.member = directory.AttrID, l.base
		return p
	}
	if !a.MultiValued() {
		p.path = a.names()
	}
	if a.sub != nil {
		p.path = append(slices.Clip(p.path), a.sub.Name())
	}
	return p
}

// holds compares the value at the place with another.
func (p place) holds(op directory.Op, value any) directory.Filter {
	switch {
	case p.constant != "":
		return constant(p.constant, p.exact, op, value)
	case p.member != "":
		var either directory.Any
		for _, k := range []*resource.Kind{resource.User, resource.Group} {
			either = append(either, directory.All{directory.Compare{Attr: directory.AttrType, Value: k.Name},
				directory.Compare{Attr: p.attr, Op: op, Value: value, Before: p.member + k.Endpoint + "/"}})
		}
		return either
	case p.attr == directory.AttrID && p.before == "" && !p.exact:
		if id, ok := value.(string); ok { // all ids are in lower case
			value = strings.ToLower(id)
		}
	}
	if p.attr != "" {
		return directory.Compare{Attr: p.attr, Op: op, Value: value, Before: p.before, After: p.after}
	}
	return directory.Value{Path: p.path, Kind: p.kind, Exact: p.exact, Op: op, Value: value}
}

// constant compares what is the same for every record.
func constant(have string, exact bool, op directory.Op, value any) directory.Filter {
	return always(compares(have, exact, op, value))
}

func compares(have string, exact bool, op directory.Op, value any) bool {
	want, _ := value.(string)
	if !exact {
		have, want = strings.ToLower(have), strings.ToLower(want)
	}
	holds := map[directory.Op]bool{
		directory.Present: true, directory.Equal: have == want, directory.NotEqual: have != want,
		directory.Contains: strings.Contains(have, want), directory.StartsWith: strings.HasPrefix(have, want), directory.EndsWith: strings.HasSuffix(have, want),
		directory.Greater: have > want, directory.GreaterOrEqual: have >= want, directory.Less: have < want, directory.LessOrEqual: have <= want,
	}
	return holds[op]
}

// always is the condition that all records meet, or none.
func always(yes bool) directory.Filter {
	if yes {
		return directory.All{}
	}
	return directory.Any{}
}
