package proxy

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/fault"
)

// loadShards spreads the clients over locks.
const loadShards = 64

// load counts the requests under way, in all and per client address. It holds
// an entry for an address only while a request of it is under way, so it is
// bounded by the limit on all of them.
type load struct {
	total  atomic.Int64
	shards [loadShards]loadShard
}

type loadShard struct {
	mu    sync.Mutex
	count map[netip.Addr]int
}

func newLoad() *load {
	l := &load{}
	for i := range l.shards {
		l.shards[i].count = map[netip.Addr]int{}
	}
	return l
}

// enter takes a place, or says why there is none: 503 when the gate is full,
// 429 when this client is.
func (l *load) enter(from netip.Addr, limits Limits) (leave func(), err error) {
	if l.total.Add(1) > int64(limits.Requests) {
		l.total.Add(-1)
		f := fault.New(fault.Unavailable, "overloaded", "More requests than can be served are under way. Try again in a moment.")
		f.RetryAfter = time.Second
		return nil, f
	}
	from = network(from)
	s := &l.shards[shardOf(from)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[from] >= limits.PerClient {
		l.total.Add(-1)
		f := fault.New(fault.TooMany, "too-many-requests", "Too many requests from your address are under way. Try again in a moment.")
		f.RetryAfter = time.Second
		return nil, f
	}
	s.count[from]++
	return func() { l.leave(s, from) }, nil
}

func (l *load) leave(s *loadShard, from netip.Addr) {
	l.total.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[from]--; s.count[from] == 0 {
		delete(s.count, from)
	}
}

// network is what one client can choose its address from: an IPv6 host is
// given a whole /64 (RFC 6177 §2).
func network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

func shardOf(a netip.Addr) int {
	b := a.As16()
	return int(b[5]^b[6]^b[7]^b[13]^b[14]^b[15]) % loadShards
}
