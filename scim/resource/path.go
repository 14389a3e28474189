package resource

import (
	"errors"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
	filter "github.com/scim2/filter-parser/v2"

	"gatehouse/identity"
)

// target is what a PATCH path points at (RFC 7644 §3.5.2).
type target struct {
	extension string // the URN of the extension that the attribute belongs to
	attr      schema.CoreAttribute
	where     *elementFilter        // nil: every element
	sub       *schema.CoreAttribute // nil: the whole value
}

// resolve finds what a path points at and that a client may change it.
func (k *Kind) resolve(path string) (*target, error) {
	if err := checkExpression(path); err != nil {
		return nil, Bad(scimerrors.ScimTypeInvalidPath, "A path cannot be used: %v.", err)
	}
	path = upperEscapes(path)
	if strings.EqualFold(path, "password") {
		return nil, Bad(scimerrors.ScimTypeInvalidPath, "There are no passwords here: people sign in at their identity provider. Switch the synchronisation of passwords off.")
	}
	parsed, err := parsePath(path)
	if err != nil {
		return nil, Bad(scimerrors.ScimTypeInvalidPath, "The path %.256q does not follow the grammar.", path)
	}
	t := new(target)
	unknown := Bad(scimerrors.ScimTypeInvalidPath, "The path %.256q names nothing that this service knows.", path)
	attr, extension, ok := k.Attribute(strings.TrimSuffix(parsed.AttributePath.URI(), ":"), parsed.AttributePath.AttributeName)
	if !ok || extension == "" && attr.Name() == schemas.Name() {
		return nil, unknown
	}
	t.attr, t.extension = attr, extension

	sub := parsed.AttributePath.SubAttributeName()
	if parsed.ValueExpression != nil {
		parts := partsOf(attr)
		if sub != "" || len(parts) == 0 {
			return nil, Bad(scimerrors.ScimTypeInvalidPath, "In the path %.256q the brackets are in the wrong place.", path)
		}
		if sub = parsed.SubAttributeName(); sub != "" && !attr.HasSubAttributes() {
			return nil, unknown
		}
		t.where, err = newElementFilter(parsed.ValueExpression, parts)
		if t.where != nil && k.isMembers(t) {
			t.where.fold = identity.NameKey // their names, in all of their forms
		}
		if errors.Is(err, errNoPart) {
			return nil, unknown
		}
		if err != nil {
			return nil, Bad(scimerrors.ScimTypeInvalidFilter, "The filter in the path %.256q cannot be used: %v.", path, err)
		}
	}
	if sub != "" {
		a, ok := attr.SubAttributes().ContainsAttribute(sub)
		if !ok {
			return nil, unknown
		}
		t.sub = &a
	}
	return t, t.checkMutability()
}

// parsePath reads a path. The library knows two comparisons in its brackets at most,
// where RFC 7644 §3.5.2 has any filter.
func parsePath(text string) (path filter.Path, err error) {
	before, inside, behind, found, err := cutBrackets(text)
	if err != nil {
		return path, err
	}
	if path.AttributePath, err = filter.ParseAttrPath([]byte(before)); err != nil || !found {
		return path, err
	}
	path.ValueExpression = inside
	if behind == "" {
		return path, nil
	}
	sub, ok := strings.CutPrefix(behind, ".")
	if !ok || sub == "" {
		return path, errGrammar
	}
	path.SubAttribute = &sub
	return path, nil
}

// partsOf are what a filter in brackets can speak of: several plain values have a "value"
// each (RFC 7643 §2.4).
func partsOf(a schema.CoreAttribute) schema.Attributes {
	if a.HasSubAttributes() || !a.MultiValued() {
		return a.SubAttributes()
	}
	var value schema.SimpleParams
	switch a.AttributeType() {
	case "boolean":
		value = schema.SimpleBooleanParams(schema.BooleanParams{Name: "value"})
	case "integer":
		value = schema.SimpleNumberParams(schema.NumberParams{Name: "value", Type: schema.AttributeTypeInteger()})
	case "decimal":
		value = schema.SimpleNumberParams(schema.NumberParams{Name: "value", Type: schema.AttributeTypeDecimal()})
	case "dateTime":
		value = schema.SimpleDateTimeParams(schema.DateTimeParams{Name: "value"})
	case "binary":
		value = schema.SimpleBinaryParams(schema.BinaryParams{Name: "value"})
	case "reference":
		value = schema.SimpleReferenceParams(schema.ReferenceParams{Name: "value"})
	default:
		value = schema.SimpleStringParams(schema.StringParams{Name: "value", CaseExact: a.CaseExact()})
	}
	return schema.Attributes{schema.SimpleCoreAttribute(value)}
}

func (t *target) checkMutability() error {
	if t.attr.Mutability() == "readOnly" {
		return Bad(scimerrors.ScimTypeMutability, "%s cannot be changed by a client.", t.attr.Name())
	}
	if t.sub != nil && t.sub.Mutability() != "readWrite" {
		return Bad(scimerrors.ScimTypeMutability, "%s.%s cannot be changed on its own.", t.attr.Name(), t.sub.Name())
	}
	return nil
}
