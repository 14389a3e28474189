// Package assertion is the signed identity that the gate sends to the app with
// every request, and the verifier for the app's side.
//
// It exists so that an app need not trust the network: it checks the JWT of the
// X-Gatehouse-Assertion header against the gate's published keys, offline, and
// knows tenant, person, session, roles and teams. It is the one package of this
// module that an app imports, so it must stay light: nothing beyond a JWT
// library and the standard library, and no other room.
package assertion
