package tenants_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"gatehouse/tenants"
)

func TestCanonicalHost(t *testing.T) {
	long := strings.Repeat("a.", 126) + "a" // 253
	for in, want := range map[string]string{
		"acme.example.com":       "acme.example.com",
		"ACME.Example.COM":       "acme.example.com",
		"acme.example.com.":      "acme.example.com",
		"acme.example.com:8443":  "acme.example.com",
		"acme.example.com.:8443": "acme.example.com",
		"localhost":              "localhost",
		"127.0.0.1":              "127.0.0.1",
		"xn--bcher-kva.example":  "xn--bcher-kva.example",
		long:                     long,
	} {
		if got, err := tenants.CanonicalHost(in); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "..", "a..b", ".a", "a.b..", "-a", "a-", "a-.b", "a.-b", "a_b", "a b", "a/b", "a@b", "a:b", "a:", "a:123456",
		"a:1:2", "[::1]", "::1", "https://a", "bücher.example", "a\x00", "a\nb", "a%2eb", "*.a", strings.Repeat("a", 64), long + "a.b"} {
		if got, err := tenants.CanonicalHost(in); err == nil {
			t.Errorf("%q became %q", in, got)
		}
	}
}

// FuzzCanonicalHost: what comes out is canonical, and of an alphabet that can
// do no harm in a URL, a header or a log.
func FuzzCanonicalHost(f *testing.F) {
	for _, seed := range []string{"acme.example.com", "A.B:1", "a.", "[::1]:80", "bücher.example", "a..b", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, err := tenants.CanonicalHost(in)
		if err != nil {
			return
		}
		if host == "" || len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			t.Errorf("%q became %q", in, host)
		}
		if again, err := tenants.CanonicalHost(host); err != nil || again != host {
			t.Errorf("%q became %q and then %q, %v", in, host, again, err)
		}
	})
}

func TestHostsInUseAreFoundWithoutAllocation(t *testing.T) {
	h := newHouse(t)
	h.add(t, "acme", "acme.example.com")
	for _, host := range []string{"acme.example.com", "acme.example.com:8443"} {
		if n := testing.AllocsPerRun(100, func() { h.service.ByHost(host) }); n != 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
}

func TestDurationsAreText(t *testing.T) {
	settings := tenants.Settings{Session: tenants.SessionSettings{Idle: tenants.Duration(90 * time.Minute)}}
	text, err := json.Marshal(settings)
	if err != nil || string(text) != `{"session":{"idle":"1h30m0s"}}` {
		t.Errorf("JSON %s, %v", text, err)
	}
	var fromJSON, fromYAML tenants.Settings
	if err := json.Unmarshal(text, &fromJSON); err != nil || !fromJSON.Equal(settings) {
		t.Errorf("JSON read as %+v, %v", fromJSON, err)
	}
	if err := yaml.Unmarshal([]byte("session: {idle: 90m}"), &fromYAML); err != nil || !fromYAML.Equal(settings) {
		t.Errorf("YAML read as %+v, %v", fromYAML, err)
	}
	for _, wrong := range []string{`{"session":{"idle":"soon"}}`, `{"session":{"idle":5}}`} {
		if err := json.Unmarshal([]byte(wrong), &fromJSON); err == nil {
			t.Errorf("read %s", wrong)
		}
	}
}

func TestNetworksAreReadAndAdmit(t *testing.T) {
	const text = `{"session":{"max_per_person":3,"when_full":"refuse","bind_device":true,"networks":["192.0.2.0/24","2001:db8::/32"],"role_networks":{"admin":["2001:db8::/32"],"owner":["192.0.2.0/25","2001:db8::/48"]},"reauth_age":"5m0s","device_login":"recent"},"second_factor":{"policy":"unless_provider","acr_values":["urn:x:mfa"]}}`
	var fromJSON, fromYAML tenants.Settings
	if err := json.Unmarshal([]byte(text), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte("session: {max_per_person: 3, when_full: refuse, bind_device: true, networks: [192.0.2.0/24, 2001:db8::/32], role_networks: {owner: [192.0.2.0/25, 2001:db8::/48], admin: [2001:db8::/32]}, reauth_age: 5m, device_login: recent}\nsecond_factor: {policy: unless_provider, acr_values: [\"urn:x:mfa\"]}"), &fromYAML); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(fromYAML)
	if err != nil || string(again) != text || !fromJSON.Equal(fromYAML) || fromJSON.Equal(tenants.Settings{}) {
		t.Errorf("%s, %v", again, err)
	}
	for ip, admitted := range map[string]bool{"192.0.2.9": true, "::ffff:192.0.2.9": true, "2001:db8::7": true, "192.0.3.9": false, "::1": false} {
		if got := fromJSON.Session.Admits(netip.MustParseAddr(ip)); got != admitted {
			t.Errorf("%s: %t", ip, got)
		}
		if !new(tenants.SessionSettings).Admits(netip.MustParseAddr(ip)) {
			t.Errorf("%s is kept out though nothing is set", ip)
		}
	}
	if fromJSON.Session.Admits(netip.Addr{}) {
		t.Error("an address that is not known is admitted")
	}
	for _, try := range []struct {
		ip       string
		roles    []string
		admitted bool
	}{
		{"198.51.100.1", nil, true}, {"198.51.100.1", []string{"member", "viewer"}, true},
		{"192.0.2.9", []string{"owner"}, true}, {"::ffff:192.0.2.9", []string{"owner"}, true}, {"192.0.2.200", []string{"owner"}, false},
		{"192.0.2.9", []string{"member", "owner", "admin"}, false}, {"2001:db8::7", []string{"owner", "admin"}, true}, {"2001:db8:1::7", []string{"owner", "admin"}, false},
	} {
		if got := fromJSON.Session.AdmitsRoles(try.roles, netip.MustParseAddr(try.ip)); got != try.admitted {
			t.Errorf("%v from %s: %t", try.roles, try.ip, got)
		}
	}
	if fromJSON.Session.AdmitsRoles([]string{"owner"}, netip.Addr{}) {
		t.Error("an owner from an address that is not known is admitted")
	}
	if fromYAML.Session.Recent() != 5*time.Minute || new(tenants.SessionSettings).Recent() != 15*time.Minute {
		t.Error("how recent an authentication must be")
	}
}

func TestLimitsHaveDefaults(t *testing.T) {
	hours := func(idle, absolute int) tenants.SessionSettings {
		return tenants.SessionSettings{Idle: tenants.Duration(idle) * tenants.Duration(time.Hour), Absolute: tenants.Duration(absolute) * tenants.Duration(time.Hour)}
	}
	for _, try := range []struct {
		settings tenants.SessionSettings
		want     [2]int
	}{
		{hours(0, 0), [2]int{8, 168}},
		{hours(1, 0), [2]int{1, 168}},
		{hours(0, 4), [2]int{4, 4}},
		{hours(0, 24), [2]int{8, 24}},
		{hours(2, 3), [2]int{2, 3}},
	} {
		idle, absolute := try.settings.Limits()
		if idle != time.Duration(try.want[0])*time.Hour || absolute != time.Duration(try.want[1])*time.Hour {
			t.Errorf("%+v: %v and %v, want %v hours", try.settings, idle, absolute, try.want)
		}
	}
}
