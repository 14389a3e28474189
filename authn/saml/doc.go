// Package saml signs people in through SAML 2.0 identity providers: our request
// by redirect, their response by POST (SAML bindings §3.4, §3.5; profiles §4.1).
//
// It exists because SAML's strength lies in what is refused. crewjam/saml
// verifies; before it, a strict admission of ours turns away whatever is not the
// one plain shape that identity providers send (a Response with one Assertion,
// whole, small, shallow, signed in one way), and after it the checks that the
// library leaves out are made. What is said of a person is read from the bytes
// that the signature covers and from nothing else.
//
// It must not accept a response that was not asked for, keep state between
// requests other than identity providers' metadata, or fetch anything but
// through the guarded client it was given.
package saml
