package httpkit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// rateShards spreads the networks over locks.
	rateShards = 64
	// maxNetworks bounds how many client networks a shard remembers. Whoever has
	// more networks than that is not held back by a limit per network anyway.
	maxNetworks = 1024
)

// ClientRate limits how often one client network may do something that costs
// something before anybody knows who it is.
type ClientRate struct {
	every  rate.Limit
	burst  int
	seed   maphash.Seed // so that nobody can choose the shard to fill
	shards [rateShards]rateShard
}

type rateShard struct {
	mu       sync.Mutex
	networks map[netip.Prefix]*rate.Limiter
}

// NewClientRate allows every network so much per second, and burst at once.
func NewClientRate(perSecond float64, burst int) *ClientRate {
	l := &ClientRate{every: rate.Limit(perSecond), burst: burst, seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].networks = map[netip.Prefix]*rate.Limiter{}
	}
	return l
}

// Allow reports whether a client may go on now, and otherwise when to ask again.
func (l *ClientRate) Allow(ip netip.Addr, now time.Time) (ok bool, wait time.Duration) {
	network := ClientNetwork(ip)
	key := network.Addr().As16()
	s := &l.shards[maphash.Bytes(l.seed, key[:])%rateShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, ok := s.networks[network]
	if !ok {
		s.makeRoom()
		bucket = rate.NewLimiter(l.every, l.burst)
		s.networks[network] = bucket
	}
	if bucket.AllowN(now, 1) {
		return true, 0
	}
	return false, time.Duration(float64(time.Second) / float64(l.every))
}

// makeRoom forgets any one network when the map is full: map order is random,
// so nobody can choose which.
func (s *rateShard) makeRoom() {
	for network := range s.networks {
		if len(s.networks) < maxNetworks {
			return
		}
		delete(s.networks, network)
	}
}

// ClientNetwork is what one customer can choose addresses from: all of an IPv4
// address, a /64 of IPv6 (RFC 6177 §2). It is zero for an unknown address, so
// that those share what they may do.
func ClientNetwork(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // of no address: no network
	return network
}

// ClientSite is what one customer can choose networks from: a /48 of IPv6, of which
// an ordinary one may have all 65,536 (RFC 6177 §2). Of an IPv4 address it is the
// same as [ClientNetwork].
func ClientSite(ip netip.Addr) netip.Prefix {
	network := ClientNetwork(ip)
	if network.Addr().Is6() {
		network, _ = network.Addr().Prefix(48) // shorter than what it is of
	}
	return network
}
