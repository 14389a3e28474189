package scim

import (
	"context"
	"net/http"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/scim/resource"
)

// endpoint is one address with one method (RFC 7644 §3.2). In the pattern,
// {id} stands for one segment.
type endpoint struct {
	method, pattern string
	kind            *resource.Kind // of resource; nil where there is none or every one
	handle          handler
}

type handler func(*call, context.Context) (*reply, error)

var endpoints = []endpoint{
	{http.MethodGet, root, nil, projected((*call).list)},
	{http.MethodGet, root + "/", nil, projected((*call).list)},
	{http.MethodPost, root + searchPath, nil, (*call).search},

	{http.MethodGet, root + "/Users", resource.User, projected((*call).list)},
	{http.MethodPost, root + "/Users" + searchPath, resource.User, (*call).search},
	{http.MethodPost, root + "/Users", resource.User, projected((*call).createUser)},
	{http.MethodGet, root + "/Users/{id}", resource.User, projected((*call).getUser)},
	{http.MethodPut, root + "/Users/{id}", resource.User, projected((*call).replaceUser)},
	{http.MethodPatch, root + "/Users/{id}", resource.User, projected((*call).patchUser)},
	{http.MethodDelete, root + "/Users/{id}", resource.User, (*call).deleteUser},

	{http.MethodGet, root + "/Groups", resource.Group, projected((*call).list)},
	{http.MethodPost, root + "/Groups" + searchPath, resource.Group, (*call).search},
	{http.MethodPost, root + "/Groups", resource.Group, projected((*call).createGroup)},
	{http.MethodGet, root + "/Groups/{id}", resource.Group, projected((*call).getGroup)},
	{http.MethodPut, root + "/Groups/{id}", resource.Group, projected((*call).replaceGroup)},
	{http.MethodPatch, root + "/Groups/{id}", resource.Group, projected((*call).patchGroup)},
	{http.MethodDelete, root + "/Groups/{id}", resource.Group, (*call).deleteGroup},

	{http.MethodPost, root + "/Bulk", nil, (*call).bulk},

	{http.MethodGet, root + "/ServiceProviderConfig", nil, unfiltered((*call).serviceProviderConfig)},
	{http.MethodGet, root + "/ResourceTypes", nil, unfiltered((*call).listResourceTypes)},
	{http.MethodGet, root + "/ResourceTypes/{id}", nil, unfiltered((*call).getResourceType)},
	{http.MethodGet, root + "/Schemas", nil, unfiltered((*call).listSchemas)},
	{http.MethodGet, root + "/Schemas/{id}", nil, unfiltered((*call).getSchema)},
}

// projected reads from the address which attributes the answer is to have (RFC 7644
// §3.9). Where that says nothing, it is passed over: in a search, whose body says it, in
// discovery (§4), in a Bulk and in a deletion.
func projected(handle handler) handler {
	return func(c *call, ctx context.Context) (reply *reply, err error) {
		if c.projection, err = resource.ReadProjection(c.query); err != nil {
			return nil, err
		}
		return handle(c, ctx)
	}
}

// searchPath is behind what is searched by POST (RFC 7644 §3.4.3).
const searchPath = "/.search"

// notOffered are addresses of the standard that this service does not have
// (RFC 7644 §3.2), and why; saying so is clearer than "not found".
var notOffered = map[string]string{
	// RFC 7644 §3.11.
	root + "/Me": "/Me stands for the person who asks, and a SCIM token is nobody's: it stands for a program. Find people at /Users.",
}

// match finds the endpoint of a request, or of an operation in one. Only paths
// come here that are written in one way, so comparing texts is safe.
func match(method, path string) (*endpoint, string, error) {
	known := false
	if why, ok := notOffered[path]; ok {
		return nil, "", scimerrors.ScimError{Status: http.StatusNotImplemented, Detail: why}
	}
	for i := range endpoints {
		id, ok := endpoints[i].at(path)
		if !ok {
			continue
		}
		known = true
		if method == endpoints[i].method || method == http.MethodHead && endpoints[i].method == http.MethodGet {
			return &endpoints[i], id, nil
		}
	}
	if known {
		return nil, "", scimerrors.ScimError{Status: http.StatusMethodNotAllowed, Detail: "That method does not exist here."}
	}
	return nil, "", errNotFound()
}

// at reports whether the endpoint stands at a path, and the id in it.
func (e *endpoint) at(path string) (id string, ok bool) {
	collection, one := strings.CutSuffix(e.pattern, "/{id}")
	if !one {
		return "", path == e.pattern
	}
	id, ok = strings.CutPrefix(path, collection+"/")
	return id, ok && id != "" && len(id) <= 128 && !strings.Contains(id, "/") && "/"+id != searchPath
}

// allowed lists the methods of an address, for 405 (RFC 9110 §15.5.6).
func allowed(path string) string {
	var methods []string
	for i := range endpoints {
		if _, ok := endpoints[i].at(path); ok {
			methods = append(methods, endpoints[i].method)
			if endpoints[i].method == http.MethodGet { // RFC 9110 §9.3.2
				methods = append(methods, http.MethodHead)
			}
		}
	}
	return strings.Join(methods, ", ")
}
