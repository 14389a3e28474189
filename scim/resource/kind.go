package resource

import (
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"
)

// Kind is one type of resource: its published schema and how it is addressed.
type Kind struct {
	Name, Endpoint, Description string
	// Core is the schema as published; full adds the common attributes, which
	// clients write, filter and address alike (RFC 7643 §3.1).
	Core, full schema.Schema
	Extensions []Extension
}

// Extension is a schema that adds to a kind's own (RFC 7643 §3.3).
type Extension struct {
	schema.Schema
	Required bool // a resource must have it (RFC 7643 §6)
	// Custom is one of a tenant's own: its attributes are known by their whole names
	// alone, so that whatever it has, no other name means something else.
	Custom bool
}

// Kinds are what resources are in one tenant.
type Kinds struct{ User, Group *Kind }

// Standard is what they are where the tenant adds nothing.
var Standard = Kinds{User, Group}

// Of gives the tenant's own of a kind; nil if it is nil.
func (k Kinds) Of(kind *Kind) *Kind {
	switch {
	case kind == nil:
		return nil
	case kind.Is(Group):
		return k.Group
	}
	return k.User
}

// Is reports whether both are of the same resources, whatever extensions they have.
func (k *Kind) Is(other *Kind) bool { return k.Name == other.Name }

// With is the kind with further extensions.
func (k *Kind) With(extensions ...Extension) *Kind {
	with := *k
	with.Extensions = slices.Concat(k.Extensions, extensions)
	return &with
}

// User is a person (RFC 7643 §4.1).
var User = newKind("User", "/Users", "A person who can sign in.", userSchema(), Extension{Schema: schema.ExtensionEnterpriseUser()})

// Group is a set of people (RFC 7643 §4.2).
var Group = newKind("Group", "/Groups", "A set of people.", groupSchema())

func newKind(name, endpoint, description string, core schema.Schema, extensions ...Extension) *Kind {
	full := core
	full.Attributes = slices.Clone(core.Attributes)
	for _, a := range schema.CommonAttributes() {
		// "schemas" is the message's form, not an attribute to be changed.
		if a.Name() == "schemas" {
			continue
		}
		full.Attributes = append(full.Attributes, a)
	}
	return &Kind{Name: name, Endpoint: endpoint, Description: description, Core: core, full: full, Extensions: extensions}
}

// userSchema is RFC 7643 §4.1 without the password: people sign in at their
// identity provider, so there is nothing to keep and nothing to leak.
func userSchema() schema.Schema {
	s := schema.CoreUserSchema()
	s.Attributes = slices.DeleteFunc(slices.Clone(s.Attributes), func(a schema.CoreAttribute) bool { return a.Name() == "password" })
	for i, a := range s.Attributes {
		if a.Name() == "active" {
			s.Attributes[i] = schema.SimpleCoreAttribute(schema.SimpleBooleanParams(schema.BooleanParams{Name: a.Name(), Description: optional.NewString(
				"Whether the person can sign in: true for whoever is made without it, and left as it is by a PUT without it. It can be set, but not removed.")}))
		}
	}
	s.Description = optional.NewString("A person who can sign in.")
	return s
}

// groupSchema is RFC 7643 §4.2: people and groups can be members.
func groupSchema() schema.Schema {
	core := schema.CoreGroupSchema()
	core.Description = optional.NewString("A set of people.")
	core.Attributes = schema.Attributes{
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{
			Name: "displayName", Required: true, Uniqueness: schema.AttributeUniquenessServer(),
			Description: optional.NewString("The group's name, unique in the tenant whatever its letter case."),
		})),
		schema.ComplexCoreAttribute(schema.ComplexParams{
			Name: "members", MultiValued: true, Description: optional.NewString("The people and groups in the group."),
			SubAttributes: []schema.SimpleParams{
				schema.SimpleStringParams(schema.StringParams{Name: "value", Required: true, CaseExact: true,
					Mutability: schema.AttributeMutabilityImmutable(), Description: optional.NewString("The id of the User or Group.")}),
				schema.SimpleReferenceParams(schema.ReferenceParams{Name: "$ref", ReferenceTypes: []schema.AttributeReferenceType{"User", "Group"},
					Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString("The address of the User or Group.")}),
				schema.SimpleStringParams(schema.StringParams{Name: "type", CanonicalValues: []string{"User", "Group"},
					Mutability: schema.AttributeMutabilityImmutable(), Description: optional.NewString("What the member is; where it is left out, the id says so.")}),
				schema.SimpleStringParams(schema.StringParams{Name: "display",
					Mutability: schema.AttributeMutabilityReadOnly(), Description: optional.NewString("The User's or Group's display name.")}),
			},
		}),
	}
	return core
}

// Object is a resource as JSON, under the schema's own spelling of the names;
// an extension's attributes stand under its URN.
type Object map[string]any

// NameSchemas sets the URNs of what a resource holds (RFC 7643 §3).
func (k *Kind) NameSchemas(res Object) {
	schemas := []string{k.Core.ID}
	for _, e := range k.Extensions {
		if _, ok := res[e.ID]; ok {
			schemas = append(schemas, e.ID)
		}
	}
	res["schemas"] = schemas
}

// CheckSchemas makes sure that a message says what it is (RFC 7643 §3,
// RFC 7644 §3.1). URNs that are unknown here are passed over: providers name
// their own extensions.
func CheckSchemas(body map[string]any, urn string) error {
	v, _ := Member(body, "schemas")
	list, _ := v.([]any)
	for _, s := range list {
		if text, ok := s.(string); ok && strings.EqualFold(text, urn) {
			return nil
		}
	}
	return Bad(scimerrors.ScimTypeInvalidSyntax, "The message must name %s among its schemas.", urn)
}
