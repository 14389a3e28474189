// Package demo runs the whole product on one machine, offline: a gateway with
// two tenants, people, roles and tokens, the demo app behind it, and an OpenID
// provider and a SAML identity provider to sign in at.
//
// It exists so that a newcomer sees it all after one command, and it is the
// harness of the end-to-end tests and of the bench: what they drive is the same
// gateway, with real stores, real sign-ins and a real app. It must not contain
// any product logic, and must not listen anywhere but on loopback: its
// passwords are printed for everybody.
package demo
