package httpkit

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/identity"
)

// hall is a provider that lets nobody go until it is told to.
type hall struct {
	mu     sync.Mutex
	within map[string]int // by the path they came for
	came   chan string
	let    chan struct{}
}

// ServeHTTP implements [http.Handler].
func (h *hall) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	h.count(r.URL.Path, 1)
	defer h.count(r.URL.Path, -1)
	h.came <- r.URL.Path
	select {
	case <-h.let:
	case <-r.Context().Done():
	}
}

func (h *hall) count(path string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.within[path] += n
}

// A tenant has so many places at a host, in which the next of its fetches waits for one
// of those before; others have theirs, whatever becomes of these.
func TestEgressSharesAHostAmongTenants(t *testing.T) {
	h := &hall{within: map[string]int{}, came: make(chan string, 1<<10), let: make(chan struct{})}
	server, client, _ := overTLS(t, h.ServeHTTP)
	t.Cleanup(client.CloseIdleConnections)
	client.Timeout = 0 // the test's own
	ctx, cancel := context.WithCancel(t.Context())
	var fetches sync.WaitGroup
	defer fetches.Wait()
	defer cancel()
	get := func(ctx context.Context, path string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	mallory := WithRequest(ctx, &Request{Tenant: "mallory"})
	for range 2 * egressMaxShare {
		fetches.Go(func() { _ = get(mallory, "/mallory") })
	}
	for range egressMaxShare {
		<-h.came
	}
	late, tired := context.WithCancel(mallory)
	waited := make(chan error, 1)
	go func() { waited <- get(late, "/mallory") }()
	tired()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("whoever gives up: %v", err)
	}

	acme := make(chan error, 1)
	go func() { acme <- get(OnBehalf(ctx, identity.TenantID("acme")), "/acme") }()
	for path := range h.came {
		if path == "/acme" {
			break
		}
		t.Fatal("a tenant has more than its places")
	}
	if h.count("/mallory", 0); h.within["/mallory"] != egressMaxShare {
		t.Errorf("%d are fetched at once", h.within["/mallory"])
	}
	for range 2*egressMaxShare + 1 { // also those that have waited
		h.let <- struct{}{}
	}
	if err := <-acme; err != nil {
		t.Error(err)
	}
	fetches.Wait()
	egress, ok := client.Transport.(*Egress)
	if !ok {
		t.Fatal("it is no egress")
	}
	if n := len(egress.shares.of); n != 0 {
		t.Errorf("%d shares are kept of nobody", n)
	}
}

// An answer that fails, is refused, or read to its end and never closed, holds no place.
func TestEgressGivesPlacesBack(t *testing.T) {
	server, client, _ := overTLS(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			w.Header().Set("Content-Length", "1048577")
		case "/again":
			http.Redirect(w, r, "/again", http.StatusFound)
		case "/broken":
			panic(http.ErrAbortHandler)
		case "/cut":
			w.Header().Set("Content-Length", "3")
			_, _ = w.Write([]byte("x"))
		}
	})
	for range egressMaxShare + 1 {
		for path, good := range map[string]bool{"/large": false, "/again": false, "/broken": false, "/cut": true, "/": true} {
			resp, err := client.Get(server.URL + path)
			if (err == nil) != good {
				t.Fatalf("%s: %v", path, err)
			}
			if err != nil {
				continue
			}
			for err == nil {
				_, err = resp.Body.Read(make([]byte, 8))
			}
		}
	}
}

const proxied = "GATEHOUSE_TEST_PROXIED"

// What the environment says of proxies is not heeded: one would dial what the check has
// not seen. It is read once a process, so the fetch is one of a process of its own.
func TestEgressKnowsNoProxy(t *testing.T) {
	if address := os.Getenv(proxied); address != "" {
		askPastAProxy(t, address)
		return
	}
	var asked atomic.Int64
	proxy := listening(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		run.Env = append(run.Env, name+"="+proxy.URL)
	}
	run.Env = append(run.Env, "NO_PROXY=", proxied+"="+proxy.URL)
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
}

// askPastAProxy fetches where the environment names a proxy for everything.
func askPastAProxy(t *testing.T, proxy string) {
	if r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com", http.NoBody); err != nil {
		t.Fatal(err)
	} else if to, err := http.ProxyFromEnvironment(r); err != nil || to == nil || to.String() != proxy {
		t.Fatalf("others would ask %v: %v", to, err)
	}
	server, client, came := overTLS(t, func(http.ResponseWriter, *http.Request) {})
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var named atomic.Int64
	rebinding(t, &named, ownMachine[0].Addr())
	resp, err := client.Get("https://" + net.JoinHostPort("example.com", at.Port()) + "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || came.Load() != 1 || !strings.Contains(server.URL, "127.0.0.1") {
		t.Errorf("%d came: %v", came.Load(), err)
	}
}
