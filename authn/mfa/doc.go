// Package mfa keeps what people prove themselves with beside their identity
// provider, and verifies it: authenticator apps (TOTP, RFC 6238), passkeys
// (WebAuthn, with user verification) and recovery codes.
//
// It exists so that a second factor is checked where it is kept: a code counts
// once on all nodes, wrong ones slow down whoever sends them, secrets are sealed
// with the tenant's key and recovery codes kept as hashes, and every change has
// its record before it takes effect. It implements [authn.Factors].
//
// It must not decide who is asked for a second factor, nor make or end a session.
package mfa
