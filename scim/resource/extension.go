package resource

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
)

// clean reads what a client wrote into an extension; nil: nothing is left of it. whole
// has all there that is required.
func (e *Extension) clean(raw map[string]any, whole bool) (map[string]any, error) {
	v, _ := Member(raw, e.ID)
	object, ok := v.(map[string]any)
	if v != nil && !ok {
		return nil, Bad(scimerrors.ScimTypeInvalidValue, "%s is not an object.", e.ID)
	}
	values := make(map[string]any)
	if err := cleanInto(values, object, e.given(object)); err != nil {
		return nil, err
	}
	if e.Custom {
		for _, a := range e.Attributes {
			if v, ok := values[a.Name()]; ok {
				spelled, err := canonical(a, v)
				if err != nil {
					return nil, err
				}
				values[a.Name()] = spelled
			}
		}
	}
	if whole && (len(values) > 0 || e.Required) {
		for _, a := range e.Attributes {
			if _, ok := values[a.Name()]; a.Required() && !ok {
				return nil, Bad(scimerrors.ScimTypeInvalidValue, "%s:%s is required.", e.ID, a.Name())
			}
		}
	}
	if len(values) > 0 {
		return values, nil
	}
	if whole && e.Required {
		return nil, Bad(scimerrors.ScimTypeInvalidValue, "%s is required.", e.ID)
	}
	return nil, nil
}

// given are the attributes of which an object has something: what is missing is judged
// once it is known what is left.
func (e *Extension) given(object map[string]any) (some schema.Attributes) {
	for _, a := range e.Attributes {
		if v, _ := Member(object, a.Name()); coerce(a, v) != nil {
			some = append(some, a)
		}
	}
	return some
}

// canonical holds texts to the values that a tenant has listed for them, in its own
// spelling. RFC 7643 §7 leaves to the service what it makes of others: they are refused,
// as nobody would look for them.
func canonical(a schema.CoreAttribute, v any) (any, error) {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			var err error
			if list[i], err = canonical(a, element); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		object := maps.Clone(v)
		for _, sub := range a.SubAttributes() {
			if part, ok := v[sub.Name()]; ok {
				spelled, err := canonical(sub, part)
				if err != nil {
					return nil, err
				}
				object[sub.Name()] = spelled
			}
		}
		return object, nil
	case string:
		listed := a.CanonicalValues()
		i := slices.IndexFunc(listed, func(s string) bool { return s == v || !a.CaseExact() && strings.EqualFold(s, v) })
		if len(listed) > 0 && i < 0 {
			return nil, Bad(scimerrors.ScimTypeInvalidValue, "%.64q is none of the values that %s can have: %.256s.", v, a.Name(), strings.Join(listed, ", "))
		}
		if i >= 0 {
			return listed[i], nil
		}
	}
	return v, nil
}

// Fit takes out of a stored resource what the tenant's extensions do not know as it is:
// attributes that are gone, and values of another type than theirs. They are not
// answered, stand in no change's way, and are lost with the next one.
func (k *Kind) Fit(stored Object) {
	kept := make(map[string]any)
	for i := range k.Extensions {
		e := &k.Extensions[i]
		v, ok := Member(stored, e.ID)
		if values, isObject := v.(map[string]any); e.Custom && isObject {
			v, ok = e.fit(values)
		}
		if ok {
			kept[e.ID] = v
		}
	}
	maps.DeleteFunc(stored, func(name string, _ any) bool { return strings.Contains(name, ":") })
	maps.Copy(stored, kept)
}

func (e *Extension) fit(stored map[string]any) (values map[string]any, ok bool) {
	values = make(map[string]any)
	for _, a := range e.Attributes {
		v, ok := Member(stored, a.Name())
		if !ok {
			continue
		}
		checked, err := validate(a, v)
		if err != nil || checked == nil {
			continue
		}
		if checked, err = canonical(a, checked); err == nil {
			values[a.Name()] = checked
		}
	}
	return values, len(values) > 0
}

// KeepImmutable makes sure that a change leaves what an extension has as immutable as it
// was, once it has a value (RFC 7643 §7). restore puts back what the change does not
// name, as PUT has it (RFC 7644 §3.5.1): otherwise it was removed.
func (k *Kind) KeepImmutable(before, now Object, restore bool) error {
	for _, e := range k.Extensions {
		old, _ := before[e.ID].(map[string]any)
		for _, a := range e.Attributes {
			was, ok := old[a.Name()]
			if !ok || a.Mutability() != "immutable" {
				continue
			}
			values, _ := now[e.ID].(map[string]any)
			is, given := values[a.Name()]
			if !given && restore {
				values = maps.Clone(values)
				if values == nil {
					values = make(map[string]any)
				}
				values[a.Name()] = was
				now[e.ID] = values
				continue
			}
			if !reflect.DeepEqual(was, is) {
				return Bad(scimerrors.ScimTypeMutability, "%s:%s does not change once it is set.", e.ID, a.Name())
			}
		}
	}
	return nil
}
