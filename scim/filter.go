package scim

import (
	"strings"
	"time"

	scimerrors "github.com/elimity-com/scim/errors"
	filter "github.com/scim2/filter-parser/v2"

	"gatehouse/directory"
	"gatehouse/scim/resource"
)

// searchable says by which attributes people and groups can be found, under
// the lower-case name, and what the directory calls them. A complex attribute
// with values stands for its "value" (RFC 7644 §3.4.2.2).
var searchable = map[*resource.Kind]map[string]directory.Attr{
	resource.User: {
		"id": directory.AttrID, "username": directory.AttrUserName, "displayname": directory.AttrDisplayName,
		"externalid": directory.AttrExternalID, "active": directory.AttrActive,
		"emails": directory.AttrEmail, "emails.value": directory.AttrEmail,
		"groups": directory.AttrGroup, "groups.value": directory.AttrGroup,
		"meta.created": directory.AttrCreated, "meta.lastmodified": directory.AttrUpdated,
	},
	resource.Group: {
		"id": directory.AttrID, "displayname": directory.AttrDisplayName, "externalid": directory.AttrExternalID,
		"members": directory.AttrMember, "members.value": directory.AttrMember,
		"meta.created": directory.AttrCreated, "meta.lastmodified": directory.AttrUpdated,
	},
}

var operators = map[filter.CompareOperator]directory.Op{
	filter.EQ: directory.Equal, filter.NE: directory.NotEqual, filter.CO: directory.Contains,
	filter.SW: directory.StartsWith, filter.EW: directory.EndsWith, filter.PR: directory.Present,
	filter.GT: directory.Greater, filter.GE: directory.GreaterOrEqual, filter.LT: directory.Less, filter.LE: directory.LessOrEqual,
}

// directoryFilter reads a filter parameter; an empty one lets everything through.
func directoryFilter(k *resource.Kind, text string) (directory.Filter, error) {
	if text == "" {
		return nil, nil
	}
	e, err := k.ParseFilter(text)
	if err != nil {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidFilter, "The filter cannot be used: %v.", err)
	}
	return translate(k, e, "")
}

// translate turns the library's tree into the directory's. within is the
// attribute whose value path is being read, with a dot: "emails.".
func translate(k *resource.Kind, e filter.Expression, within string) (directory.Filter, error) {
	switch e := e.(type) {
	case *filter.LogicalExpression:
		return translateLogical(k, e, within)
	case *filter.NotExpression:
		of, err := translate(k, e.Expression, within)
		return directory.Not{Of: of}, err
	case *filter.ValuePath:
		// All that can be searched in an element is its value, so that "in one
		// element" and "in any" come to the same for a single comparison only.
		if _, single := e.ValueFilter.(*filter.AttributeExpression); single && within == "" && e.AttributePath.SubAttribute == nil {
			return translate(k, e.ValueFilter, strings.ToLower(e.AttributePath.AttributeName)+".")
		}
		return nil, resource.Bad(scimerrors.ScimTypeInvalidFilter, "A filter inside brackets can have one comparison with the value, here.")
	case *filter.AttributeExpression:
		return translateComparison(k, e, within)
	}
	return nil, resource.Bad(scimerrors.ScimTypeInvalidFilter, "The filter has a part of an unknown sort.")
}

// translateLogical flattens chains, which the parser nests to the left.
func translateLogical(k *resource.Kind, e *filter.LogicalExpression, within string) (directory.Filter, error) {
	var parts []directory.Filter
	chain := e
	for {
		right, err := translate(k, chain.Right, within)
		if err != nil {
			return nil, err
		}
		parts = append(parts, right)
		next, ok := chain.Left.(*filter.LogicalExpression)
		if !ok || next.Operator != e.Operator {
			break
		}
		chain = next
	}
	left, err := translate(k, chain.Left, within)
	if err != nil {
		return nil, err
	}
	if parts = append(parts, left); e.Operator == filter.AND {
		return directory.All(parts), nil
	}
	return directory.Any(parts), nil
}

func translateComparison(k *resource.Kind, e *filter.AttributeExpression, within string) (directory.Filter, error) {
	name := within + strings.ToLower(e.AttributePath.AttributeName)
	if sub := e.AttributePath.SubAttributeName(); sub != "" {
		name += "." + strings.ToLower(sub)
	}
	attr, ok := searchable[k][name]
	if !ok {
		return nil, resource.Bad(scimerrors.ScimTypeInvalidFilter, "There is no filtering by %s here.", e.AttributePath)
	}
	c := directory.Compare{Attr: attr, Op: operators[e.Operator], Value: e.CompareValue}
	text, isText := e.CompareValue.(string)
	if isText && attr == directory.AttrActive {
		if b, ok := resource.BoolText(text); ok {
			c.Value = b
		}
	}
	if isText && (attr == directory.AttrCreated || attr == directory.AttrUpdated) {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, resource.Bad(scimerrors.ScimTypeInvalidFilter, "%s is compared with a time such as 2026-01-31T08:00:00Z.", e.AttributePath)
		}
		c.Value = at
	}
	return c, nil
}
