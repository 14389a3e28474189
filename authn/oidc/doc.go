// Package oidc signs people in through OpenID Connect providers: the
// authorisation code flow with PKCE (OpenID Connect Core §3.1, RFC 7636), and
// sign-out at the provider (OpenID Connect RP-Initiated Logout).
//
// It exists to keep coreos/go-oidc and x/oauth2 within what this gateway allows:
// asymmetric signatures alone, one issuer per connection, and a nonce, a state
// and a verifier that are used once. It must not fetch anything but through the
// guarded client it was given, and must not keep the provider's tokens.
package oidc
