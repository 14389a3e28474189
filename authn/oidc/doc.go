// Package oidc signs people in through OpenID Connect providers: the
// authorisation code flow with PKCE (OpenID Connect Core §3.1, RFC 7636), and
// sign-out at the provider (OpenID Connect RP-Initiated Logout).
//
// It exists to keep coreos/go-oidc and x/oauth2 within what this gateway allows:
// asymmetric signatures alone, the issuers that a connection believes and no other,
// and a nonce, a state and a verifier that are used once. It shows providers who we
// are, by a secret or by a key of the connection (authn/keyring), and asks them again
// about who is signed in. It must not fetch anything but through the guarded client
// it was given, and must not keep the provider's tokens: what is needed later is
// handed out, to be sealed.
package oidc
