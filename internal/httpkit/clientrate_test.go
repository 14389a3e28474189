package httpkit

import (
	"net/netip"
	"testing"
	"time"
)

func TestClientRateIsBoundedAndPerNetwork(t *testing.T) {
	l := NewClientRate(1, 2)
	now := time.Now()
	ip := netip.MustParseAddr("2001:db8::1")
	for range 2 {
		if ok, _ := l.Allow(ip, now); !ok {
			t.Fatal("refused within the burst")
		}
	}
	if ok, wait := l.Allow(netip.MustParseAddr("2001:db8::ffff"), now); ok || wait != time.Second {
		t.Errorf("another address of the same network: %v, %v", ok, wait)
	}
	if ok, _ := l.Allow(netip.MustParseAddr("2001:db8:0:1::1"), now); !ok {
		t.Error("another network was refused")
	}
	if ok, _ := l.Allow(ip, now.Add(time.Second)); !ok {
		t.Error("still refused after a second")
	}
	for i := range 2 * rateShards * maxNetworks {
		l.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	for i := range l.shards {
		if n := len(l.shards[i].networks); n > maxNetworks {
			t.Errorf("%d networks are remembered", n)
		}
	}
	l.Allow(netip.Addr{}, now)
}

func TestClientNetworks(t *testing.T) {
	for ip, want := range map[string][2]string{
		"192.0.2.7": {"192.0.2.7/32", "192.0.2.7/32"}, "::ffff:192.0.2.7": {"192.0.2.7/32", "192.0.2.7/32"},
		"2001:db8:1:2::3": {"2001:db8:1:2::/64", "2001:db8:1::/48"}, "fe80::1%eth0": {"fe80::/64", "fe80::/48"},
	} {
		ip := netip.MustParseAddr(ip)
		if network, site := ClientNetwork(ip), ClientSite(ip); network.String() != want[0] || site.String() != want[1] {
			t.Errorf("%s: %s, %s", ip, network, site)
		}
	}
	if network, site := ClientNetwork(netip.Addr{}), ClientSite(netip.Addr{}); network.IsValid() || site.IsValid() {
		t.Errorf("of no address: %s, %s", network, site)
	}
}
