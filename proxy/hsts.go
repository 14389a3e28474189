package proxy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// HSTS is what browsers are told of coming by TLS alone (RFC 6797).
type HSTS struct {
	MaxAge     time.Duration // 0: nothing is said
	Subdomains bool          // also of all hosts below
}

const hstsHeader = "Strict-Transport-Security"

// lines are the values of the header (RFC 6797 §6.1).
func (h HSTS) lines() []string {
	if h.MaxAge <= 0 {
		return nil
	}
	line := "max-age=" + strconv.FormatInt(int64(h.MaxAge/time.Second), 10)
	if h.Subdomains {
		line += "; includeSubDomains"
	}
	return []string{line}
}

// sayHSTS says it with whatever answers the request; what the app says of it itself
// takes its place.
func (v *visit) sayHSTS() {
	if v.hsts != nil && lasting(canonicalHost(v.r.Host)) {
		v.w.Header()[hstsHeader] = v.hsts
	}
}

// lasting reports whether a host is one that browsers may remember: not one of this
// machine, whose other ports serve something else another day, and no address, of
// which they remember nothing (RFC 6797 §8.1.1).
func lasting(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err != nil
}
