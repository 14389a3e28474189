// Package authn is signing in and out: the flow from the first redirect to the
// session cookie, its pages, and who the caller of a request is.
//
// It exists so that every way of signing in shares one flow: each hop carries a
// random token of its own that is kept on the server, good for one use, one
// browser, one connection and ten minutes; every outcome is in the journal
// before it takes effect (promise P1); and a sign-in that is not accepted ends
// on a plain page with the id of its record. The protocols are sub-packages
// that implement [Protocol].
//
// It must not decide what a person may do, read an identity from anything that
// was not verified, or let a token of the identity provider out of its hands.
package authn
