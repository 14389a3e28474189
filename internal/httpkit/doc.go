// Package httpkit is the HTTP machinery that every listener shares: what is
// known of a request, error-returning handlers with one place that replies,
// the strict form of requests, the real client address, and cookies.
//
// It exists so that a refusal looks the same wherever it is decided, and so
// that no room reads a forwarded header or writes a cookie in its own way. It
// must not know tenants' data, sessions or policy.
package httpkit
