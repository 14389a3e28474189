package scim

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/scim/resource"
)

const searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// search is a list whose parameters are in the body, because they are long or not for
// logs (RFC 7644 §3.4.3). Those of the URL do not count.
func (c *call) search(ctx context.Context) (*reply, error) {
	body, err := c.read()
	if err != nil {
		return nil, err
	}
	if err := resource.CheckSchemas(body, searchURN); err != nil {
		return nil, err
	}
	if c.query, err = readSearch(body); err != nil {
		return nil, err
	}
	if c.projection, err = resource.ReadProjection(c.query); err != nil {
		return nil, err
	}
	return c.list(ctx)
}

// parameters are what a SearchRequest can have (RFC 7644 §3.4.3, RFC 9865 §3), under
// their names in lower case, with how each is read.
var parameters = map[string]struct {
	name string
	read func(any) (string, bool)
}{
	"attributes": {"attributes", readNames}, "excludedattributes": {"excludedAttributes", readNames},
	"filter": {"filter", readText}, "sortby": {"sortBy", readText}, "sortorder": {"sortOrder", readText}, "cursor": {"cursor", readText},
	"startindex": {"startIndex", readWhole}, "count": {"count", readWhole},
}

// readSearch gives a SearchRequest as the parameters of a GET. What is unknown is
// refused: passed over, it would answer with more than was asked for.
func readSearch(body map[string]any) (url.Values, error) {
	query := make(url.Values)
	for name, v := range body {
		if strings.EqualFold(name, "schemas") || v == nil {
			continue
		}
		p, ok := parameters[strings.ToLower(name)]
		if !ok {
			return nil, resource.Bad(scimerrors.ScimTypeInvalidSyntax, "A search has no %.64q.", name)
		}
		text, ok := p.read(v)
		if !ok {
			return nil, resource.Bad(scimerrors.ScimTypeInvalidValue, "The value of %s is not what a search has there.", p.name)
		}
		query.Set(p.name, text)
	}
	return query, nil
}

func readText(v any) (string, bool) {
	text, ok := v.(string)
	return text, ok
}

// readWhole reads a number; whether it is one that is of use is said where it is used.
func readWhole(v any) (string, bool) {
	n, ok := v.(json.Number)
	return string(n), ok
}

func readNames(v any) (string, bool) {
	list, ok := v.([]any)
	names := make([]string, 0, len(list))
	for _, v := range list {
		name, isText := v.(string)
		if !isText || strings.TrimSpace(name) == "" || strings.Contains(name, ",") {
			return "", false
		}
		names = append(names, name)
	}
	return strings.Join(names, ","), ok
}
