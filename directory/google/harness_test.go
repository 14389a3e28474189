package google_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/directory/google"
	"gatehouse/directory/google/googletest"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/scim"
	"gatehouse/sessions"
)

type object = googletest.Object

// house is a tenant on two nodes over real parts, and its account at Google.
type house struct {
	t      *testing.T
	tenant identity.TenantID
	lease  time.Duration
	google *googletest.Account
	a, b   *node
	ring   *keys.Ring

	suspended atomic.Bool

	mu     sync.Mutex
	rules  brake.Rules
	time   time.Time
	pauses []time.Duration
	others []identity.TenantID // that are served too
}

type node struct {
	*house
	db        *store.DB
	journal   *audit.Journal
	sessions  *sessions.Service
	directory *directory.Service
	brake     *brake.Service
	google    *google.Service

	mu   sync.Mutex
	deaf audit.Type // the journal takes none of this type
	// before is called before each SCIM request of a reading.
	before func(ctx context.Context, path string)

	ended chan audit.Type // has the end of each reading, if there is room
}

const lease = 50 * time.Millisecond

var admin = audit.Cause{Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_admin", Name: "ada@acme.example"}, RequestID: "req_1"}

func newHouse(t *testing.T) *house {
	t.Helper()
	return newHouseThatWaits(t, lease)
}

// newHouseThatWaits has nodes that take over after another silence.
func newHouseThatWaits(t *testing.T, lease time.Duration) *house {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	h := &house{t: t, lease: lease, tenant: identity.NewTenantID(), ring: keys.NewRing(kek, vault), time: time.Now(), rules: brake.Rules{Share: 50, Window: time.Hour, Least: 100}}
	must(t, h.ring.Create(t.Context(), identity.Platform))
	must(t, h.ring.Create(t.Context(), h.tenant))
	account, closing := googletest.New()
	t.Cleanup(closing)
	account.Now, h.google = h.now, account
	alone := "sqlite://" + filepath.Join(dir, "db")
	url := postgrestest.Or(t, alone)
	open := func() *store.DB {
		db, err := store.Open(t.Context(), url, store.Options{Keys: h.ring, Environment: "test"})
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
	must(t, first.Tenant(h.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at) VALUES ('con_1', 'idp', 'oidc', '{}', TRUE, 1, 0, 0)`)
		return err
	}))
	h.a, h.b = h.newNode("a", dir, first), h.newNode("b", dir, second)
	return h
}

func (h *house) newNode(name, dir string, db *store.DB) *node {
	t := h.t
	t.Helper()
	n := &node{house: h, db: db, ended: make(chan audit.Type, 1)}
	var err error
	n.journal, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "journal-"+name), Node: name, Keys: h.ring})
	must(t, err)
	t.Cleanup(func() { must(t, n.journal.Close()) })
	n.sessions = sessions.New(sessions.Config{Store: db, Keys: h.ring, Journal: n.journal, Node: name,
		Limits: func(identity.TenantID) sessions.Limits {
			return sessions.Limits{Idle: time.Hour, Absolute: 24 * time.Hour}
		}})
	t.Cleanup(func() { must(t, n.sessions.Close()) })
	tenants := func() []identity.TenantID {
		h.mu.Lock()
		defer h.mu.Unlock()
		return append([]identity.TenantID{h.tenant}, h.others...)
	}
	quiet := slog.New(slog.DiscardHandler)
	n.brake = brake.New(brake.Config{Store: db, Journal: n.journal, Rules: h.allowed, Tenants: tenants, Log: quiet, Now: h.now,
		Decided: func(ctx context.Context, tenant identity.TenantID) { must(t, n.google.GoOn(ctx, tenant)) }})
	n.directory = directory.New(directory.Config{Store: db, Journal: n.journal, Sessions: n.sessions, Withdraw: authz.Withdraw, Brake: n.brake, Roles: authz.Given{}})
	service := scim.New(scim.Config{Directory: n.directory, Keys: h.ring, Tokens: token.New(token.Config{Store: db, Journal: n.journal}), Journal: n.journal, Refusals: audit.NewRefusals(n.journal),
		Permissions: authz.New(authz.Config{Store: db, Journal: n.journal, People: n.directory})})
	egress := httpkit.NewEgress(httpkit.EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	n.google = google.New(google.Config{Store: db, Keys: h.ring, Journal: n, SCIM: gate{n, service}, Client: egress.Client(), Tenants: tenants, Log: quiet,
		Serves: func(identity.TenantID) bool { return !h.suspended.Load() },
		API:    h.google.URL, Token: h.google.TokenURL, Lease: h.lease, Now: h.now, Wait: h.pause})
	return n
}

// neighbour is one tenant more.
func (h *house) neighbour() identity.TenantID {
	h.t.Helper()
	id := identity.NewTenantID()
	must(h.t, h.ring.Create(h.t.Context(), id))
	must(h.t, h.a.db.Create(h.t.Context(), id))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others = append(h.others, id)
	return id
}

func (h *house) allowed(identity.TenantID) brake.Rules {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rules
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.time
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.time = h.time.Add(d)
}

// pause notes for how long Google is left alone.
func (h *house) pause(ctx context.Context, d time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pauses = append(h.pauses, d)
	return ctx.Err()
}

func (h *house) paused() []time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.pauses
	h.pauses = nil
	return all
}

// Commit stands before the node's journal, which may take none of a type.
func (n *node) Commit(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	n.mu.Lock()
	deaf := n.deaf
	n.mu.Unlock()
	if deaf == e.Type {
		return audit.Receipt{}, errors.New("the journal is not there")
	}
	receipt, err := n.journal.Commit(ctx, e)
	if e.Type == audit.SyncFinished || e.Type == audit.SyncFailed {
		select {
		case n.ended <- e.Type:
		default:
		}
	}
	return receipt, err
}

// gate stands before a node's SCIM service.
type gate struct {
	*node
	scim google.SCIM
}

func (g gate) Do(ctx context.Context, caller *identity.Principal, method, path string, body []byte) (int, []byte, error) {
	g.mu.Lock()
	before := g.before
	g.mu.Unlock()
	if before != nil {
		before(ctx, path)
	}
	return g.scim.Do(ctx, caller, method, path, body)
}

func (n *node) beforeSCIM(do func(ctx context.Context, path string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.before = do
}

func (n *node) hears(not audit.Type) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = not
}

func (n *node) put(set google.Settings) google.Status {
	n.t.Helper()
	if set.Admin == "" {
		set.Admin = n.house.google.Admin
	}
	s, err := n.google.Put(n.t.Context(), admin, n.tenant, set, n.house.google.Key(), 0)
	must(n.t, err)
	return s
}

// read reads the account once, as if it were due.
func (n *node) read() *google.SyncOutcome {
	n.t.Helper()
	n.pass(24 * time.Hour)
	o, err := n.google.Turn(n.t.Context(), n.tenant)
	must(n.t, err)
	if o == nil {
		n.t.Fatal("nothing was read")
	}
	return o
}

// reads is read that must end as Done, with these counts.
func (n *node) reads(want google.SyncCounts) {
	n.t.Helper()
	if o := n.read(); o.Result != google.Done || o.Counts != want {
		n.t.Fatalf("%s %s %s: %+v\nwant %+v\nskipped %+v", o.Result, o.Code, o.Message, o.Counts, want, n.status().Skipped)
	}
}

// fails is read that must fail with this code, and change nothing.
func (n *node) fails(code string) *google.SyncOutcome {
	n.t.Helper()
	before := n.people()
	o := n.read()
	if o.Result != google.Failed || o.Code != code || o.Message == "" || o.Failing == nil {
		n.t.Fatalf("%+v, want %s", o, code)
	}
	if after := n.people(); !slices.Equal(after, before) {
		n.t.Fatalf("a reading that failed has changed %q to %q", before, after)
	}
	return o
}

func (n *node) status() google.Status {
	n.t.Helper()
	s, err := n.google.Status(n.t.Context(), n.tenant)
	must(n.t, err)
	return s
}

func (n *node) everybody() []directory.User {
	n.t.Helper()
	page, err := n.directory.Users(n.t.Context(), n.tenant, directory.UserQuery{Count: directory.MaxPage})
	must(n.t, err)
	return page.Items
}

// people are "name" of everybody, "-name" of who is inactive, in order.
func (n *node) people() (all []string) {
	n.t.Helper()
	for _, u := range n.everybody() {
		name := u.UserName
		if !u.Active {
			name = "-" + name
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func (n *node) has(want ...string) {
	n.t.Helper()
	if got := n.people(); !slices.Equal(got, want) {
		n.t.Fatalf("people are %q, want %q", got, want)
	}
}

func (n *node) person(userName string) directory.User {
	n.t.Helper()
	for _, u := range n.everybody() {
		if u.UserName == userName {
			return u
		}
	}
	n.t.Fatalf("there is no %s", userName)
	return directory.User{}
}

// groups are "name: members" of all groups, in order.
func (n *node) groups() (all []string) {
	n.t.Helper()
	page, err := n.directory.Groups(n.t.Context(), n.tenant, directory.GroupQuery{Count: directory.MaxPage, WithMembers: true})
	must(n.t, err)
	for _, g := range page.Items {
		var members []string
		for _, m := range g.Members {
			members = append(members, m.Display)
		}
		slices.Sort(members)
		all = append(all, strings.TrimSpace(g.DisplayName+": "+strings.Join(members, " ")))
	}
	slices.Sort(all)
	return all
}

func (n *node) hasGroups(want ...string) {
	n.t.Helper()
	if got := n.groups(); !slices.Equal(got, want) {
		n.t.Fatalf("groups are %q, want %q", got, want)
	}
}

// events gives the node's records of these types.
func (n *node) events(types ...audit.Type) (all []audit.Event) {
	n.t.Helper()
	for e, err := range n.journal.Read(n.t.Context(), n.tenant, 0) {
		must(n.t, err)
		if slices.Contains(types, e.Type) {
			all = append(all, e)
		}
	}
	return all
}

func (n *node) signIn(u directory.User) (stillIn func() bool) {
	n.t.Helper()
	made, err := n.sessions.Create(n.t.Context(), admin, n.tenant, sessions.NewSession{User: u.ID, Connection: "con_1", ConnectionVersion: 1})
	must(n.t, err)
	return func() bool {
		_, err := n.sessions.Find(n.t.Context(), n.tenant, made.Token)
		return err == nil
	}
}

// staff adds so many people to the account: p000@acme.example and so on.
func (h *house) staff(count int) {
	for i := range count {
		h.google.SetUser(fmt.Sprintf("1%03d", i), fmt.Sprintf("p%03d@acme.example", i), object{"name": object{"fullName": fmt.Sprintf("P %03d", i)}})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var _ http.Handler = (*googletest.Account)(nil)
