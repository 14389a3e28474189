package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	random "math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/demo"
	"gatehouse/demo/browse"
	"gatehouse/demo/idp"
	"gatehouse/demo/oidcidp"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/store/postgrestest"
)

const (
	fleetSize = 4
	// callBound is how long a revocation may take in the worst case: waiting out a
	// lease, twice, and the time that its effect has (sessions.Revoke).
	callBound = 2*cluster.Lease + 10*time.Second
)

// full asks for the numbers of a release: CONTRIBUTING.md.
var full = os.Getenv("GATEHOUSE_CLUSTER") == "full"

// of chooses between what each run can afford and what a release needs.
func of[T any](usual, release T) T {
	if full {
		return release
	}
	return usual
}

// fleet is four gateways as installations run them, on one PostgreSQL and on a
// Redis with a replica and a sentinel. The last one's way to Redis can be cut.
// App and identity provider run in the test's process.
type fleet struct {
	nodes    [fleetSize]*node
	sql      *postgrestest.Server
	redis    [2]*redistest.Server // master and replica, or the other way round
	sentinel *redistest.Server
	way      *redistest.Proxy // from the last node to whoever is the master
	app      *probe
	provider *oidcidp.Provider
	issuer   string
	key      *ecdsa.PrivateKey // the provider's
	back     courier           // from the provider to whoever is told of sign-outs
	secret   string            // of acme's connection at the provider
	token    string            // of an owner of acme
	h1, h2   *http.Client
}

// node is a gateway of a fleet. It is started by the test's own goroutine, and
// used by any.
type node struct {
	serving

	number  int
	acme    atomic.Pointer[string] // URL
	opsNow  atomic.Pointer[string] // where its ops listener is
	release func()
}

// fleetConfig is what a fleet's nodes have beside what a house has. Its clients
// all come from one address.
const fleetConfig = `store_owner: %q
registry: %q
data_keys: %q
limits: { rate_per_client: 100000, requests_per_client: 20000, drain_notice: %s }
`

// drainNotice is how long a node takes connections still after the word that it ends.
const drainNotice = 5 * time.Second

const fleetPassword = "fleet-hunter2"

func account(n int) string { return fmt.Sprintf("person-%d@acme.example", n) }

