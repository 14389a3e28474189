// Package scim is the SCIM 2.0 service (RFC 7643, RFC 7644) through which an
// identity provider brings people and groups into a tenant's directory, and
// takes them out again.
//
// It exists for promise P9: when the answer to a deactivation or deletion is
// sent, the person's sessions have ended. What a resource is and how it is
// changed stands in scim/resource; here it meets HTTP and the directory. The
// form of the errors is that of elimity-com/scim; what is not understood must
// be a 400 and leave nothing half done.
//
// It must not keep anything itself, save for a while where clients are in their
// lists, decide who may call (authz does), or end sessions past the directory.
package scim
