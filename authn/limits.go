package authn

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxNetworks bounds how many client networks are remembered. Whoever has more
// networks than that is not held back by a limit per network anyway.
const maxNetworks = 8192

// limiter limits how often one client network may begin a sign-in, since each
// beginning costs a row in the store.
type limiter struct {
	every rate.Limit
	burst int

	mu       sync.Mutex
	networks map[netip.Prefix]*rate.Limiter
}

func newLimiter(every rate.Limit, burst int) *limiter {
	return &limiter{every: every, burst: burst, networks: map[netip.Prefix]*rate.Limiter{}}
}

// allow reports whether a client may begin now, and otherwise when to ask again.
func (l *limiter) allow(ip netip.Addr, now time.Time) (bool, time.Duration) {
	network := networkOf(ip)
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.networks[network]
	if !ok {
		l.makeRoom()
		bucket = rate.NewLimiter(l.every, l.burst)
		l.networks[network] = bucket
	}
	if bucket.AllowN(now, 1) {
		return true, 0
	}
	return false, time.Duration(float64(time.Second) / float64(l.every))
}

// makeRoom forgets any one network when the map is full: map order is random,
// so nobody can choose which.
func (l *limiter) makeRoom() {
	for network := range l.networks {
		if len(l.networks) < maxNetworks {
			return
		}
		delete(l.networks, network)
	}
}

// networkOf is the part of an address that one customer has: all of an IPv4
// address, a /64 of IPv6.
func networkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address known: one bucket for all of those
	}
	return network
}
