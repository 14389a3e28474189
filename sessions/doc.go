// Package sessions keeps who is signed in, on which device, and ends it.
//
// It exists for promise P2: when a revocation returns, no request of those
// sessions is forwarded any more and everything they had open is closed. SQL
// is the record, an in-process registry answers the request path, and every
// request and stream is registered under its session while it lasts. It must
// not know how people sign in or what they may do.
package sessions
