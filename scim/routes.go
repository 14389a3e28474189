package scim

import (
	"context"
	"net/http"
	"slices"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/scim/resource"
)

// endpoint is one address with one method (RFC 7644 §3.2). In the pattern,
// {id} stands for one segment.
type endpoint struct {
	method, pattern string
	kind            *resource.Kind // of resource; nil at the discovery endpoints
	handle          func(*call, context.Context) (*reply, error)
}

var endpoints = []endpoint{
	{http.MethodGet, root + "/Users", resource.User, (*call).listUsers},
	{http.MethodPost, root + "/Users", resource.User, (*call).createUser},
	{http.MethodGet, root + "/Users/{id}", resource.User, (*call).getUser},
	{http.MethodPut, root + "/Users/{id}", resource.User, (*call).replaceUser},
	{http.MethodPatch, root + "/Users/{id}", resource.User, (*call).patchUser},
	{http.MethodDelete, root + "/Users/{id}", resource.User, (*call).deleteUser},

	{http.MethodGet, root + "/Groups", resource.Group, (*call).listGroups},
	{http.MethodPost, root + "/Groups", resource.Group, (*call).createGroup},
	{http.MethodGet, root + "/Groups/{id}", resource.Group, (*call).getGroup},
	{http.MethodPut, root + "/Groups/{id}", resource.Group, (*call).replaceGroup},
	{http.MethodPatch, root + "/Groups/{id}", resource.Group, (*call).patchGroup},
	{http.MethodDelete, root + "/Groups/{id}", resource.Group, (*call).deleteGroup},

	{http.MethodPost, root + "/Bulk", nil, (*call).bulk},

	{http.MethodGet, root + "/ServiceProviderConfig", nil, (*call).serviceProviderConfig},
	{http.MethodGet, root + "/ResourceTypes", nil, (*call).listResourceTypes},
	{http.MethodGet, root + "/ResourceTypes/{id}", nil, (*call).getResourceType},
	{http.MethodGet, root + "/Schemas", nil, (*call).listSchemas},
	{http.MethodGet, root + "/Schemas/{id}", nil, (*call).getSchema},
}

// notOffered are addresses of the standard that this service does not have
// (RFC 7644 §3.2); saying so is clearer than "not found".
var notOffered = []string{root + "/Me", root + "/.search", root + "/Users/.search", root + "/Groups/.search"}

// match finds the endpoint of a request, or of an operation in one. Only paths
// come here that are written in one way, so comparing texts is safe.
func match(method, path string) (*endpoint, string, error) {
	known := false
	if slices.Contains(notOffered, path) {
		return nil, "", scimerrors.ScimError{Status: http.StatusNotImplemented, Detail: "This service does not offer that. See /ServiceProviderConfig."}
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
	return id, ok && id != "" && len(id) <= 128 && !strings.Contains(id, "/")
}

// allowed lists the methods of an address, for 405 (RFC 9110 §15.5.6).
func allowed(path string) string {
	var methods []string
	for i := range endpoints {
		if _, ok := endpoints[i].at(path); ok {
			methods = append(methods, endpoints[i].method)
		}
	}
	return strings.Join(methods, ", ")
}
