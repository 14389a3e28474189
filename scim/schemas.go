package scim

import (
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"
)

// The URNs of messages (RFC 7644 §8.2).
const (
	patchURN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	listURN  = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
)

// kind is one type of resource: its published schema and how it is addressed.
type kind struct {
	name, endpoint, description string
	// core is the schema as published; full adds the common attributes, which
	// clients write, filter and address alike (RFC 7643 §3.1).
	core, full schema.Schema
	extension  *schema.Schema
}

var userKind = newKind("User", "/Users", "A person who can sign in.", userSchema(), enterpriseSchema())

var groupKind = newKind("Group", "/Groups", "A set of people.", groupSchema(), nil)

func newKind(name, endpoint, description string, core schema.Schema, extension *schema.Schema) *kind {
	full := core
	full.Attributes = slices.Clone(core.Attributes)
	for _, a := range schema.CommonAttributes() {
		// "schemas" is the message's form, not an attribute to be changed.
		if a.Name() == "schemas" {
			continue
		}
		full.Attributes = append(full.Attributes, a)
	}
	return &kind{name: name, endpoint: endpoint, description: description, core: core, full: full, extension: extension}
}

// userSchema is RFC 7643 §4.1 without the password: people sign in at their
// identity provider, so there is nothing to keep and nothing to leak.
func userSchema() schema.Schema {
	s := schema.CoreUserSchema()
	s.Attributes = slices.DeleteFunc(slices.Clone(s.Attributes), func(a schema.CoreAttribute) bool { return a.Name() == "password" })
	s.Description = optional.NewString("A person who can sign in.")
	return s
}

func enterpriseSchema() *schema.Schema {
	s := schema.ExtensionEnterpriseUser()
	return &s
}

// groupSchema is RFC 7643 §4.2 with people as the only members.
func groupSchema() schema.Schema {
	core := schema.CoreGroupSchema()
	core.Description = optional.NewString("A set of people.")
	core.Attributes = schema.Attributes{
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
			Name: "displayName", Required: true, Uniqueness: schema.AttributeUniquenessServer(),
			Description: optional.NewString("The group's name, unique in the tenant whatever its letter case."),
		})),
		schema.ComplexCoreAttribute(schema.ComplexParams{
			Name: "members", MultiValued: true, Description: optional.NewString("The people in the group."),
			SubAttributes: []schema.SimpleParams{
				schema.SimpleStringParams(schema.StringParams{Name: "value", Required: true, CaseExact: true,
					Mutability: schema.AttributeMutabilityImmutable(), Description: optional.NewString("The id of the User.")}),
				schema.SimpleReferenceParams(schema.ReferenceParams{Name: "$ref", ReferenceTypes: []schema.AttributeReferenceType{"User"},
					Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString("The address of the User.")}),
				schema.SimpleStringParams(schema.StringParams{Name: "type", CanonicalValues: []string{"User"},
					Mutability: schema.AttributeMutabilityImmutable(), Description: optional.NewString("The type of resource, always User.")}),
				schema.SimpleStringParams(schema.StringParams{Name: "display",
					Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString("The User's display name.")}),
			},
		}),
	}
	return core
}

// resource is a SCIM resource as JSON, under the schema's own spelling of the
// names; an extension's attributes stand under its URN.
type resource map[string]any

// clean reads what a client wrote into a resource that the schema allows:
// known forms of real clients are brought into the standard's, read-only and
// unknown attributes are passed over (RFC 7644 §3.3, §3.5.1), and null and
// empty lists count as "not there" (RFC 7643 §2.5).
func (k *kind) clean(raw map[string]any) (resource, error) {
	out := make(resource)
	if err := cleanInto(out, raw, k.full.Attributes); err != nil {
		return nil, err
	}
	if k.extension == nil {
		return out, nil
	}
	v, ok := member(raw, k.extension.ID)
	if !ok || v == nil {
		return out, nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, bad(scimerrors.ScimTypeInvalidValue, "%s is not an object.", k.extension.ID)
	}
	ext := make(map[string]any)
	if err := cleanInto(ext, object, k.extension.Attributes); err != nil {
		return nil, err
	}
	if len(ext) > 0 {
		out[k.extension.ID] = ext
	}
	return out, nil
}

func cleanInto(out, raw map[string]any, attrs schema.Attributes) error {
	for _, a := range attrs {
		if a.Mutability() == "readOnly" {
			continue
		}
		v, _ := member(raw, a.Name())
		v, err := validate(a, v)
		if err != nil {
			return err
		}
		if list, ok := v.([]any); ok {
			if err := checkPrimary(a, list); err != nil {
				return err
			}
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
			return nil, bad(scimerrors.ScimTypeInvalidValue, "%s is required.", a.Name())
		}
		return nil, bad(failed.ScimType, "The value of %s is not what the schema allows (%s).", a.Name(), typeName(a))
	}
	switch v := checked[a.Name()].(type) {
	case []any:
		if len(v) == 0 {
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

func typeName(a schema.CoreAttribute) string {
	if a.MultiValued() {
		return "a list of " + a.AttributeType()
	}
	return a.AttributeType()
}

// coerce brings known departures of real clients into the standard's form:
// booleans as strings (Entra ID), a complex value as the bare string of its
// "value" (Entra ID's manager), one element where a list is due, and null for
// "not there". Everything else stays for the schema to judge.
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
		if element != nil {
			out = append(out, coerceOne(a, element))
		}
	}
	return out
}

func coerceOne(a schema.CoreAttribute, v any) any {
	switch v := v.(type) {
	case string:
		if a.AttributeType() == "boolean" {
			if b, ok := boolText(v); ok {
				return b
			}
		}
		if _, ok := a.SubAttributes().ContainsAttribute("value"); ok {
			return map[string]any{"value": v}
		}
	case map[string]any:
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

// boolText reads the booleans that Entra ID sends: "True", "False".
func boolText(s string) (value, ok bool) {
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
		return bad(scimerrors.ScimTypeInvalidValue, "%s has more than one primary value.", a.Name())
	}
	return nil
}
