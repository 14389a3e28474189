// Package setup lets an organisation connect its identity provider itself: by a
// link that an admin sends, without an account here, step by step.
//
// It exists so that whoever knows the identity provider enters what is to be
// entered, and nobody mails a secret. A link makes one connection of one name,
// under terms that its maker set: what people get and whom they take over. The
// connection stays switched off until it has been tried with success, and while it
// is on the link can no more be used to change it.
//
// It must not let anybody in, give out what was entered, or change any other
// connection.
package setup
