package scim

import (
	"context"
	"maps"
	"net/http"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"

	"gatehouse/directory"
	"gatehouse/scim/resource"
)

// The discovery endpoints say what this service does, no more and no less
// (RFC 7644 §4, RFC 7643 §5 to §7).

const (
	configURN       = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	resourceTypeURN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	schemaURN       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
)

// unfiltered refuses a filter, which would be passed over here (RFC 7644 §4).
func unfiltered(handle handler) handler {
	return func(c *call, ctx context.Context) (*reply, error) {
		if c.query.Has("filter") {
			return nil, scimerrors.ScimError{Status: http.StatusForbidden, Detail: "There is no filtering here."}
		}
		return handle(c, ctx)
	}
}

func (c *call) serviceProviderConfig(context.Context) (*reply, error) {
	supported := func(yes bool) map[string]any { return map[string]any{"supported": yes} }
	return described(resource.Object{
		"schemas":        []string{configURN},
		"patch":          supported(true),
		"bulk":           map[string]any{"supported": true, "maxOperations": maxBulkOperations, "maxPayloadSize": maxBulk},
		"filter":         map[string]any{"supported": true, "maxResults": directory.MaxPage},
		"changePassword": supported(false),
		"sort":           supported(true),
		"etag":           supported(true),
		"pagination": map[string]any{ // RFC 9865 §4
			"cursor": true, "index": true, "defaultPaginationMethod": "index",
			"defaultPageSize": defaultCount, "maxPageSize": directory.MaxPage, "cursorTimeout": int(cursorLife.Seconds()),
		},
		"authenticationSchemes": []any{map[string]any{
			"type": "oauthbearertoken", "name": "Bearer token", "primary": true,
			"description": "A SCIM token of this tenant, in the Authorization header (RFC 6750).",
			"specUri":     "https://www.rfc-editor.org/info/rfc6750",
		}, map[string]any{
			"type": "oauth2", "name": "OAuth 2.0 client credentials", "primary": false,
			"description": "A client of this tenant gets access tokens for an hour, which are bearer tokens (RFC 6749 §4.4), at " + strings.TrimSuffix(c.base, root) + "/.gatehouse/oauth/token.",
			"specUri":     "https://www.rfc-editor.org/info/rfc6749",
		}},
		"meta": map[string]any{"resourceType": "ServiceProviderConfig", "location": c.base + "/ServiceProviderConfig"},
	}), nil
}

func (c *call) listResourceTypes(context.Context) (*reply, error) {
	return wholeList([]resource.Object{c.resourceType(c.kinds.User), c.resourceType(c.kinds.Group)}), nil
}

func (c *call) getResourceType(context.Context) (*reply, error) {
	for _, k := range []*resource.Kind{c.kinds.User, c.kinds.Group} {
		if k.Name == c.id {
			return described(c.resourceType(k)), nil
		}
	}
	return nil, errNotFound()
}

func (c *call) resourceType(k *resource.Kind) resource.Object {
	res := resource.Object{
		"schemas": []string{resourceTypeURN}, "id": k.Name, "name": k.Name, "description": k.Description,
		"endpoint": k.Endpoint, "schema": k.Core.ID,
		"meta": map[string]any{"resourceType": "ResourceType", "location": c.base + "/ResourceTypes/" + k.Name},
	}
	if len(k.Extensions) > 0 {
		list := make([]any, len(k.Extensions))
		for i, e := range k.Extensions {
			list[i] = map[string]any{"schema": e.ID, "required": e.Required}
		}
		res["schemaExtensions"] = list
	}
	return res
}

func (c *call) publishedSchemas() (all []schema.Schema) {
	for _, k := range []*resource.Kind{c.kinds.User, c.kinds.Group} {
		all = append(all, k.Core)
		for _, e := range k.Extensions {
			all = append(all, e.Schema)
		}
	}
	return all
}

func (c *call) listSchemas(context.Context) (*reply, error) {
	var items []resource.Object
	for _, s := range c.publishedSchemas() {
		items = append(items, c.schema(s))
	}
	return wholeList(items), nil
}

func (c *call) getSchema(context.Context) (*reply, error) {
	for _, s := range c.publishedSchemas() {
		if s.ID == c.id {
			return described(c.schema(s)), nil
		}
	}
	return nil, errNotFound()
}

func (c *call) schema(s schema.Schema) resource.Object {
	res := resource.Object(s.ToMap())
	withoutEmpty(res)
	res["schemas"] = []string{schemaURN}
	res["meta"] = map[string]any{"resourceType": "Schema", "location": c.base + "/Schemas/" + s.ID}
	return res
}

// withoutEmpty takes out the names and descriptions that nobody has given: what is empty
// is not there (RFC 7643 §2.5).
func withoutEmpty(res map[string]any) {
	maps.DeleteFunc(res, func(_ string, v any) bool { return v == "" })
	for _, list := range []string{"attributes", "subAttributes"} {
		inner, _ := res[list].([]map[string]any)
		for _, attribute := range inner {
			withoutEmpty(attribute)
		}
	}
}

// described answers with one description, which stands where its meta.location says
// (RFC 7643 §3.1).
func described(res resource.Object) *reply {
	meta, _ := res["meta"].(map[string]any)
	location, _ := meta["location"].(string)
	return &reply{status: http.StatusOK, body: res, location: location}
}

func wholeList(items []resource.Object) *reply {
	return listReply(1, len(items), items)
}
