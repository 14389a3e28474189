package httpkit

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestEgressRefusesAddressesInside(t *testing.T) {
	inside := []string{
		"127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "168.63.129.16",
		"0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.0.192", "198.18.0.1",
		"::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "64:ff9b::7f00:1",
		"2002:7f00:1::", "2001::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1",
		// All that IANA's registries of special-purpose addresses list, first and last.
		"10.255.255.255", "100.64.0.0", "100.127.255.255", "172.31.255.255", "192.0.0.0", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.0.255",
		"192.0.2.0", "192.0.2.255", "192.31.196.0", "192.31.196.255", "192.52.193.0", "192.52.193.255", "192.88.99.0", "192.88.99.2", "192.88.99.255",
		"192.168.255.255", "192.175.48.0", "192.175.48.255", "198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255",
		"64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::1", "100:0:0:1::1",
		"2001::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1::1", "2001:1::2", "2001:1::3", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:5::1",
		"2001:10::1", "2001:2f:ffff::1", "2001:3f:ffff::1", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::1", "2001:db8:ffff::1",
		"2002::1", "2002:a00:1::1", "2002:ffff:ffff::1", "2620:4f:8000::1", "2620:4f:8000:ffff::1", "3ffe::1", "3ffe:831f::1", "3fff::1", "3fff:fff:ffff::1",
		"5f00::1", "5f00:ffff::1", "fc00::", "fdff::1", "febf::1", "feff::1", "::ffff:0:10.0.0.1", "200::1", "4000::1", "8000::1",
		// Behind ISATAP, whatever the prefix.
		"2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:10.0.0.1", "2606:4700::100:5efe:8.8.8.8", "2a00:1450:4001:800:300:5efe:7f00:1", "fe80::5efe:10.0.0.1",
	}
	for _, ip := range inside {
		if err := (EgressOptions{}).check(netip.AddrPortFrom(netip.MustParseAddr(ip), 443).String()); !errors.Is(err, ErrEgressRefused) {
			t.Errorf("%s was let through: %v", ip, err)
		}
	}
	for _, ip := range []string{"1.1.1.1", "93.184.216.34", "2606:4700::1111",
		"9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "168.63.129.17", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0",
		"192.31.195.255", "192.31.197.0", "192.52.194.0", "192.88.100.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0", "198.51.101.0", "203.0.114.0", "223.255.255.255",
		"::ffff:1.1.1.1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "2620:4f:8001::1", "2620:fe::fe", "3ffd:ffff::1", "3fff:1000::1",
		"2606:4700::400:5efe:10.0.0.1", "2606:4700::5eff:10.0.0.1", "2606:4700:5efe::1"} {
		if err := (EgressOptions{}).check(netip.AddrPortFrom(netip.MustParseAddr(ip), 443).String()); err != nil {
			t.Errorf("%s was refused: %v", ip, err)
		}
	}
	if err := (EgressOptions{}).check("not-an-address:1"); !errors.Is(err, ErrEgressRefused) {
		t.Errorf("an address that is none was let through: %v", err)
	}
}

// What the operator denies is reached by no other word of theirs, nor because it is
// public, and in none of the ways to write it.
func TestEgressIsDeniedWhatTheOperatorDenies(t *testing.T) {
	prefixes := func(all ...string) (list []netip.Prefix) {
		for _, p := range all {
			list = append(list, netip.MustParsePrefix(p))
		}
		return list
	}
	o := EgressOptions{Allow: prefixes("10.0.0.0/8", "64:ff9b::/96", "203.0.113.0/24"), Deny: prefixes("10.1.0.0/16", "93.184.216.0/24", "2606:4700:64::/96", "64:ff9b::a00:0/104", "203.0.113.7/32")}
	for ip, good := range map[string]bool{
		"10.0.0.1": true, "10.1.0.1": false, "::ffff:10.1.0.1": false, "10.2.0.1": true,
		"93.184.216.34": false, "::ffff:93.184.216.34": false, "93.184.217.34": true,
		"2606:4700:64::a00:1": false, "2606:4700:64::808:808": false, "2606:4700::1111": true,
		"64:ff9b::808:808": true, "64:ff9b::a01:1": false, "203.0.113.6": true, "203.0.113.7": false,
	} {
		if err := o.check(netip.AddrPortFrom(netip.MustParseAddr(ip), 443).String()); (err == nil) != good || err != nil && !errors.Is(err, ErrEgressRefused) {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

func TestEgressChecksWhatIsDialled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/again":
			http.Redirect(w, r, "/again", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case "/post":
			http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect)
		case "/large":
			for range 40 {
				_, _ = io.WriteString(w, strings.Repeat("x", 32<<10))
			}
		case "/exact":
			_, _ = io.WriteString(w, strings.Repeat("x", egressMaxBody))
		}
	}))
	defer server.Close()
	serverURL, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port := serverURL.Port()

	guarded := NewEgress(EgressOptions{}).Client()
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if _, err := guarded.Get("http://" + host + ":" + port + "/"); !errors.Is(err, ErrEgressRefused) {
			t.Errorf("%s: %v", host, err)
		}
	}

	allowed := NewEgress(EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}).Client()
	for path, want := range map[string]error{"/again": ErrEgressRefused, "/plain": ErrEgressRefused} {
		if _, err := allowed.Get(server.URL + path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if _, err := allowed.Post(server.URL+"/post", "text/plain", strings.NewReader("secret")); !errors.Is(err, ErrEgressRefused) {
		t.Errorf("a POST was redirected: %v", err)
	}
	resp, err := allowed.Get(server.URL + "/large")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, ErrEgressTooLarge) || len(body) != egressMaxBody {
		t.Errorf("read %d bytes: %v", len(body), err)
	}
	resp, err = allowed.Get(server.URL + "/exact")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || len(body) != egressMaxBody {
		t.Errorf("read %d bytes: %v", len(body), err)
	}
	if _, err := allowed.Get("http://gatehouse.invalid/"); !errors.Is(err, ErrEgressRefused) {
		t.Errorf("plain http to a name: %v", err)
	}
}

func TestEgressGoesByItsNewOptionsAtOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	e := NewEgress(EgressOptions{})
	c := e.Client()
	fetch := func() error {
		resp, err := c.Get(server.URL)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	if err := fetch(); !errors.Is(err, ErrEgressRefused) {
		t.Errorf("before it is allowed: %v", err)
	}
	e.Change(EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err := fetch(); err != nil {
		t.Errorf("allowed: %v", err)
	}
	e.Change(EgressOptions{}) // the connection of before must not serve any more
	if err := fetch(); !errors.Is(err, ErrEgressRefused) {
		t.Errorf("no longer allowed: %v", err)
	}
}

// Whoever waits longer for an answer does so for its beginning alone.
func TestEgressIsAsPatientAsItIsTold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	e := NewEgress(EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Patience: 50 * time.Millisecond})
	e.Change(EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}) // which is no matter of patience
	client := e.Client()
	if client.Timeout != egressTimeout+50*time.Millisecond {
		t.Errorf("an answer may take %v", client.Timeout)
	}
	begun := time.Now()
	_, err := client.Get(server.URL)
	if slow, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); !ok || !slow.Timeout() || time.Since(begun) > egressTimeout {
		t.Errorf("waited %v: %v", time.Since(begun), err)
	}
}
