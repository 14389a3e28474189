package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/configs"
	"gatehouse/identity"
	"gatehouse/internal/telemetry"
	"gatehouse/proxy/ca"
	"gatehouse/tenants"
)

// patience is how long something may take to come that comes by itself, and
// attempt how long one look at it may.
const (
	patience = 2 * time.Minute
	attempt  = 10 * time.Second
)

// house is a gateway on a config file, with a tenant and an app, all on loopback.
type house struct {
	*Gateway
	t    *testing.T
	dir  string
	file string
	base map[string]string // the config, by key paths
	told chan os.Signal
	out  *lockedBuffer
	acme *tenants.Tenant
	app  *someApp
	stop func() error // ends the gateway and waits for it
}

// newHouse starts a gateway whose config differs from the usual by some keys.
func newHouse(t *testing.T, keys map[string]string) *house {
	t.Helper()
	h := openHouse(t, keys)
	h.serve()
	return h
}

// serve runs it.
func (h *house) serve() {
	t := h.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	h.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Errorf("the gateway ended with %v\n%s", err, h.out)
		}
	})
}

// openHouse makes one that does not serve yet.
func openHouse(t *testing.T, keys map[string]string) *house {
	t.Helper()
	h := emptyHouse(t, keys)
	var err error
	h.acme, err = h.Services().Tenants.Create(t.Context(), audit.SystemCause(),
		tenants.Tenant{Name: "acme", DisplayName: "Acme", Hosts: []string{"acme.test"}, Status: tenants.Active})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// emptyHouse makes one without a tenant.
func emptyHouse(t *testing.T, keys map[string]string) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{t: t, dir: dir, file: filepath.Join(dir, "gatehouse.yaml"), told: make(chan os.Signal, 1), out: &lockedBuffer{}, app: newSomeApp(t, "first")}
	h.base = map[string]string{
		"environment": "test", "data": dir, "store": "sqlite://" + filepath.Join(dir, "store"), "keys": "file://" + filepath.Join(dir, "kek.key"),
		"listen.https": `"127.0.0.1:0"`, "listen.ops": `"127.0.0.1:0"`, "tls.mode": "internal", "operator.host": "admin.test",
		"app.upstreams": `["` + h.app.URL + `"]`, "app.routes": "[ { path: /**, access: public } ]",
	}
	maps.Copy(h.base, keys)
	h.certificate("a")
	h.certificate("b")
	h.write(nil)
	cfg, problems, err := configs.Load(h.file)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	h.Gateway, err = New(t.Context(), cfg, Options{Log: telemetry.NewLogger(h.out, telemetry.JSON, slog.LevelInfo), ConfigFile: h.file, Reload: h.told})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// write writes the config file with some keys changed.
func (h *house) write(changes map[string]string) {
	h.t.Helper()
	all := maps.Clone(h.base)
	maps.Copy(all, changes)
	sections := map[string][]string{}
	var text strings.Builder
	for _, path := range slices.Sorted(maps.Keys(all)) {
		section, key, nested := strings.Cut(path, ".")
		if !nested {
			fmt.Fprintf(&text, "%s: %s\n", path, all[path])
			continue
		}
		sections[section] = append(sections[section], key+": "+all[path])
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		fmt.Fprintf(&text, "%s: { %s }\n", section, strings.Join(sections[section], ", "))
	}
	h.put(text.String())
}

func (h *house) put(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// hangUp is SIGHUP.
func (h *house) hangUp() { h.told <- os.Interrupt }

// soon waits for what must come without being asked for again.
func (h *house) soon(what string, holds func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !holds() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			h.t.Fatalf("%s did not come:\n%s", what, h.out)
		}
	}
}

func (h *house) says(text string) func() bool {
	return func() bool { return strings.Contains(h.out.String(), text) }
}

