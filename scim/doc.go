// Package scim is the SCIM 2.0 service (RFC 7643, RFC 7644) through which an
// identity provider brings people and groups into a tenant's directory, and
// takes them out again.
//
// It exists for promise P9: when the answer to a deactivation or deletion is
// sent, the person's sessions have ended. Schemas, their validation, filter
// and path parsing and the error messages are those of elimity-com/scim; the
// HTTP layer and PATCH are ours, because real providers (Okta, Entra ID) send
// forms that the library refuses, and because what is not understood must be
// a 400 and leave nothing half done.
//
// It must not keep anything itself, decide who may call (authz does), or end
// sessions past the directory.
package scim
