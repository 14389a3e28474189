// Package saml signs people in through SAML 2.0 identity providers: our request
// by redirect or POST, their response by POST (SAML bindings §3.4, §3.5; profiles
// §4.1).
// It signs them out as well, whoever begins (single logout, profiles §4.4).
//
// It exists because SAML's strength lies in what is refused. crewjam/saml
// verifies responses; before it, a strict admission of ours turns away whatever is not the
// one plain shape that identity providers send (a Response with one Assertion,
// whole, small, shallow, signed in one way), and after it the checks that the
// library leaves out are made. What is said of a person is read from the bytes
// that the signature covers and from nothing else. Messages about sign-outs,
// which the library cannot verify, are held to the same rules by code of ours.
//
// It must not accept a response that was not asked for, keep state between
// requests other than identity providers' metadata and our signing keys, send
// anything to an address that only a message names, or fetch anything but
// through the guarded client it was given.
package saml
