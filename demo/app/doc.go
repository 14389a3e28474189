// Package app is the demo app behind the gate: it shows the identity it
// received, and has one endpoint of each kind that a real app has (public,
// team-scoped, administrative, WebSocket, event stream, slow, large).
//
// It exists so that a newcomer sees what an app gets from the gate, and so that
// the tests can ask the app itself what reached it: it remembers every request.
// It imports of the product what a customer's app would import, package
// assertion, and nothing else. It must not decide about access: that is the
// gate's work.
package app
