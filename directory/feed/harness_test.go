package feed_test

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

var admin = audit.Cause{Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_admin", Name: "ada@acme.example"}, RequestID: "req_1"}

// house is two tenants on two nodes that have a database in common: on SQLite, where a
// node is alone, they share what it has open.
type house struct {
	t             testing.TB
	tenant, other identity.TenantID
	a, b          *node

	mu   sync.Mutex
	time time.Time
}

// node is a directory with its feed over real parts.
type node struct {
	*house
	db *store.DB
	*directory.Service
	feed    *feed.Service
	journal *audit.Journal
}

// newHouse keeps so many changes; 0: as many as ever.
func newHouse(t testing.TB, keep uint64) *house {
	t.Helper()
	return newHouseOn(t, postgrestest.Or(t, ""), keep)
}

// newHouseOn is on the database at a URL; "": on SQLite.
func newHouseOn(t testing.TB, url string, keep uint64) *house {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	ring := keys.NewRing(kek, vault)
	h := &house{t: t, tenant: identity.NewTenantID(), other: identity.NewTenantID(), time: time.Now()}
	for _, id := range []identity.TenantID{identity.Platform, h.tenant, h.other} {
		must(t, ring.Create(t.Context(), id))
	}
	alone := "sqlite://" + filepath.Join(dir, "db")
	url = cmp.Or(url, alone)
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
	h.a, h.b = h.newNode("a", dir, first, ring, keep), h.newNode("b", dir, second, ring, keep)
	return h
}

func (h *house) newNode(name, dir string, db *store.DB, ring *keys.Ring, keep uint64) *node {
	n := &node{house: h, db: db}
	var err error
	n.journal, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "journal-"+name), Node: name, Keys: ring})
	must(h.t, err)
	h.t.Cleanup(func() { must(h.t, n.journal.Close()) })
	n.feed = feed.New(feed.Config{Store: db, Keys: ring, Journal: n.journal, Log: slog.New(slog.DiscardHandler), Now: h.now, KeepChanges: keep,
		Tenants: func() []identity.TenantID { return []identity.TenantID{h.tenant, h.other} }})
	n.Service = directory.New(directory.Config{Store: db, Journal: n.journal, Sessions: noSessions{}, Withdraw: authz.Withdraw, Feed: n.feed})
	n.feed.Join(n.Service)
	return n
}

type noSessions struct{}

func (noSessions) EndUser(context.Context, audit.Cause, identity.TenantID, identity.UserID, string) (int, error) {
	return 0, nil
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.time
}

// passes lets time pass.
func (h *house) passes(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.time = h.time.Add(d)
}

func (n *node) person(name string) directory.User {
	n.t.Helper()
	u, err := n.CreateUser(n.t.Context(), admin, n.tenant, directory.User{UserName: name, Active: true, Source: directory.SourceSCIM})
	must(n.t, err)
	return u
}

// begin gives the cursor of this moment.
func (n *node) begin() string {
	n.t.Helper()
	p, err := n.feed.Now(n.t.Context(), n.tenant)
	must(n.t, err)
	return p.Cursor
}

// since gives all behind a cursor, and where that ends.
func (n *node) since(cursor string) ([]feed.Notice, string) {
	n.t.Helper()
	var all []feed.Notice
	for {
		p, err := n.feed.After(n.t.Context(), n.tenant, cursor, 7)
		must(n.t, err)
		if p.More && len(p.Events) == 0 {
			n.t.Fatal("there is more behind this cursor, and nothing comes of it")
		}
		all, cursor = append(all, p.Events...), p.Cursor
		if !p.More {
			return all, cursor
		}
	}
}

func types(events []feed.Notice) string {
	var all []string
	for _, e := range events {
		all = append(all, string(e.Type))
	}
	return strings.Join(all, " ")
}

// records gives the ids of the records of a node, by their type.
func (n *node) records() map[identity.EventID]audit.Type {
	n.t.Helper()
	all := map[identity.EventID]audit.Type{}
	for e, err := range n.journal.Read(n.t.Context(), n.tenant, 0) {
		must(n.t, err)
		all[e.ID] = e.Type
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFault(t testing.TB, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.As(err); err == nil || f.Kind != kind || f.Code != code {
		t.Errorf("got %v, want a fault of kind %d with code %q", err, kind, code)
	}
}

func sorted(ids ...string) []string {
	slices.Sort(ids)
	return ids
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}
