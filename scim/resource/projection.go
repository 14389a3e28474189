package resource

import (
	"net/url"
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
)

const maxProjected = 100

// Projection says which attributes an answer has (RFC 7644 §3.9): those named
// by "attributes", or all but those named by "excludedAttributes". Names are
// lower-case, with a sub-attribute after a dot.
type Projection struct {
	only, except []string
}

// ReadProjection reads what the query of a request asks for.
func ReadProjection(query url.Values) (Projection, error) {
	only, err := readNames(query.Get("attributes"))
	if err != nil {
		return Projection{}, err
	}
	except, err := readNames(query.Get("excludedAttributes"))
	if err == nil && len(only) > 0 && len(except) > 0 {
		err = Bad(scimerrors.ScimTypeInvalidValue, "attributes and excludedAttributes exclude each other.")
	}
	return Projection{only, except}, err
}

func readNames(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	if len(list) > maxExpression || strings.Count(list, ",") >= maxProjected {
		return nil, Bad(scimerrors.ScimTypeInvalidValue, "The list of attributes is too long.")
	}
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Asked reports whether the client said which attributes it wants.
func (p Projection) Asked() bool { return len(p.only)+len(p.except) > 0 }

// Wants reports whether a top-level attribute is in the answer, whole or in part.
func (p Projection) Wants(name string) bool {
	name = strings.ToLower(name)
	if len(p.only) == 0 {
		return !slices.Contains(p.except, name)
	}
	return slices.ContainsFunc(p.only, func(n string) bool { return n == name || strings.HasPrefix(n, name+".") })
}

// Includes is [Projection.Wants] for an attribute of a kind's own schema, whose URN may
// stand in front (RFC 7644 §3.10).
func (p Projection) Includes(k *Kind, name string) bool { return p.withoutURN(k.Core.ID).Wants(name) }

// Of gives the part of a resource that the client asked for; "id" and
// "schemas" are always there (RFC 7643 §7, "returned").
func (p Projection) Of(k *Kind, res Object) Object {
	if !p.Asked() {
		return res
	}
	p = p.withoutURN(k.Core.ID)
	out := p.filter(res)
	out["id"], out["schemas"] = res["id"], res["schemas"]
	for _, e := range k.Extensions {
		values, ok := res[e.ID].(map[string]any)
		if !ok {
			continue
		}
		delete(out, e.ID)
		if inner := p.within(e.ID).filter(values); len(inner) > 0 {
			out[e.ID] = inner
		}
	}
	return out
}

// WantsOf reports whether a sub-attribute of an attribute that is in the answer is.
func (p Projection) WantsOf(k *Kind, name, sub string) bool {
	return p.withoutURN(k.Core.ID).behind(strings.ToLower(name) + ".").Wants(sub)
}

// withoutURN takes the schema's own URN off the names: "urn:...:User:userName".
func (p Projection) withoutURN(urn string) Projection {
	trim := func(names []string) []string {
		out := slices.Clone(names)
		for i, name := range out {
			out[i] = strings.TrimPrefix(name, strings.ToLower(urn)+":")
		}
		return out
	}
	return Projection{trim(p.only), trim(p.except)}
}

// within is the projection as it reads inside an extension.
func (p Projection) within(urn string) Projection {
	urn = strings.ToLower(urn)
	inner := p.behind(urn + ":")
	switch {
	case slices.Contains(p.only, urn):
		return Projection{}
	case slices.Contains(p.except, urn), len(p.only) > 0 && len(inner.only) == 0:
		return Projection{only: []string{""}} // nothing has this name
	}
	return inner
}

// behind is the projection of the names that begin with a prefix, without it.
func (p Projection) behind(prefix string) Projection {
	cut := func(names []string) []string {
		var out []string
		for _, name := range names {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				out = append(out, rest)
			}
		}
		return out
	}
	return Projection{cut(p.only), cut(p.except)}
}

// filter applies the names to one object.
func (p Projection) filter(object map[string]any) map[string]any {
	out := make(map[string]any, len(object))
	for name, v := range object {
		key := strings.ToLower(name)
		switch {
		case !p.Wants(name):
		case slices.Contains(p.only, key):
			out[name] = v
		default:
			if v = eachObject(v, p.behind(key+".").filter); v != nil {
				out[name] = v
			}
		}
	}
	return out
}

// eachObject applies f to a complex value or to each element of a list of
// them; other values stay. A value of which nothing is left becomes nil.
func eachObject(v any, f func(map[string]any) map[string]any) any {
	switch v := v.(type) {
	case map[string]any:
		if out := f(v); len(out) > 0 {
			return out
		}
		return nil
	case []any:
		list := make([]any, 0, len(v))
		for _, element := range v {
			if element = eachObject(element, f); element != nil {
				list = append(list, element)
			}
		}
		if len(list) > 0 {
			return list
		}
		return nil
	}
	return v
}
