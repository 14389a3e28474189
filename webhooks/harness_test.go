package webhooks_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/internal/throttle"
	"gatehouse/webhooks"
)

var admin = audit.Cause{Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_admin", Name: "ada@acme.example"}, RequestID: "req_1"}

// house is two tenants on two nodes that have a database in common: on SQLite, where a
// node is alone, they share what it has open.
type house struct {
	t             *testing.T
	tenant, other identity.TenantID
	a, b          *node
	trusted       *x509.CertPool

	suspended atomic.Bool

	mu   sync.Mutex
	more time.Duration
}

type node struct {
	*house
	db       *store.DB
	people   *directory.Service
	feed     *feed.Service
	webhooks *webhooks.Service
	journal  *audit.Journal
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	ring := keys.NewRing(kek, vault)
	h := &house{t: t, tenant: identity.NewTenantID(), other: identity.NewTenantID(), trusted: x509.NewCertPool()}
	for _, id := range []identity.TenantID{identity.Platform, h.tenant, h.other} {
		must(t, ring.Create(t.Context(), id))
	}
	alone := "sqlite://" + filepath.Join(dir, "db")
	url := postgrestest.Or(t, alone)
	open := func() *store.DB {
		db, err := store.Open(t.Context(), url, store.Options{Keys: ring, Environment: "test"})
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		return db
	}
	first := open()
	second := first
	if url != alone {
		second = open()
	}
	must(t, first.Create(t.Context(), h.tenant))
	must(t, first.Create(t.Context(), h.other))
	h.a, h.b = h.newNode("a", dir, first, ring), h.newNode("b", dir, second, ring)
	// Each hears of what the other does, as the nodes of a gateway do.
	both := func(tenant identity.TenantID, hooks bool) {
		h.a.webhooks.Wake(tenant, hooks)
		h.b.webhooks.Wake(tenant, hooks)
	}
	h.a.feed.Watch(both)
	h.b.feed.Watch(both)
	return h
}

func (h *house) newNode(name, dir string, db *store.DB, ring *keys.Ring) *node {
	n := &node{house: h, db: db}
	var err error
	n.journal, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "journal-"+name), Node: name, Keys: ring})
	must(h.t, err)
	h.t.Cleanup(func() { must(h.t, n.journal.Close()) })
	served := func() []identity.TenantID { return []identity.TenantID{h.tenant, h.other} }
	n.feed = feed.New(feed.Config{Store: db, Keys: ring, Journal: n.journal, Log: slog.New(slog.DiscardHandler), Now: h.now, Tenants: served, KeepChanges: 300})
	n.people = directory.New(directory.Config{Store: db, Journal: n.journal, Sessions: noSessions{}, Withdraw: authz.Withdraw, Feed: n.feed,
		Announce: func(_ context.Context, tenant identity.TenantID, changed bool, _ []identity.UserID) error {
			if changed {
				n.feed.Wake(tenant)
			}
			return nil
		}})
	n.feed.Join(n.people)
	guarded := httpkit.NewEgress(httpkit.EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: h.trusted})
	n.webhooks = webhooks.New(webhooks.Config{Feed: n.feed, Client: guarded.Client(), Throttle: throttle.New(nil, "test", slog.New(slog.DiscardHandler)), Tenants: served, Serves: func(identity.TenantID) bool { return !h.suspended.Load() }, Log: slog.New(slog.DiscardHandler), Now: h.now})
	return n
}

type noSessions struct{}

func (noSessions) EndUser(context.Context, audit.Cause, identity.TenantID, identity.UserID, string) (int, error) {
	return 0, nil
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.more)
}

// passes lets time pass, at the end of which both look at what there is to do.
func (h *house) passes(d time.Duration) {
	h.mu.Lock()
	h.more += d
	h.mu.Unlock()
	h.a.webhooks.Wake(h.tenant, true)
	h.b.webhooks.Wake(h.tenant, true)
}

