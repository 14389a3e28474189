package shared_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/sessions"
	"gatehouse/sessions/shared"
)

func TestMain(m *testing.M) {
	clustertest.Together(12)
	os.Exit(m.Run())
}

const acme identity.TenantID = "ten_acme"

// testKeys derives keys from names.
type testKeys struct{}

func (testKeys) Derive(_ context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	var key []byte
	for i := 0; len(key) < size; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", tenant, purpose, i))
		key = append(key, sum[:]...)
	}
	return key[:size], nil
}

func (k testKeys) aead(tenant identity.TenantID, purpose string) cipher.AEAD {
	key, _ := k.Derive(context.Background(), tenant, purpose, 32)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (k testKeys) Seal(_ context.Context, tenant identity.TenantID, purpose string, plain []byte) ([]byte, error) {
	return k.aead(tenant, purpose).Seal(nil, nil, plain, nil), nil // #nosec G407 -- it makes its nonce itself
}

func (k testKeys) Open(_ context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error) {
	return k.aead(tenant, purpose).Open(nil, nil, sealed, nil)
}

type journal struct{}

func (journal) Commit(context.Context, audit.Event) (audit.Receipt, error) {
	return audit.Receipt{}, nil
}

// world is a cluster over one Redis and one database.
type world struct {
	t      testing.TB
	server *redistest.Server
	// sentinel, if there is one, says where Redis is.
	sentinel *redistest.Server
	memory   *clustertest.Memory
	db       *store.DB
	user     identity.UserID
	idle     atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldAt(t, postgrestest.Or(t, "sqlite://"+t.TempDir()))
}

func newWorldAt(t testing.TB, url string) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, server: redistest.Start(t), memory: clustertest.NewMemory()}
	db, err := store.Open(ctx, url, store.Options{Keys: testKeys{}, Environment: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	if err := db.Create(ctx, acme); err != nil {
		t.Fatal(err)
	}
	w.exec(`INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
		VALUES ('con_oidc', 'oidc', 'oidc', '{}', TRUE, 1, 0, 0)`)
	people := directory.New(directory.Config{Store: db, Journal: journal{}, Sessions: nil})
	user, err := people.CreateUser(ctx, audit.SystemCause(), acme,
		directory.User{UserName: "ann", DisplayName: "Ann", Active: true, Source: directory.SourceAdmin})
	if err != nil {
		t.Fatal(err)
	}
	w.user = user.ID
	return w
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	err := w.db.Tenant(acme).Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(context.Background(), query, args...)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// record is SQL that can be lost.
type record struct {
	*sessions.Record
	lost  atomic.Bool
	while atomic.Pointer[func()] // happens after SQL has given a batch, before anybody gets it
}

var errLost = errors.New("SQL is lost")

func (r *record) Live(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	if r.lost.Load() {
		return nil, errLost
	}
	return r.Record.Live(ctx, tenant, hash)
}

func (r *record) Lives(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) ([]*sessions.Live, error) {
	if r.lost.Load() {
		return nil, errLost
	}
	return r.Record.Lives(ctx, tenant, hashes)
}

func (r *record) Which(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) (map[sessions.TokenHash]bool, error) {
	if r.lost.Load() {
		return nil, errLost
	}
	return r.Record.Which(ctx, tenant, hashes)
}

func (r *record) After(ctx context.Context, tenant identity.TenantID, place sessions.Place, limit int) ([]*sessions.Live, sessions.Place, bool, error) {
	if r.lost.Load() {
		return nil, place, false, errLost
	}
	lives, end, more, err := r.Record.After(ctx, tenant, place, limit)
	if while := r.while.Load(); while != nil {
		(*while)()
	}
	return lives, end, more, err
}

// node is one gateway's sessions.
type node struct {
	*sessions.Service
	t        testing.TB
	bus      *cluster.Redis
	proxy    *redistest.Proxy // to Redis
	way      *clustertest.Way // to SQL, for the bus
	record   *record          // to SQL, for sessions
	registry *shared.Registry
}

// nodes makes nodes and starts them.
func (w *world) nodes(n int) []*node {
	w.t.Helper()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = w.node(fmt.Sprint("n", i+1))
	}
	for _, n := range nodes {
		clustertest.Start(w.t, n.bus)
		n.t.Cleanup(func() {
			if err := n.Close(); err != nil {
				n.t.Error(err)
			}
		})
		clustertest.Until(w.t, "a tenant is loaded", func() bool {
			_, _, err := n.List(w.t.Context(), acme, sessions.Filter{})
			return err == nil
		})
	}
	return nodes
}

func (w *world) node(name string) *node {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w.t.Output(), nil))
	proxy := redistest.Through(w.t, w.server.Addr())
	if w.sentinel != nil {
		proxy = redistest.ThroughToMaster(w.t, w.sentinel)
	}
	n := &node{t: w.t, proxy: proxy, way: w.memory.Way(), record: &record{Record: sessions.NewRecord(w.db)}}
	var err error
	if n.bus, err = cluster.NewRedis(cluster.Options{URL: n.proxy.URL(), Node: name, Environment: "test", Arbiter: n.way, Log: log}); err != nil {
		w.t.Fatal(err)
	}
	client, err := cluster.Connect(n.proxy.URL(), 16)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Close() })
	n.registry = shared.New(shared.Options{Node: name, Environment: "test", Bus: n.bus, Redis: client, Keys: testKeys{}, Record: n.record, Log: log})
	n.Service = sessions.New(sessions.Config{Store: w.db, Keys: testKeys{}, Journal: journal{}, Node: name, Dir: w.t.TempDir(), Log: log,
		Limits: func(identity.TenantID) sessions.Limits {
			return sessions.Limits{Idle: time.Duration(w.idle.Load()), Absolute: 0}
		},
		Registry: n.registry})
	return n
}

