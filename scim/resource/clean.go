package resource

import (
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
)

// Clean reads what a client wrote into a resource that the schema allows:
// known forms of real clients are brought into the standard's, read-only and
// unknown attributes are passed over (RFC 7644 §3.3, §3.5.1), and null and
// empty lists count as "not there" (RFC 7643 §2.5).
func (k *Kind) Clean(raw map[string]any) (Object, error) {
	out := make(Object)
	if err := cleanInto(out, raw, k.full.Attributes); err != nil {
		return nil, err
	}
	for _, e := range k.Extensions {
		v, ok := Member(raw, e.ID)
		if !ok || v == nil {
			continue
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil, Bad(scimerrors.ScimTypeInvalidValue, "%s is not an object.", e.ID)
		}
		values := make(map[string]any)
		if err := cleanInto(values, object, e.Attributes); err != nil {
			return nil, err
		}
		if len(values) > 0 {
			out[e.ID] = values
		}
	}
	return out, nil
}

func cleanInto(out, raw map[string]any, attrs schema.Attributes) error {
	for _, a := range attrs {
		if a.Mutability() == "readOnly" {
			continue
		}
		v, _ := Member(raw, a.Name())
		v, err := validate(a, v)
		if err != nil {
			return err
		}
		if list, ok := v.([]any); ok {
			if list, _, err = mergeValues(a.Name(), nil, list); err != nil {
				return err
			}
			if err := checkPrimary(a, list); err != nil {
				return err
			}
			v = list
		}
		if v != nil {
			out[a.Name()] = v
		}
	}
	return nil
}

// validate gives v as the library has checked it against the attribute, or nil
// where nothing is left. One attribute at a time, so that the error can name it.
func validate(a schema.CoreAttribute, v any) (any, error) {
	one := schema.Schema{Attributes: schema.Attributes{a}}
	checked, failed := one.Validate(map[string]any{a.Name(): coerce(a, v)})
	if failed != nil {
		if v == nil {
			return nil, Bad(scimerrors.ScimTypeInvalidValue, "%s is required.", a.Name())
		}
		return nil, Bad(failed.ScimType, "The value of %s is not what the schema allows (%s).", a.Name(), typeName(a))
	}
	switch v := checked[a.Name()].(type) {
	case []any:
		// What holds nothing but unknown attributes is not there (RFC 7644 §3.3).
		if v = slices.DeleteFunc(v, isEmpty); len(v) == 0 {
			return nil, nil
		}
		return v, nil
	case map[string]any:
		if len(v) == 0 {
			return nil, nil
		}
		return v, nil
	default:
		return v, nil
	}
}

func isEmpty(element any) bool {
	object, ok := element.(map[string]any)
	return ok && len(object) == 0
}

func typeName(a schema.CoreAttribute) string {
	if a.MultiValued() {
		return "a list of " + a.AttributeType()
	}
	return a.AttributeType()
}

// coerce brings known departures of real clients into the standard's form:
// booleans as strings (Entra ID), a complex value as the bare string of its
// "value" (Entra ID's manager), one element where a list is due, and null or no
// text for "not there". Everything else stays for the schema to judge.
func coerce(a schema.CoreAttribute, v any) any {
	if v == nil {
		return nil
	}
	if !a.MultiValued() {
		return coerceOne(a, v)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]any, 0, len(list))
	for _, element := range list {
		if element = coerceOne(a, element); element != nil {
			out = append(out, element)
		}
	}
	return out
}

func coerceOne(a schema.CoreAttribute, v any) any {
	switch v := v.(type) {
	case string:
		if a.AttributeType() == "boolean" {
			if b, ok := BoolText(v); ok {
				return b
			}
		}
		if v == "" && a.HasSubAttributes() {
			return nil
		}
		if _, ok := a.SubAttributes().ContainsAttribute("value"); ok {
			return map[string]any{"value": v}
		}
	case map[string]any:
		if a.Name() == "roles" {
			v = readRole(v)
		}
		out := make(map[string]any, len(v))
		for name, value := range v {
			if sub, ok := a.SubAttributes().ContainsAttribute(name); ok {
				value = coerce(sub, value)
			}
			if value != nil {
				out[name] = value
			}
		}
		return out
	}
	return v
}

// readRole reads an element of roles whose value is itself a role as JSON: what
// Entra ID's AppRoleAssignmentsComplex puts into a PATCH, though not into a POST.
func readRole(element map[string]any) map[string]any {
	v, _ := Member(element, "value")
	text, _ := v.(string)
	if !strings.HasPrefix(text, "{") {
		return element
	}
	decoded, err := decodeStrict([]byte(text))
	role, ok := decoded.(map[string]any)
	if err != nil || !ok {
		return element
	}
	value, ok := role["value"].(string)
	if !ok || strings.HasPrefix(value, "{") { // once: what is clean stays as it is
		return element
	}
	out := make(map[string]any, len(element)+1)
	for name, v := range element {
		if !strings.EqualFold(name, "value") {
			out[name] = v
		}
	}
	out["value"] = value
	if name, ok := role["displayName"].(string); ok {
		if _, given := Member(element, "display"); !given {
			out["display"] = name
		}
	}
	return out
}

// BoolText reads the booleans that Entra ID sends: "True", "False".
func BoolText(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// checkPrimary holds a client to at most one primary value (RFC 7643 §2.4).
func checkPrimary(a schema.CoreAttribute, list []any) error {
	count := 0
	for _, element := range list {
		if object, ok := element.(map[string]any); ok && object["primary"] == true {
			count++
		}
	}
	if count > 1 {
		return Bad(scimerrors.ScimTypeInvalidValue, "%s has more than one primary value.", a.Name())
	}
	return nil
}
