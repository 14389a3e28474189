package scim

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/scim/resource"
)

const mediaType = "application/scim+json" // RFC 7644 §8.1

// call is one authorised request on its way to a reply, however it came.
type call struct {
	service    *Service
	kinds      resource.Kinds // the tenant's
	kind       *resource.Kind // of resource, one of them; nil where there is none or every one
	method     string
	ifMatch    string // the headers of these names (RFC 7644 §3.14)
	ifNone     string
	read       func() (map[string]any, error) // reads the body, once
	whole      whole                          // the request, where it may hold several calls
	tenant     identity.TenantID
	cause      audit.Cause
	base       string // absolute URL of the service, without a slash at the end
	id         string // of the resource that the path names; empty for a collection
	query      url.Values
	projection resource.Projection
	note       *note // what is kept of it; nil: nothing, or nothing of its own
}

// reply is what an endpoint answers with.
type reply struct {
	status   int
	id       string // of the resource
	body     any    // nil: none
	etag     string // RFC 7644 §3.14
	location string
}

func (c *call) location(k *resource.Kind, id string) string {
	return c.base + k.Endpoint + "/" + url.PathEscape(id)
}

// addCommon sets what every resource has (RFC 7643 §3.1).
func (c *call) addCommon(res resource.Object, k *resource.Kind, id string, version uint64, created, updated time.Time) {
	res["id"] = id
	res["meta"] = map[string]any{"resourceType": k.Name, "location": c.location(k, id), "version": etag(version),
		"created": created.Format(time.RFC3339Nano), "lastModified": updated.Format(time.RFC3339Nano)}
	k.NameSchemas(res)
}

func (c *call) resourceReply(status int, k *resource.Kind, res resource.Object, id string, version uint64) *reply {
	r := &reply{status: status, id: id, body: c.projection.Of(k, res), etag: etag(version), location: c.location(k, id)}
	if status == http.StatusOK && (c.method == http.MethodGet || c.method == http.MethodHead) && matches(c.ifNone, version) {
		return &reply{status: http.StatusNotModified, etag: r.etag, location: r.location}
	}
	return r
}

// etag is weak: a person's groups are not part of their version, and what a member is
// called is none of the group's (RFC 9110 §8.8.1).
func etag(version uint64) string { return `W/"` + strconv.FormatUint(version, 10) + `"` }

// matches compares weakly, as RFC 7644 §3.14 has it for SCIM.
func matches(header string, version uint64) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == `"`+strconv.FormatUint(version, 10)+`"` {
			return true
		}
	}
	return false
}

// dependsOn gives the version that a write depends on; 0: on none. If-None-Match has a
// write depend on there not being a version (RFC 9110 §13.1.2).
func (c *call) dependsOn(ctx context.Context) (uint64, error) {
	ifMatch := c.ifMatch != "" && c.ifMatch != "*"
	if !ifMatch && c.ifNone == "" {
		return 0, nil
	}
	version, err := c.currentVersion(ctx)
	switch {
	case err != nil:
		return 0, err
	case ifMatch && !matches(c.ifMatch, version):
		return 0, fault.New(fault.Precondition, "version-changed", "The resource has changed since the version in If-Match.")
	case c.ifNone != "" && matches(c.ifNone, version):
		return 0, fault.New(fault.Precondition, "version-there", "The resource has the version that If-None-Match excludes.")
	}
	return version, nil
}

func (c *call) currentVersion(ctx context.Context) (uint64, error) {
	if c.kind.Is(resource.Group) {
		g, err := c.service.directory.Group(ctx, c.tenant, identity.GroupID(c.id), false)
		return g.Version, err
	}
	u, err := c.service.directory.UserAlone(ctx, c.tenant, identity.UserID(c.id))
	return u.Version, err
}

// kindName is the name of the call's kind; empty if it has none.
func (c *call) kindName() string {
	if c.kind == nil {
		return ""
	}
	return c.kind.Name
}

// readResource reads the body of a POST or PUT.
func (c *call) readResource() (map[string]any, error) {
	body, err := c.read()
	if err != nil {
		return nil, err
	}
	c.note.names(body)
	return body, resource.CheckSchemas(body, c.kind.Core.ID)
}

func (c *call) readPatch() (resource.Patch, error) {
	body, err := c.read()
	if err != nil {
		return nil, err
	}
	patch, err := resource.ReadPatch(body)
	c.note.steps(c.kind, patch)
	return patch, err
}

func errNotFound() error {
	return fault.New(fault.NotFound, "not-found", "There is nothing at this address.")
}
