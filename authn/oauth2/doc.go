// Package oauth2 signs people in through providers that speak OAuth 2.0 without
// OpenID Connect, as GitHub does: the authorisation code flow with PKCE (RFC 6749
// §4.1, RFC 7636, RFC 9700), and then the provider's own API, which says who the
// access token belongs to.
//
// It exists because such an answer is not signed and was made for no particular
// client: what it is worth hangs on where it was fetched, with which token, and on
// reading it in one way only. Every reason not to accept it stands in one ordered
// list ([checks]). It must not fetch anything but through the guarded client that
// it was given, follow a redirect, send a token to another host than the connection
// names, or keep a token.
package oauth2