// newFleet starts a fleet whose identity provider knows so many people.
func newFleet(t *testing.T, people int) *fleet {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL and Redis")
	}
	f := &fleet{secret: rand.Text(), key: newKey(t), sql: postgrestest.Start(t)}
	master := redistest.Start(t)
	f.redis = [...]*redistest.Server{master, redistest.Replica(t, master)}
	f.sentinel = redistest.Sentinel(t, master)
	f.way = redistest.ThroughToMaster(t, f.sentinel)
	accounts := make(idp.Accounts, people)
	for n := range accounts {
		accounts[n] = idp.Account{Subject: fmt.Sprint(n), Email: account(n), Name: fmt.Sprint("Person ", n), Password: fleetPassword}
	}
	f.provider, f.issuer = startProvider(t, oidcidp.Options{Key: f.key, Accounts: accounts, BackChannel: &f.back})
	var app string
	f.app, app = startProbe(t)

	database, shared := f.sql.Database(t), t.TempDir()
	for i := range f.nodes {
		n := &node{serving: serving{data: t.TempDir()}, number: i}
		n.config = filepath.Join(n.data, "gatehouse.yaml")
		registry := f.sentinel.URL()
		if i == len(f.nodes)-1 {
			registry = f.way.URL()
		}
		text := fmt.Sprintf(houseConfig, n.data, database.Application, "file://"+filepath.Join(shared, "kek.key"), app) +
			fmt.Sprintf(fleetConfig, database.Owner, registry, filepath.Join(shared, "keys"), drainNotice)
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f.nodes[i] = n
		f.start(t, n)
		t.Cleanup(n.kill) // whichever process it is by then
	}
	t.Cleanup(func() {
		for _, n := range f.nodes {
			if text := n.stderr.String(); t.Failed() {
				t.Logf("node %d said at last:\n%s", n.number, text[max(0, len(text)-8<<10):])
			}
		}
	})
	f.nodes[0].populate(t, f.issuer, f.secret)
	f.token = strings.TrimSpace(f.nodes[0].run(t, "token", "create", "--tenant", "acme", "--scope", "api", "--role", "owner"))
	info := demo.Info{CA: filepath.Join(shared, "ca.pem")}
	var authorities []byte
	for _, n := range f.nodes {
		authority, err := os.ReadFile(filepath.Join(n.data, "ca", "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		authorities = append(authorities, authority...)
	}
	if err := os.WriteFile(info.CA, authorities, 0o600); err != nil {
		t.Fatal(err)
	}
	f.h1, f.h2 = plainClient(t, info, 1), plainClient(t, info, 2)
	f.well(t)
	return f
}

// start runs a node and tells the identity provider where.
func (f *fleet) start(t *testing.T, n *node) {
	t.Helper()
	n.start(t)
	n.release = redistest.Leash(t, n.cmd.Process)
	acme := n.at("acme")
	n.acme.Store(&acme)
	ops := n.ops
	n.opsNow.Store(&ops)
	f.provider.Register(oidcidp.Client{ID: "acme", Secret: f.secret, RedirectURIs: f.callbacks("acme")})
}

// callbacks are where people come back to a tenant from the provider.
func (f *fleet) callbacks(tenant string) (all []string) {
	for _, n := range f.nodes {
		if n != nil {
			all = append(all, n.url(tenant)+callbackPath)
		}
	}
	return all
}

// url is where a tenant is at a node now.
func (n *node) url(tenant string) string {
	return strings.Replace(*n.acme.Load(), "//acme.", "//"+tenant+".", 1)
}

func (n *node) kill() {
	n.serving.kill()
	n.release()
}

// well waits until every node is ready and answers from memory.
func (f *fleet) well(t *testing.T) {
	t.Helper()
	for _, n := range f.nodes {
		soon(t, fmt.Sprintf("node %d, fresh", n.number), func() bool {
			ready, mode := n.standing(t)
			return ready && mode == cluster.ModeFresh
		})
	}
}

// standing is what a node says of itself; nothing if it is not there.
func (n *node) standing(t *testing.T) (ready bool, mode cluster.Mode) {
	t.Helper()
	resp, err := http.DefaultClient.Do(request(t, http.MethodGet, "http://"+n.ops+"/readyz", ""))
	if err != nil {
		return false, ""
	}
	defer func() { _ = resp.Body.Close() }()
	var says struct{ Nodes struct{ Mode cluster.Mode } }
	if json.NewDecoder(resp.Body).Decode(&says) != nil {
		return false, ""
	}
	return resp.StatusCode == http.StatusOK, says.Nodes.Mode
}

// master is the Redis to which the sentinel leads, and the other one.
func (f *fleet) master(t *testing.T) (master, replica *redistest.Server) {
	t.Helper()
	at, err := f.sentinel.Master(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if at == f.redis[0].Addr() {
		return f.redis[0], f.redis[1]
	}
	return f.redis[1], f.redis[0]
}

// any is a node by chance, other than those.
func (f *fleet) any(but ...*node) *node {
	for {
		n := f.nodes[random.IntN(len(f.nodes))] // #nosec G404 -- a choice, not a secret
		spared := false
		for _, b := range but {
			spared = spared || b == n
		}
		if !spared {
			return n
		}
	}
}

// guest is somebody who is signed in, with the same session on every node.
type guest struct {
	*fleet

	session, cookie string
	tenant          string
	browser         *http.Client // in which they signed in
	answered        atomic.Bool  // the sign-out has been
	open            []*connection
	hammers         sync.WaitGroup
	through         atomic.Int64 // requests before the sign-out
}

// sit signs people in at the identity provider, each through a node by chance.
func (f *fleet) sit(t *testing.T, from, count int) []*guest {
	t.Helper()
	guests := make([]*guest, count)
	var all sync.WaitGroup
	turns := make(chan struct{}, fleetSize)
	for i := range guests {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			guests[i] = f.signIn(t, from+i)
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return guests
}

func (f *fleet) signIn(t *testing.T, person int) *guest {
	return f.enter(t, f.h2.Transport, f.any().url("acme"), "oidc", account(person), fleetPassword)
}

// enter signs somebody in at a tenant's address, by one of its connections.
func (f *fleet) enter(t *testing.T, way http.RoundTripper, address, connection, name, password string) *guest {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	browser := &http.Client{Transport: way, Jar: jar, Timeout: patience}
	defer browser.CloseIdleConnections()
	login := address + ".gatehouse/login?" + url.Values{"connection": {connection}, "return_to": {"/who"}}.Encode()
	resp := sure(t, func() (*http.Response, error) {
		return browse.SignIn(t.Context(), browser, login, name, password)
	})
	defer func() { _ = resp.Body.Close() }()
	session, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.HasPrefix(session, []byte("ses_")) {
		t.Errorf("sign in: %s, %v: %s", resp.Status, err, session)
		return nil
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(address, "https://"), ".")
	return &guest{fleet: f, session: string(session), cookie: cookieOf(browser, address), tenant: tenant, browser: browser}
}

// at is the guest at a node, wherever that is now.
func (g *guest) at(n *node) func() door {
	return func() door { return door{n.url(g.tenant), g.cookie} }
}

// client speaks HTTP/1.1 and HTTP/2 by turns.
func (f *fleet) client(turn int) *http.Client {
	if turn%2 == 0 {
		return f.h1
	}
	return f.h2
}

// hammer has the guest send requests to a node until two of them have been
// refused that were sent after the sign-out. It tells when the first has been
// answered.
func (g *guest) hammer(t *testing.T, n *node, client *http.Client) (began <-chan struct{}) {
	first := make(chan struct{}, 1)
	g.hammers.Go(func() {
		if err := hammer(t.Context(), g.at(n), client, first, &g.answered, &g.through); err != nil {
			t.Errorf("session %s at node %d: %v", g.session, n.number, err)
		}
	})
	return first
}

// hold opens a WebSocket at one node, and an event stream at another.
func (g *guest) hold(t *testing.T, socket, events *node) {
	t.Helper()
	g.open = append(g.open, g.at(socket)().webSocket(t, g.h1), g.at(events)().stream(t, g.h2, "events h2", "/events"))
}

// name is what a node is called in answers.
func (n *node) name(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.data, "node"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// call asks a node to end the guest's session. The answer is nil if there was
// none of success.
func (g *guest) call(ctx context.Context, n *node) (answer *revocationAnswer, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, *n.acme.Load()+apiPath+"sessions/"+g.session, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	began := time.Now()
	resp, err := g.h2.Do(req)
	if err != nil {
		return nil, time.Since(began), err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	took = time.Since(began)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, took, fmt.Errorf("%s: %s %w", resp.Status, text, err)
	}
	done, err := readRevocation(text)
	return &done, took, err
}

// leave says that the sign-out has been answered: from now on, nothing of the
// session may pass in either direction.
func (g *guest) leave() {
	g.app.over.Store(g.session, true)
	g.answered.Store(true)
}

// left waits until all that the guest had is over.
func (g *guest) left(t *testing.T) {
	t.Helper()
	for _, c := range g.open {
		c.over(t)
	}
	g.hammers.Wait()
}

// out checks that a session that was signed out stays so on a node.
func (g *guest) out(t *testing.T, n *node) {
	t.Helper()
	if got := g.ask(t, n); got != http.StatusUnauthorized {
		t.Errorf("session %s was signed out, and node %d answers %d", g.session, n.number, got)
	}
}

// ask sends a request, again while the node is not sure who is signed in.
func (g *guest) ask(t *testing.T, n *node) (status int) {
	t.Helper()
	soon(t, "a sure answer", func() bool {
		req := g.at(n)().request(t.Context(), http.MethodGet, "/", nil)
		if g.answered.Load() {
			req.Header.Set("X-Sent", late)
		}
		resp, err := g.h1.Do(req)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body) // or the connection could not be used again
		_ = resp.Body.Close()
		status = resp.StatusCode
		return status != http.StatusServiceUnavailable
	})
	return status
}

// tight fails the test if anything reached the app that should not have.
func (f *fleet) tight(t *testing.T) {
	t.Helper()
	if leaks := f.app.leaks(); len(leaks) > 0 {
		t.Fatalf("P2 is broken: %d times something reached the app after the answer: %v", len(leaks), leaks[:min(len(leaks), 5)])
	}
}