// runs has a node deliver until the test is over, or stop is called.
func (n *node) runs() (stop func()) {
	ctx, cancel := context.WithCancel(n.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.webhooks.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		must(n.t, <-ended)
	})
	n.t.Cleanup(stop)
	return stop
}

func (n *node) person(tenant identity.TenantID, name string) directory.User {
	n.t.Helper()
	u, err := n.people.CreateUser(n.t.Context(), admin, tenant, directory.User{UserName: name, Active: true})
	must(n.t, err)
	return u
}

// put makes a webhook and gives its secret.
func (n *node) put(tenant identity.TenantID, name, url string, types ...directory.ChangeType) string {
	n.t.Helper()
	_, secret, err := n.feed.Put(n.t.Context(), admin, tenant, feed.Webhook{Name: name, URL: url, Types: types, Enabled: true})
	must(n.t, err)
	return secret
}

func (n *node) hook(name string) feed.Webhook {
	n.t.Helper()
	w, err := n.feed.Webhook(n.t.Context(), n.tenant, name)
	must(n.t, err)
	return w
}

// received is a message as it arrives.
type received struct {
	id, at, signature string
	body              []byte
	message           struct {
		Type string
		Data struct {
			Webhook, Cursor string
			Events          []feed.Notice
		}
	}
}

// receiver is somebody's system.
type receiver struct {
	*httptest.Server
	t    *testing.T
	came chan received // what arrives, after it was answered
}

// receives makes a receiver that answers by a function, or with 204.
func (h *house) receives(answer func(received, http.ResponseWriter)) *receiver {
	r := &receiver{t: h.t, came: make(chan received, 1000)}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		m := received{id: req.Header.Get("webhook-id"), at: req.Header.Get("webhook-timestamp"), signature: req.Header.Get("webhook-signature")}
		m.body, _ = io.ReadAll(req.Body)
		if err := json.Unmarshal(m.body, &m.message); err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
			h.t.Errorf("%s with %s: %v", req.Method, req.Header.Get("Content-Type"), err)
		}
		defer func() { r.came <- m }()
		if answer != nil {
			answer(m, w)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	h.t.Cleanup(r.Close)
	h.trusted.AddCert(r.Certificate())
	return r
}

func status(code int) func(received, http.ResponseWriter) {
	return func(_ received, w http.ResponseWriter) { w.WriteHeader(code) }
}

// next waits for a message.
func (r *receiver) next() received {
	r.t.Helper()
	select {
	case m := <-r.came:
		return m
	case <-time.After(20 * time.Second):
		r.t.Fatal("nothing arrives")
		return received{}
	}
}

// events waits for so many events.
func (r *receiver) events(n int) (all []feed.Notice) {
	r.t.Helper()
	for len(all) < n {
		all = append(all, r.next().message.Data.Events...)
	}
	return all
}

// nothing says that no message has arrived.
func (r *receiver) nothing() {
	r.t.Helper()
	select {
	case m := <-r.came:
		r.t.Errorf("%s arrives: %s", m.id, m.body)
	default:
	}
}

// verifies checks a signature as the Standard Webhooks convention tells receivers to, by
// what stands there and nothing of ours.
func verifies(secret string, m received) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(m.id + "." + m.at + "." + string(m.body)))
	for one := range strings.SplitSeq(m.signature, " ") {
		version, text, _ := strings.Cut(one, ",")
		sum, err := base64.StdEncoding.DecodeString(text)
		if err == nil && version == "v1" && hmac.Equal(sum, mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// guide is the Python of docs/changes.md that checks a message.
func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/changes.md")
	must(t, err)
	for block := range strings.SplitSeq(string(text), "```python\n") {
		if code, _, _ := strings.Cut(block, "```"); strings.Contains(code, "def verified(") {
			return code
		}
	}
	t.Fatal("the guide has no such sample")
	return ""
}

// until waits until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-end:
			t.Fatal(what + " does not come to be")
		case <-tick.C:
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
