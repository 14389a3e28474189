// Package upstream is the client side of the gate: a pooled, synchronous
// HTTP/1.1 client towards the app's servers.
//
// It exists for two reasons. Speed: the caller's goroutine writes the request
// and reads the answer itself, so a forwarded request costs no hand-over
// between goroutines, no cloned header map and no second request object.
// Safety: a request goes out as bytes whose every field was checked when it
// was added ([Head]), and an answer is read by a strict parser that refuses
// what two parsers could read in two ways (RFC 9112 §6.3, §11).
//
// It must not know tenants, sessions or identity headers, must not decide
// which fields are forwarded, and must not change a target: what the caller
// hands over is what the app receives.
package upstream