func (n *node) copies() shared.Copies { return n.registry.Copies() }

// know has the node take the tenant for known without asking SQL.
func (n *node) know() error {
	return n.registry.Load(context.Background(), acme, func(func(*sessions.Live, error) bool) {})
}

func (w *world) signIn(n *node) sessions.Created {
	w.t.Helper()
	made, err := n.Create(context.Background(), audit.SystemCause(), acme, sessions.NewSession{User: w.user, Connection: "con_oidc",
		ConnectionVersion: 1, IDPSubject: "sub", IDPSession: rand.Text(), UserAgent: "test", IP: netip.MustParseAddr("192.0.2.7")})
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

func (n *node) revoke(sel sessions.Selector) sessions.Revocation {
	n.t.Helper()
	done, err := n.Revoke(context.Background(), audit.SystemCause(), acme, sel, "admin")
	if err != nil {
		n.t.Fatalf("revoke: %v (%+v)", err, done)
	}
	return done
}

// serves reports whether a request with this token would be forwarded now; a
// refusal must be one that says so.
func (n *node) serves(token string) bool {
	n.t.Helper()
	live, err := n.Find(context.Background(), acme, token)
	if err != nil {
		if !fault.Is(err, fault.Unauthenticated) && !fault.Is(err, fault.Unavailable) {
			n.t.Errorf("find: %v", err)
		}
		return false
	}
	leave, ok := live.Enter(&stream{leave: func() {}})
	leave()
	return ok
}

// refuses reports whether the node answers, and that the session is over.
func (n *node) refuses(token string) bool {
	n.t.Helper()
	_, err := n.Find(context.Background(), acme, token)
	return fault.Is(err, fault.Unauthenticated)
}

// calm repeats what a test does until no node has lost its lease meanwhile. On a
// machine that is busy for seconds that happens, and is right. do gives what is
// wrong if it has not happened; what is never right it reports itself. A node that
// only seemed dead to the others leaves no trace here, so one wrong is none.
func calm(t testing.TB, nodes []*node, do func() (wrong []string)) {
	t.Helper()
	gaps := func() (all []uint64) {
		for _, n := range nodes {
			clustertest.Until(t, "fresh", n.bus.Fresh)
			all = append(all, n.bus.State().Gaps)
		}
		return all
	}
	unexplained := 0
	for range 20 {
		before := gaps()
		wrong := do()
		if len(wrong) == 0 {
			return
		}
		if slices.Equal(gaps(), before) {
			if unexplained++; unexplained == 3 {
				t.Fatalf("%q", wrong)
			}
		}
	}
	t.Fatal("the machine is too busy: leases run out all the time")
}

// stream is what a request is to its session.
type stream struct {
	mu    sync.Mutex
	leave func()
	live  *sessions.Live
	gone  bool
}

// Terminate implements [sessions.Stream].
func (s *stream) Terminate(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.leave()
}

func (s *stream) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

func (n *node) mustOpen(token string) *stream {
	n.t.Helper()
	var s *stream
	clustertest.Until(n.t, "a live session is entered", func() bool { s = n.open(token); return s != nil })
	return s
}

// open gives nil if the session was not entered.
func (n *node) open(token string) *stream {
	n.t.Helper()
	live, err := n.Find(context.Background(), acme, token)
	if err != nil {
		return nil
	}
	s := &stream{live: live}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ok bool
	s.leave, ok = live.Enter(s)
	n.t.Cleanup(s.leave)
	if !ok {
		return nil
	}
	return s
}
