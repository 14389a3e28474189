package httpkit

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

var ownMachine = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// overTLS is a server over TLS at 127.0.0.1 that counts who comes, and a client that
// may go there and nowhere else inside.
func overTLS(t *testing.T, handle http.HandlerFunc) (server *httptest.Server, client *http.Client, came *atomic.Int64) {
	t.Helper()
	came = new(atomic.Int64)
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came.Add(1)
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client = NewEgress(EgressOptions{Allow: ownMachine, RootCAs: roots}).Client()
	return server, client, came
}

// listening is a server over TLS at an address.
func listening(t *testing.T, address string, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handle)
	_ = server.Listener.Close() // another address than this one
	server.Listener = listener
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// A redirect leads neither from TLS to the clear, not even to this machine, nor to an
// address inside, also over TLS.
func TestEgressIsNotRedirectedElsewhere(t *testing.T) {
	var inside atomic.Int64
	count := func(http.ResponseWriter, *http.Request) { inside.Add(1) }
	plain := httptest.NewServer(http.HandlerFunc(count))
	t.Cleanup(plain.Close)
	hidden := listening(t, "127.0.0.2:0", count) // which is not allowed

	to := ""
	server, client, _ := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	})
	user, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	user.User = url.UserPassword("gate", "s3cret")
	for name, try := range map[string]struct {
		to      string
		refused bool
	}{
		"to itself":               {server.URL + "/ok", false},
		"to the clear, allowed":   {plain.URL, true},
		"to the inside, over TLS": {hidden.URL, true},
		"to metadata, over TLS":   {"https://169.254.169.254/latest/meta-data/", true},
		"to itself, as somebody":  {user.String() + "/ok", true},
	} {
		to = try.to
		resp, err := client.Get(server.URL)
		if err == nil {
			_ = resp.Body.Close()
		}
		if errors.Is(err, ErrEgressRefused) != try.refused || !try.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := inside.Load(); n != 0 {
		t.Errorf("%d requests came in", n)
	}
}

// An address with a name or a password in it is not fetched: it would be sent along,
// and stand wherever the address is written.
func TestEgressTakesNoUserInAnAddress(t *testing.T) {
	server, client, came := overTLS(t, func(http.ResponseWriter, *http.Request) {})
	host := strings.TrimPrefix(server.URL, "https://")
	for _, user := range []string{"gate@", "gate:s3cret@", ":@", "idp.example@"} {
		resp, err := client.Get("https://" + user + host + "/")
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, ErrEgressRefused) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", user, err)
		}
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d requests came in", n)
	}
}

// Of an answer's header no more is read than there may be.
func TestEgressBoundsHeaders(t *testing.T) {
	size := 0
	server, client, _ := overTLS(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", size)) })
	for _, one := range []struct {
		size int
		good bool
	}{{egressMaxHeader / 2, true}, {egressMaxHeader * 2, false}} {
		size = one.size
		resp, err := client.Get(server.URL)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if (err == nil) != one.good {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// rebinding answers DNS over one connection: each question about an IPv4 address with
// the next one of a list, as who owns a name may.
func rebinding(t *testing.T, asked *atomic.Int64, answers ...netip.Addr) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<12)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return // the test is over
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				next := answers[min(int(asked.Add(1)), len(answers))-1]
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body: &dnsmessage.AResource{A: next.As4()}}}
			}
			if raw, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(raw, from)
			}
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = conn.Close()
		<-done
	})
}

// A name that leads outside when it is first asked for, and inside afterwards, leads
// nowhere: what is checked is the very address that is dialled, each time.
func TestEgressIsNotReboundByDNS(t *testing.T) {
	var inside atomic.Int64
	outside := listening(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(outside.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	listening(t, "127.0.0.2:"+port, func(http.ResponseWriter, *http.Request) { inside.Add(1) }) // which is not allowed
	roots := x509.NewCertPool()
	roots.AddCert(outside.Certificate()) // good for example.com, and shown at both
	client := NewEgress(EgressOptions{Allow: ownMachine, RootCAs: roots}).Client()

	var asked atomic.Int64
	rebinding(t, &asked, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"))
	get := func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com:"+port, http.NoBody)
		if err != nil {
			return err
		}
		r.Close = true // so that the next one dials anew
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	if err := get(); err != nil {
		t.Fatalf("where it may: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the name was asked for %d times for one fetch: one answer may be checked, and another dialled", n)
	}
	for range 2 {
		if err := get(); !errors.Is(err, ErrEgressRefused) {
			t.Errorf("led inside: %v", err)
		}
	}
	if n := inside.Load(); n != 0 || asked.Load() < 2 {
		t.Errorf("%d requests came in, the name was asked for %d times", n, asked.Load())
	}
}
