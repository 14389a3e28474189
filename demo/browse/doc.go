// Package browse is a browser without scripts: it follows redirects, fills in
// the forms of sign-in pages and sends on the forms that protocols pass along.
//
// It exists so that the demo, the tests and the bench sign in over real HTTP
// through real pages, as a person would. It must not know any page's address:
// it reads what it is shown.
package browse
