package resource

import (
	"errors"
	"strings"

	"github.com/elimity-com/scim/schema"
	filter "github.com/scim2/filter-parser/v2"
)

// schemas is an attribute that can be asked for, but not changed.
var schemas = schema.SchemasAttributes()

// Attribute finds an attribute as a filter or an order names it (RFC 7644 §3.10):
// extension is the URN of the extension that it belongs to. Where no URN is given,
// the extensions' attributes come after the core's, and those of a tenant's own are none.
func (k *Kind) Attribute(urn, name string) (a schema.CoreAttribute, extension string, ok bool) {
	if urn == "" || strings.EqualFold(urn, k.Core.ID) {
		if strings.EqualFold(name, schemas.Name()) {
			return schemas, "", true
		}
		if a, ok = k.full.Attributes.ContainsAttribute(name); ok {
			return a, "", true
		}
	}
	for _, e := range k.Extensions {
		if urn == "" && e.Custom || urn != "" && !strings.EqualFold(urn, e.ID) {
			continue
		}
		if a, ok = e.Attributes.ContainsAttribute(name); ok {
			return a, e.ID, true
		}
	}
	return a, "", false
}

// ParseAttribute reads the name of an attribute, such as "name.familyName" or one
// with its schema's URN in front (RFC 7644 §3.10).
func ParseAttribute(text string) (filter.AttributePath, error) {
	if err := checkExpression(text); err != nil {
		return filter.AttributePath{}, err
	}
	path, err := filter.ParseAttrPath([]byte(strings.TrimSpace(text)))
	if err != nil {
		return filter.AttributePath{}, errors.New("it is no name of an attribute")
	}
	return path, nil
}
