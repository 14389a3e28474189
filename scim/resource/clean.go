package resource

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
)

// Clean reads what a client wrote into a resource that the schema allows:
// known forms of real clients are brought into the standard's, read-only and
// unknown attributes are passed over (RFC 7644 §3.3, §3.5.1), and null and
// empty lists count as "not there" (RFC 7643 §2.5).
func (k *Kind) Clean(raw map[string]any) (Object, error) { return k.clean(raw, true) }

// CleanPatched is [Kind.Clean] for what PATCH has made of a resource. What its tenant's
// extensions have come to require since keeps nobody from being changed: from being
// deactivated, above all.
func (k *Kind) CleanPatched(raw map[string]any) (Object, error) { return k.clean(raw, false) }

func (k *Kind) clean(raw map[string]any, whole bool) (Object, error) {
	out := make(Object)
	if err := cleanInto(out, raw, k.full.Attributes); err != nil {
		return nil, err
	}
	for i := range k.Extensions {
		values, err := k.Extensions[i].clean(raw, whole)
		if err != nil {
			return nil, err
		}
		if values != nil {
			out[k.Extensions[i].ID] = values
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
			if list, _, err = mergeValues(a, nil, list); err != nil {
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
// "value" (Entra ID's manager) and the other way round, numbers as text, one element
// where a list is due, and null or no text for "not there". Times are brought into UTC.
// Everything else stays for the schema to judge.
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
		switch a.AttributeType() {
		case "boolean":
			if b, ok := BoolText(v); ok {
				return b
			}
		case "integer", "decimal":
			if v == "" {
				return nil
			}
			if n := json.Number(v); json.Valid([]byte(v)) {
				if _, err := n.Float64(); err == nil {
					return coerceOne(a, n)
				}
			}
		case "dateTime":
			if v == "" {
				return nil
			}
			if at, ok := utc(v); ok {
				return at
			}
			return false // which is no time, to the schema either
		}
		if v == "" && a.HasSubAttributes() {
			return nil
		}
		if _, ok := a.SubAttributes().ContainsAttribute("value"); ok {
			return map[string]any{"value": v}
		}
	case json.Number:
		n, err := v.Int64()
		if a.AttributeType() == "integer" && err == nil && (n > maxInteger || n < -maxInteger) {
			return false // as for times
		}
	case map[string]any:
		if inner, ok := Member(v, "value"); ok && len(v) == 1 && a.MultiValued() && !a.HasSubAttributes() {
			return coerceOne(a, inner)
		}
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

// maxInteger is what readers of JSON agree on, databases too (RFC 8259 §6).
const maxInteger = 1<<53 - 1

// ParseTime reads a time (RFC 7643 §2.3.5); one without a zone is taken to be in UTC.
func ParseTime(text string) (at time.Time, ok bool) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", text)
	}
	at = at.UTC()
	return at, err == nil && at.Year() >= 1 && at.Year() <= 9999
}

// utc writes a time as RFC 3339 has it in UTC, so that two that are the same read alike.
func utc(text string) (string, bool) {
	at, ok := ParseTime(text)
	return at.Format(time.RFC3339Nano), ok
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
