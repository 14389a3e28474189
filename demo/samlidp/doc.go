// Package samlidp is the demo's SAML 2.0 identity provider, on crewjam/saml's
// samlidp: SP-initiated sign-on by redirect, signed responses by POST, a plain
// sign-in form, and single logout by redirect, which the library has not.
//
// It exists so that the demo and the tests sign in through a real provider
// without leaving the machine. Of samlidp's own routes only the metadata is
// served: its administration has no authentication. It must not be reachable
// from elsewhere: it listens on loopback and its passwords are public.
package samlidp
