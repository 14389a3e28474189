package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"gatehouse/assertion"
	"gatehouse/demo"
	"gatehouse/demo/app"
	"gatehouse/demo/idp"
	"gatehouse/demo/oidcidp"
)

// house is a gateway as installations run it, `gatehouse serve` on a config
// file, set up through its command line. The app and the identity provider run
// in the test's process, so that what they saw outlives the gateway.
type house struct {
	demo.Info
	serving

	acme     string // its id
	provider *oidcidp.Provider
	secret   string // of acme's connection at the provider
	storage  storage
}

// serving is a `gatehouse serve`.
type serving struct {
	data, config string
	around       []string // a command that runs the gateway; nothing: it runs by itself
	cmd          *exec.Cmd
	stderr       *lockedBuffer
	read         chan struct{} // closed when stderr has been read to its end
	https, ops   string        // where it listens since it was started
}

// houseConfig is complete but for what the test adds at its end.
const houseConfig = `environment: test
data: %[1]q
listen: { https: "127.0.0.1:0", ops: "127.0.0.1:0" }
tls: { mode: internal }
store: %[2]q
keys: %[3]q
operator: { host: admin.localhost }
egress: { allow: ["127.0.0.0/8"] }
app:
  upstreams: [%[4]q]
  routes:
    - { path: /public/*, access: public }
    - { path: /api/teams/{team}/**, permission: alerts }
    - { path: /api/admin/**, permission: billing }
    - { path: /**, access: signed_in }
`

// houseTenants are what `gatehouse apply` is given: two tenants, and for acme
// the identity provider, which may take out as many people as a test wants.
const houseTenants = `kind: Tenant
name: acme
spec: { hosts: [acme.localhost], display_name: Acme, settings: { scim: { brake: { off: true } } } }
---
kind: Tenant
name: globex
spec: { hosts: [globex.localhost], display_name: Globex }
---
kind: Connection
tenant: acme
name: oidc
spec: { type: oidc, issuer: %q, client_id: acme, client_secret: %q, scopes: [openid, email, profile], claims: { email: email, name: name }, default_role: member }
`

// newHouse starts a house with its two tenants and their tokens. The gateway is
// run by a command, if one is given.
func newHouse(t *testing.T, around ...string) *house {
	t.Helper()
	data := t.TempDir()
	return newHouseOn(t, data, storage{URL: "sqlite://" + filepath.Join(data, "store")}, around...)
}

// storage is where a house's store is, and as whom its tables are made; "": as they are used.
type storage struct{ URL, Owner string }

// newHouseOn is newHouse with a store, on a folder for the rest.
func newHouseOn(t *testing.T, data string, on storage, around ...string) *house {
	t.Helper()
	h := &house{serving: serving{data: data, around: around}, secret: rand.Text(), storage: on}
	h.config = filepath.Join(h.data, "gatehouse.yaml")
	h.CA = filepath.Join(h.data, "ca", "ca.pem")
	quiet := slog.New(slog.DiscardHandler)
	verifier, err := assertion.NewVerifier(assertion.Options{URL: "https://acme.localhost/.gatehouse/jwks.json", Client: &http.Client{Transport: towards{h}}})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(app.New(verifier, quiet))
	t.Cleanup(upstream.Close)
	h.App = upstream.URL

	var issuer string
	h.provider, issuer = startProvider(t, oidcidp.Options{Key: newKey(t), Accounts: idp.Accounts{
		{Subject: "owner", Email: owner, Name: "Olivia", Password: "demo-owner"},
		{Subject: "member", Email: member, Name: "Max", Password: "demo-member"},
		{Subject: "viewer", Email: viewer, Name: "Vera", Password: "demo-viewer"},
	}})

	h.write(t, "")
	h.start(t)
	t.Cleanup(h.kill)
	h.populate(t, issuer, h.secret)
	h.acme = decode[struct{ ID string }](t, []byte(h.run(t, "tenant", "show", "acme", "-o", "json"))).ID
	h.Tenants = map[string]demo.Tenant{}
	for _, name := range []string{"acme", "globex"} {
		h.Tenants[name] = demo.Tenant{Connection: "oidc",
			APIToken:  strings.TrimSpace(h.run(t, "token", "create", "--tenant", name, "--scope", "api", "--role", "owner")),
			SCIMToken: strings.TrimSpace(h.run(t, "token", "create", "--tenant", name, "--scope", "scim")),
			Users:     []demo.User{{Email: owner, Password: "demo-owner"}, {Email: member, Password: "demo-member"}, {Email: viewer, Password: "demo-viewer"}}}
	}
	h.address(t)
	return h
}

// callbackPath is where the provider sends people back to.
const callbackPath = ".gatehouse/oidc/oidc/callback"

