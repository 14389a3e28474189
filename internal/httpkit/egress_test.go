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
	}
	for _, ip := range inside {
		if err := (EgressOptions{}).check(netip.AddrPortFrom(netip.MustParseAddr(ip), 443).String()); !errors.Is(err, ErrEgressRefused) {
			t.Errorf("%s was let through: %v", ip, err)
		}
	}
	for _, ip := range []string{"1.1.1.1", "93.184.216.34", "2606:4700::1111"} {
		if err := (EgressOptions{}).check(netip.AddrPortFrom(netip.MustParseAddr(ip), 443).String()); err != nil {
			t.Errorf("%s was refused: %v", ip, err)
		}
	}
	if err := (EgressOptions{}).check("not-an-address:1"); !errors.Is(err, ErrEgressRefused) {
		t.Errorf("an address that is none was let through: %v", err)
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
