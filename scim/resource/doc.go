// Package resource knows what people and groups are in SCIM (RFC 7643): their
// schemas, and how what a client wrote is read, cleaned, changed by PATCH and
// cut down to the attributes that were asked for.
//
// It exists so that all of this, which is where clients differ and where
// hostile input arrives, is plain work on values: nothing in it can fail half
// way. Schemas, their validation, filter and path parsing are those of
// elimity-com/scim; PATCH is ours, because real providers (Okta, Entra ID)
// send forms that the library refuses.
//
// It must not know HTTP, tenants, or the directory.
package resource
