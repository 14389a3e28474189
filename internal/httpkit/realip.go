package httpkit

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how many entries of X-Forwarded-For are looked at.
const maxHops = 32

// TrustedProxies are the networks of the load balancers in front of the gate.
// Only what they say of the client is believed; nil trusts nobody.
type TrustedProxies []netip.Prefix

func (t TrustedProxies) contains(a netip.Addr) bool {
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// ClientIP is the address that the request came from: the peer of the
// connection, or, as long as the peer is trusted, whom it says it speaks for,
// read from right to left: every entry was added by the hop to its right, so
// the first that no trusted hop vouches for is the client. An entry that is no
// address ends the walk at the last hop that is known.
func (t TrustedProxies) ClientIP(r *http.Request) netip.Addr {
	client := peer(r.RemoteAddr)
	if len(t) == 0 || !t.contains(client) {
		return client
	}
	hops := 0
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for rest != "" {
			if hops++; hops > maxHops {
				return client
			}
			cut := strings.LastIndexByte(rest, ',')
			addr, ok := parseHop(rest[cut+1:])
			if !ok {
				return client
			}
			client = addr
			if !t.contains(client) {
				return client
			}
			rest = rest[:max(cut, 0)]
		}
	}
	return client
}

// parseHop reads one entry; some load balancers add the port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// peer is the address of a connection's other end; the zero Addr if it has
// none, as over a Unix socket.
func peer(remote string) netip.Addr {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(host) // the zero Addr says that there is none
	return addr
}