// certificate writes a pair for a name into the house's folder.
func (h *house) certificate(name string) {
	h.t.Helper()
	authority, err := ca.Open(h.t.TempDir(), func(string) bool { return true })
	if err != nil {
		h.t.Fatal(err)
	}
	cert, err := authority.GetCertificate(&tls.ClientHelloInfo{ServerName: name + ".test"})
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		h.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, name + ".key": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(h.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
}

// dial opens a connection to the gate; change, if not nil, has the last word on
// how.
func (h *house) dial(change func(*tls.Config)) (*tls.Conn, error) {
	h.t.Helper()
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(h.dir, "ca", "ca.pem")); err == nil {
		roots.AppendCertsFromPEM(pem)
	}
	config := &tls.Config{RootCAs: roots, ServerName: "acme.test", MinVersion: tls.VersionTLS12}
	if change != nil {
		change(config)
	}
	c, err := tls.Dial("tcp", h.Addr(), config)
	if err != nil {
		return nil, err
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return c, c.SetDeadline(time.Now().Add(attempt))
}

// ends reports whether the gate ends a connection on which no more than this is
// sent.
func (h *house) ends(text string) bool {
	h.t.Helper()
	c, err := h.dial(nil)
	if err == nil {
		_, err = io.WriteString(c, text)
	}
	return err == nil && ended(c)
}

// ended reports whether a connection is; how long it has been held says nothing.
func ended(c net.Conn) bool {
	if err := c.SetDeadline(time.Now().Add(attempt)); err != nil {
		return true
	}
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// hold opens a connection whose request the app holds; nil if it does not come
// there.
func (h *house) hold(header ...string) *tls.Conn {
	h.t.Helper()
	c, err := h.dial(nil)
	if err == nil {
		var fields strings.Builder
		for i := 0; i < len(header); i += 2 {
			fmt.Fprintf(&fields, "%s: %s\r\n", header[i], header[i+1])
		}
		_, err = io.WriteString(c, "GET /hold HTTP/1.1\r\nHost: acme.test\r\nConnection: close\r\n"+fields.String()+"\r\n")
	}
	if err != nil {
		return nil
	}
	select {
	case <-h.app.entered:
		return c
	case <-time.After(attempt):
		return nil
	}
}

// ask sends a request of its own connection to acme.
func (h *house) ask(method, path, body string, header ...string) (status int, text string) {
	h.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		c, err := h.dial(nil)
		if err == nil && method != http.MethodGet { // a change waits for every node
			err = c.SetDeadline(time.Now().Add(patience))
		}
		return c, err
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest(method, "https://acme.test"+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	read, _ := io.ReadAll(resp.Body) // what there is of it
	return resp.StatusCode, string(read)
}

func (h *house) status(path string, header ...string) int {
	h.t.Helper()
	status, _ := h.ask(http.MethodGet, path, "", header...)
	return status
}

// ops asks the operators' listener.
func (h *house) ops(path string) (status int, text string) {
	h.t.Helper()
	resp, err := http.Get("http://" + h.OpsAddr() + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(read)
}

// reloads are the messages of the platform's records of reloads.
func (h *house) reloads() (all []string) {
	h.t.Helper()
	for e, err := range h.rooms.journal.Read(context.Background(), identity.Platform, 0) {
		if err != nil {
			h.t.Fatal(err)
		}
		if e.Type == audit.GatewayReloaded {
			all = append(all, e.Message)
		}
	}
	return all
}

// someApp says who it is, and holds requests that ask for it.
type someApp struct {
	*httptest.Server
	well        atomic.Int64 // how often its health was asked for
	connections atomic.Int64
	entered     chan struct{} // a request is held
	release     chan struct{}
}

func newSomeApp(t *testing.T, name string) *someApp {
	a := &someApp{entered: make(chan struct{}, 100), release: make(chan struct{})}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
			a.well.Add(1)
		case "/hold":
			a.entered <- struct{}{}
			select {
			case <-a.release:
			case <-r.Context().Done():
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, name+" "+r.Header.Get("X-Forwarded-For"))
	}))
	a.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			a.connections.Add(1)
		case http.StateClosed:
			a.connections.Add(-1)
		}
	}
	a.Start()
	t.Cleanup(a.Close)
	return a
}

type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
