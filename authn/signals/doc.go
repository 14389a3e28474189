// Package signals hears of security events from identity providers, and from
// products that look after their people's devices: it receives what the OpenID
// Shared Signals Framework 1.0 transmits (CAEP 1.0, RISC 1.0) in security event
// tokens (RFC 8417), and fetches them where they are not pushed (RFC 8936).
//
// It exists to turn what a transmitter says into whose sessions end and why;
// package authn then ends them, in the one way in which sessions end. It must
// not end, record or remember anything by itself, must not believe anything that
// the connection's transmitter has not signed for us, and must not fetch but by
// the guarded client that it was given.
package signals