// newKey is one that identity providers sign with.
func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// startProvider runs an identity provider in the test's process.
func startProvider(t *testing.T, o oidcidp.Options) (p *oidcidp.Provider, issuer string) {
	t.Helper()
	listening := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.ServeHTTP(w, r) }))
	issuer = "http://" + listening.Listener.Addr().String()
	o.Issuer, o.Log = issuer, slog.New(slog.DiscardHandler)
	var err error
	if p, err = oidcidp.New(o); err != nil {
		t.Fatal(err)
	}
	listening.Start()
	t.Cleanup(listening.Close)
	return p, issuer
}

// populate makes the two tenants.
func (s *serving) populate(t *testing.T, issuer, secret string) {
	t.Helper()
	resources := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(resources, fmt.Appendf(nil, houseTenants, issuer, secret), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run(t, "apply", "-f", resources)
}

// towards is the app's way to the gate's published keys, wherever that is now.
type towards struct{ h *house }

func (w towards) RoundTrip(r *http.Request) (*http.Response, error) {
	client, err := w.h.Client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	gate, err := url.Parse(w.h.Operator.URL)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Host = net.JoinHostPort(r.URL.Hostname(), gate.Port())
	return client.Do(r)
}

// write writes the config file, with more sections at its end.
func (h *house) write(t *testing.T, more string) {
	t.Helper()
	text := fmt.Sprintf(houseConfig, h.data, h.storage.URL, "file://"+filepath.Join(h.data, "kek.key"), h.App) + more
	if h.storage.Owner != "" {
		text = fmt.Sprintf("store_owner: %q\n", h.storage.Owner) + text
	}
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the gateway and returns once it serves.
func (s *serving) start(t *testing.T) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	stderr, read := &lockedBuffer{}, make(chan struct{})
	command := append(slices.Clone(s.around), path, "serve", "--config", s.config)
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Env = append(os.Environ(), "DATA="+s.data)
	s.stderr, s.read = stderr, read
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	type addresses struct{ Msg, HTTPS, Ops string }
	listens := make(chan addresses, 1)
	go func() {
		defer close(read)
		defer close(listens)
		for lines := bufio.NewReader(pipe); ; {
			line, err := lines.ReadBytes('\n')
			_, _ = stderr.Write(line) // into memory
			var entry addresses
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "serving" {
				listens <- entry
			}
			if err != nil {
				return
			}
		}
	}()
	at, ok := <-listens
	if !ok {
		_ = s.cmd.Wait()
		t.Fatalf("the gateway did not become ready:\n%s", stderr)
	}
	s.https, s.ops = at.HTTPS, at.Ops
}

// at is the URL of one of the gateway's hosts.
func (s *serving) at(name string) string {
	return "https://" + strings.Replace(s.https, "127.0.0.1", name+".localhost", 1) + "/"
}

// start is serving's, and tells everybody where.
func (h *house) start(t *testing.T) {
	t.Helper()
	h.serving.start(t)
	h.address(t)
}

// address tells everybody where the gateway listens since it was started.
func (h *house) address(t *testing.T) {
	t.Helper()
	h.Operator.URL, h.Ops = h.at("admin"), "http://"+h.ops
	for name, tenant := range h.Tenants {
		tenant.URL = h.at(name)
		tenant.SCIM = tenant.URL + "scim/v2"
		h.Tenants[name] = tenant
	}
	if acme := h.Tenants["acme"]; acme.URL != "" {
		h.provider.Register(oidcidp.Client{ID: "acme", Secret: h.secret, RedirectURIs: []string{acme.URL + callbackPath},
			SignedOutURIs: []string{acme.URL, acme.URL + ".gatehouse/logout"}})
	}
}

// kill ends the gateway as kill -9 does, and waits for it.
func (s *serving) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		<-s.read
		_ = s.cmd.Wait()
	}
}

// run runs a command that must succeed on the gateway's data folder.
func (s *serving) run(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := gatehouse(t, append(args, "--data", s.data)...)
	if code != 0 {
		t.Fatalf("gatehouse %s: exit code %d: %s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// arrival is a request that came to the app.
type arrival struct {
	Path      string `json:"path"`
	RequestID string `json:"request_id"`
	Tenant    string `json:"tenant"`
}

// seen is what the app saw, asked on its own port.
func (h *house) seen(t *testing.T) []arrival {
	t.Helper()
	resp, body := get(t, http.DefaultClient, h.App+"/__seen")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	return decode[[]arrival](t, body)
}

// entry is a record of the journal, as far as these tests look.
type entry struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Session   string `json:"session"`
	RequestID string `json:"request_id"`
	Target    struct {
		ID string `json:"id"`
	} `json:"target"`
}

// journal reads a tenant's journal from the files, as an auditor would.
func (h *house) journal(t *testing.T, tenant string) []entry {
	t.Helper()
	var all []entry
	lines := json.NewDecoder(strings.NewReader(h.run(t, "audit", "export", "--tenant", tenant)))
	for {
		var e entry
		switch err := lines.Decode(&e); err {
		case nil:
			all = append(all, e)
		case io.EOF:
			return all
		default:
			t.Fatal(err)
		}
	}
}
