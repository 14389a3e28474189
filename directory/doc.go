// Package directory keeps a tenant's people, groups and teams, whoever brought
// them: SCIM, a first sign-in, or an admin.
//
// It exists so that a person has one life cycle wherever a change comes from:
// a person who is deactivated or deleted has no live session left when the call
// returns (promise P9). Every change goes the same way: journal, then SQL, then
// the end of sessions, in that order, one change of a tenant at a time.
//
// It must not know SCIM's wire format, roles, or HTTP.
package directory
