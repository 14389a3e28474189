// Package machine recognises a tenant's services by what somebody else has issued
// to them: signed access tokens (RFC 9068), tokens of which their authorization
// server is asked (RFC 7662), and client certificates (RFC 8705).
//
// It exists so that a program needs no secret of ours, and so that a token that was
// made for one purpose is refused for every other. It must not keep a token, not
// take one for good while that cannot be known, and not decide what a service may do.
package machine
