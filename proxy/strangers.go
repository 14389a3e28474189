package proxy

import (
	"strings"

	"gatehouse/internal/fault"
)

// burstSeconds is how many seconds' worth of requests may come at once.
const burstSeconds = 5

// Haste refuses a caller that nobody knows and whose network asks too often:
// each of their requests costs disk, since it has its record, and a query if
// they show a token ([httpkit.Haste]). A request is counted once. People with a
// session and programs with a token that is in use never get here.
func (v *visit) Haste() error {
	if v.counted {
		return nil
	}
	ok, wait := v.strangers.Allow(v.ClientIP, v.Start)
	if ok {
		v.counted = true
		return nil
	}
	f := fault.New(fault.TooMany, "too-many-requests", "Too many requests came from your network. Wait a moment and try again.")
	f.RetryAfter = wait
	return f
}

// sameOrigin refuses what a page of another origin makes a signed-in browser
// send. Tenants live on one site, so SameSite=Lax does not keep their cookies
// apart (P3). Programs send neither Origin nor Fetch Metadata, and pass.
func (g *Gate) sameOrigin(v *visit) error {
	// A WebSocket begins with a GET, which is safe, but reads and writes at once
	// (RFC 6455 §10.2).
	origin := v.r.Header["Origin"]
	foreignSocket := upgradeOf(v.r) != "" && len(origin) > 0 && (len(origin) > 1 || !strings.EqualFold(origin[0], v.Origin))
	if foreignSocket || g.origin.Check(v.r) != nil {
		return fault.New(fault.Denied, "cross-origin", "This request was sent by a page of another site. Open the app here and try again.")
	}
	return nil
}
