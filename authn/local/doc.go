// Package local keeps the accounts of people who sign in by no identity provider:
// operators, and whoever must get into a tenant while its provider lets nobody in.
//
// It exists so that such an account is never worth one guessed secret: it has a
// passkey, or a password (argon2id, RFC 9106) that counts together with a second
// factor alone; it is made by a one-time link; and it tells nobody who has one, nor
// lets a stranger keep its person out. It implements [authn.Host].
//
// It must not make sessions, which is for the flow of every sign-in, decide who may
// be invited, or keep a secret that can be read.
package local
