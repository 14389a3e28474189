package httpkit

import "net/netip"

// special lists what is global unicast by form and yet not the public internet
// (the IANA special-purpose address registries), IPv6 ranges that carry an
// IPv4 address inside included, because those reach the inside by another name.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),    // carrier-grade NAT (RFC 6598); clouds keep metadata here too
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's host, public by form
	netip.MustParsePrefix("192.0.0.0/24"),     // protocol assignments, DS-Lite and discovery of NAT64 included
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.31.196.0/24"), // AS112 (RFC 7535), whoever is nearest
	netip.MustParsePrefix("192.52.193.0/24"), // AMT relays (RFC 7450), likewise
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays (RFC 7526)
	netip.MustParsePrefix("192.175.48.0/24"), // AS112 (RFC 7534)
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), // Teredo, benchmarking, AMT, AS112, ORCHID and other protocol assignments
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),         // 6to4
	netip.MustParsePrefix("2620:4f:8000::/48"), // AS112 (RFC 7534)
	netip.MustParsePrefix("3ffe::/16"),         // the 6bone (RFC 3701), with the first addresses of Teredo
	netip.MustParsePrefix("3fff::/20"),         // documentation (RFC 9637)
}

// globalIPv6 is all of which IANA gives out global unicast. Outside of it lie NAT64 with
// the well-known and the local prefix (RFC 6052, RFC 8215), addresses that are
// compatible, mapped or translated IPv4, site-local ones, discard-only ones, segment
// routing (RFC 9602), and everything unassigned.
var globalIPv6 = netip.MustParsePrefix("2000::/3")

func public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Is6() && (!globalIPv6.Contains(ip) || isatap(ip)) {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// isatap reports whether an address leads to the IPv4 address in its last bits, under
// whichever prefix (RFC 5214 §6.1).
func isatap(ip netip.Addr) bool {
	b := ip.As16()
	const universal, group = 2, 1 // which change nothing about where it leads
	return b[8]&^(universal|group) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
