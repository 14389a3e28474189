package httpkit

import (
	"context"
	"net/netip"
	"time"

	"gatehouse/identity"
)

// Request is what the gate found out about a request before any room saw it.
// It is set once, by the gate, and read-only afterwards.
type Request struct {
	ID       identity.RequestID
	Start    time.Time
	ClientIP netip.Addr // from trusted hops only
	// Tenant owns the host that the request came to; TenantName is its name, and
	// TenantTitle what its people know it by.
	Tenant      identity.TenantID
	TenantName  string
	TenantTitle string
	// TenantLogo is where the tenant's logo is, on its own host; empty: there is none.
	TenantLogo string
	// Origin is the scheme and authority the browser used, in the one spelling
	// that browsers know: "https://acme.example.com", with a port only if it is
	// not 443. It is the base of every absolute URL we make.
	Origin string
	// Stranger, if set, is asked by [Haste].
	Stranger interface{ Haste() error }
}

type requestKey struct{}

// WithRequest attaches what the gate found out.
func WithRequest(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestFrom returns what the gate found out; it panics when the gate was
// bypassed, since everything built on it would be wrong.
func RequestFrom(ctx context.Context) *Request {
	r, ok := ctx.Value(requestKey{}).(*Request)
	if !ok {
		panic("httpkit: request did not pass the gate")
	}
	return r
}

// Haste refuses a request of somebody whose network asks too often. It is for
// those who are about to pay, with a query, for finding out who calls.
func Haste(ctx context.Context) error {
	r, ok := ctx.Value(requestKey{}).(*Request)
	if !ok || r.Stranger == nil {
		return nil
	}
	return r.Stranger.Haste()
}
