package scim

import (
	"sync"

	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"

	"gatehouse/identity"
	"gatehouse/scim/resource"
	"gatehouse/tenants"
)

// maxExtended bounds the tenants whose kinds are remembered; whatever the map yields
// first makes room.
const maxExtended = 1024

// extensions remembers what people are in tenants that have schemas of their own, each
// as of one version of its settings.
type extensions struct {
	mu    sync.Mutex
	kinds map[identity.TenantID]extended
}

type extended struct {
	version uint64
	kinds   resource.Kinds
}

// of gives the kinds of a tenant whose settings have this version.
func (e *extensions) of(tenant identity.TenantID, schemas []tenants.SCIMSchema, version uint64) resource.Kinds {
	if len(schemas) == 0 {
		return resource.Standard
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	known, ok := e.kinds[tenant]
	if ok && known.version == version {
		return known.kinds
	}
	for other := range e.kinds {
		if ok || len(e.kinds) < maxExtended {
			break
		}
		delete(e.kinds, other)
	}
	if e.kinds == nil {
		e.kinds = make(map[identity.TenantID]extended)
	}
	kinds := extend(schemas)
	e.kinds[tenant] = extended{version, kinds}
	return kinds
}

// extend gives the kinds of a tenant with these schemas, which its settings have been
// checked for.
func extend(schemas []tenants.SCIMSchema) resource.Kinds {
	added := make([]resource.Extension, len(schemas))
	for i, s := range schemas {
		attributes := make(schema.Attributes, len(s.Attributes))
		for j, a := range s.Attributes {
			attributes[j] = attributeOf(a)
		}
		added[i] = resource.Extension{Custom: true, Required: s.Required, Schema: schema.Schema{
			ID: s.URN, Name: optional.NewString(s.Name), Description: optional.NewString(s.Description), Attributes: attributes}}
	}
	return resource.Kinds{User: resource.User.With(added...), Group: resource.Group}
}

func attributeOf(a tenants.SCIMAttribute) schema.CoreAttribute {
	mutability := schema.AttributeMutabilityReadWrite()
	if a.Immutable {
		mutability = schema.AttributeMutabilityImmutable()
	}
	if a.Type != tenants.ComplexType {
		return schema.SimpleCoreAttribute(simple(tenants.SCIMSubAttribute{Name: a.Name, Type: a.Type, Description: a.Description,
			CaseExact: a.CaseExact, CanonicalValues: a.CanonicalValues, ReferenceTypes: a.ReferenceTypes}, a.MultiValued, a.Required, mutability))
	}
	parts := make([]schema.SimpleParams, len(a.SubAttributes))
	for i, p := range a.SubAttributes {
		parts[i] = simple(p, false, false, schema.AttributeMutabilityReadWrite())
	}
	return schema.ComplexCoreAttribute(schema.ComplexParams{Name: a.Name, Description: optional.NewString(a.Description),
		MultiValued: a.MultiValued, Required: a.Required, Mutability: mutability, SubAttributes: parts})
}

// simple is an attribute that is not complex, with the characteristics that its type has
// in any case (RFC 7643 §2.3).
func simple(p tenants.SCIMSubAttribute, several, required bool, mutability schema.AttributeMutability) schema.SimpleParams {
	words := optional.NewString(p.Description)
	switch p.Type {
	case tenants.BooleanType:
		return schema.SimpleBooleanParams(schema.BooleanParams{Name: p.Name, Description: words, MultiValued: several, Required: required, Mutability: mutability})
	case tenants.DecimalType:
		return schema.SimpleNumberParams(schema.NumberParams{Name: p.Name, Description: words, MultiValued: several, Required: required, Mutability: mutability, Type: schema.AttributeTypeDecimal()})
	case tenants.IntegerType:
		return schema.SimpleNumberParams(schema.NumberParams{Name: p.Name, Description: words, MultiValued: several, Required: required, Mutability: mutability, Type: schema.AttributeTypeInteger()})
	case tenants.DateTimeType:
		return schema.SimpleDateTimeParams(schema.DateTimeParams{Name: p.Name, Description: words, MultiValued: several, Required: required, Mutability: mutability})
	case tenants.BinaryType:
		return schema.SimpleBinaryParams(schema.BinaryParams{Name: p.Name, Description: words, MultiValued: several, Required: required, Mutability: mutability})
	case tenants.ReferenceType:
		types := []schema.AttributeReferenceType{schema.AttributeReferenceTypeExternal}
		if len(p.ReferenceTypes) > 0 {
			types = nil
		}
		for _, t := range p.ReferenceTypes {
			types = append(types, schema.AttributeReferenceType(t))
		}
		return schema.SimpleReferenceParams(schema.ReferenceParams{Name: p.Name, Description: words, MultiValued: several, Required: required, Mutability: mutability, ReferenceTypes: types})
	}
	return schema.SimpleStringParams(schema.StringParams{Name: p.Name, Description: words, MultiValued: several, Required: required, Mutability: mutability,
		CaseExact: p.CaseExact, CanonicalValues: p.CanonicalValues})
}
