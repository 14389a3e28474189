// Package idp holds what the two demo identity providers share: their accounts
// and the plain sign-in form.
//
// It exists so that a person and a script meet the same form at both: fields
// named username and password, no script, no consent page. The providers keep
// no session of their own, so that signing out at the gate is seen to work: the
// next visit asks for the password again.
//
// It must not be used outside the demo: its passwords are printed for everybody.
package idp
