package httpkit

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// FuzzCookies: what reads as a cookie of ours looks like one to whoever keeps them from
// the app, and what is left for the app reads as ours to nobody.
func FuzzCookies(f *testing.F) {
	for _, seed := range []string{"__Host-gatehouse=a", "a=b; __Host-gatehouse=c; __Host-gatehouse=d", "__host-GATEHOUSE=x", " \t__Host-gatehouse \t=\t x ; y", "=__Host-gatehouse=x", "==__Host-gatehouse",
		"\u00a0__Host-gatehouse=x", "__Host-gatehouse", "__Host-gatehouse-device=a;__Host-gatehouse-flow=b", "a=\"__Host-gatehouse=x; b\"", "__Host-gatehouse\x00=x", ";;;=", "__Host-gatehouse=a,__Host-gatehouse=b"} {
		f.Add(seed)
	}
	ours := []string{SessionCookie, DeviceCookie, FlowCookie, LookedCookie, SetupCookie}
	f.Fuzz(func(t *testing.T, line string) {
		var left []string
		disguised := 0
		for pair := range CookiePairs(line) {
			if LikeOurs(pair) {
				disguised++
			} else {
				left = append(left, pair)
			}
		}
		sent := &http.Request{Header: http.Header{"Cookie": {line}}}
		app := &http.Request{Header: http.Header{"Cookie": {strings.Join(left, "; ")}}}
		found := 0
		for _, name := range ours {
			value, n := ReadCookie(sent, name)
			found += n
			if n != 1 && value != "" || strings.ContainsAny(value, ";") || strings.Trim(value, " \t") != value {
				t.Errorf("%q: %d of %s, read as %q", line, n, name, value)
			}
			if _, n := ReadCookie(app, name); n > 0 {
				t.Errorf("%q leaves %s to the app: %q", line, name, left)
			}
		}
		if found > disguised {
			t.Errorf("%q has %d cookies of ours, of which %d look like it", line, found, disguised)
		}
		for _, c := range app.Cookies() { // as another reader has it
			if LikeOurs(c.Name + "=") {
				t.Errorf("%q leaves %q to the app", line, c.Name)
			}
		}
	})
}

// FuzzClientIP: whatever a client says of where it comes from, what the trusted hops
// add is what counts.
func FuzzClientIP(f *testing.F) {
	for _, seed := range []string{"", "1.2.3.4", "10.0.0.9", "10.0.0.9, 10.0.0.8", "unknown", ",,,", "[::1]:80", "fe80::1%eth0", "::ffff:10.0.0.1", "1.2.3.4:5", " \t", "010.0.0.1", "10.0.0.1\x00", strings.Repeat("10.0.0.2,", 40)} {
		f.Add(seed)
	}
	trusted := TrustedProxies{netip.MustParsePrefix("10.0.0.0/8")}
	client := netip.MustParseAddr("203.0.113.7")
	at := func(t TrustedProxies, peer string, lines ...string) netip.Addr {
		return t.ClientIP(&http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": lines}})
	}
	f.Fuzz(func(t *testing.T, claimed string) {
		for name, got := range map[string]netip.Addr{
			"one hop":      at(trusted, "10.0.0.1:5", claimed+", "+client.String()),
			"by lines":     at(trusted, "10.0.0.1:5", claimed, client.String()),
			"two hops":     at(trusted, "10.0.0.1:5", claimed+","+client.String()+", 10.0.0.2"),
			"nobody there": at(trusted, client.String()+":5", claimed),
			"none trusted": at(nil, client.String()+":5", claimed),
		} {
			if got != client {
				t.Errorf("%s: %q makes it %v", name, claimed, got)
			}
		}
		if got := at(trusted, "10.0.0.1:5", claimed); !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q makes it %v", claimed, got)
		}
	})
}
