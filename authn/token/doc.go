// Package token keeps the API and SCIM tokens of tenants: random secrets that
// are shown once and kept as SHA-256.
//
// It exists so that programs can call without a person's session, each with a
// scope, a role and an end of its own, and so that taking one back works at
// once. It must not keep a secret, and must not decide what a token may do.
package token
