// Package proxy is the gate: the one way from the internet to the app.
//
// It exists so that the security decision is a single function that a newcomer
// can read in a minute ([Gate], in gate.go): admit, tenant, own endpoint,
// route, who, may they, record, forward. Everything else here serves those
// eight stages: listeners and TLS, the fields that pass and those that do not
// (promise P5), the identity that the app is told, and the live connections
// that a revocation closes (promise P2).
//
// It must not know how people sign in, what roles mean or how records are
// kept: it asks, and goes by the answer. It must not let a request reach the
// app without a permit of authz and a receipt of audit.
package proxy
