package brake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/scim"
	"gatehouse/sessions"
)

var (
	system = audit.SystemCause()
	admin  = audit.Cause{Actor: audit.Actor{Kind: identity.KindUser, ID: "usr_admin", Name: "ada@acme.example"}, RequestID: "req_1"}
)

// house is a tenant on two nodes that have a database in common: on SQLite, where a node
// is alone, they share what it has open.
type house struct {
	t      *testing.T
	tenant identity.TenantID
	a, b   *node
	token  string // of a provider

	mu    sync.Mutex
	rules brake.Rules
	time  time.Time
}

// node is the SCIM service over real parts.
type node struct {
	*house
	db        *store.DB
	server    *httptest.Server
	journal   *audit.Journal
	sessions  *sessions.Service
	directory *directory.Service
	tokens    *token.Service
	brake     *brake.Service

	mu   sync.Mutex
	deaf audit.Type        // the journal takes none of this type
	next func(audit.Event) // is done once when the next record is there
}

func newHouse(t *testing.T, rules brake.Rules) *house {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	ring := keys.NewRing(kek, vault)
	h := &house{t: t, tenant: identity.NewTenantID(), rules: rules, time: time.Now()}
	must(t, ring.Create(t.Context(), identity.Platform))
	must(t, ring.Create(t.Context(), h.tenant))
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
	must(t, first.Tenant(h.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
			VALUES ('con_1', 'idp', 'oidc', '{}', TRUE, 1, 0, 0)`)
		return err
	}))
	h.a, h.b = h.newNode("a", dir, first, ring), h.newNode("b", dir, second, ring)
	h.token = h.newToken("okta")
	return h
}

func (h *house) newNode(name, dir string, db *store.DB, ring *keys.Ring) *node {
	t := h.t
	t.Helper()
	n := &node{house: h, db: db}
	var err error
	n.journal, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "journal-"+name), Node: name, Keys: ring})
	must(t, err)
	t.Cleanup(func() { must(t, n.journal.Close()) })
	n.sessions = sessions.New(sessions.Config{Store: db, Keys: ring, Journal: n.journal, Node: name,
		Limits: func(identity.TenantID) sessions.Limits {
			return sessions.Limits{Idle: time.Hour, Absolute: 24 * time.Hour}
		}})
	t.Cleanup(func() { must(t, n.sessions.Close()) })
	n.brake = brake.New(brake.Config{Store: db, Journal: n, Rules: h.allowed, Tenants: func() []identity.TenantID { return []identity.TenantID{h.tenant} },
		Log: slog.New(slog.DiscardHandler), Now: h.now})
	n.directory = directory.New(directory.Config{Store: db, Journal: n, Sessions: n.sessions, Withdraw: authz.Withdraw, Brake: n.brake, Roles: authz.Given{}})
	n.tokens = token.New(token.Config{Store: db, Journal: n.journal})
	handler := scim.New(scim.Config{Directory: n.directory, Tokens: n.tokens, Keys: ring, Journal: n.journal, Refusals: audit.NewRefusals(n.journal),
		Permissions: authz.New(authz.Config{Store: db, Journal: n.journal, People: n.directory})}).Handler()
	n.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
			ClientIP: netip.MustParseAddr("192.0.2.7"), Tenant: h.tenant, Origin: "https://acme.example"})))
	}))
	t.Cleanup(n.server.Close)
	return n
}

func (h *house) allowed(identity.TenantID) brake.Rules {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rules
}

func (h *house) set(rules brake.Rules) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rules = rules
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

func (h *house) newToken(name string) string {
	h.t.Helper()
	_, secret, err := h.a.tokens.Create(h.t.Context(), system, h.tenant, token.Spec{Name: name, Scope: token.ScopeSCIM, Expires: time.Now().Add(time.Hour)})
	must(h.t, err)
	return secret
}

var errDeaf = errors.New("the journal does not take this")

// Commit is the journal's, save for what it is deaf to.
func (n *node) Commit(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	n.mu.Lock()
	deaf, next := n.deaf, n.next
	n.next = nil
	n.mu.Unlock()
	if e.Type == deaf {
		return audit.Receipt{}, errDeaf
	}
	receipt, err := n.journal.Commit(ctx, e)
	if next != nil {
		next(e)
	}
	return receipt, err
}

func (n *node) deafTo(kind audit.Type) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = kind
}

// told gives the records of a type.
func (n *node) told(kind audit.Type) (all []audit.Event) {
	n.t.Helper()
	for e, err := range n.journal.Read(n.t.Context(), n.tenant, 0) {
		must(n.t, err)
		if e.Type == kind {
			all = append(all, e)
		}
	}
	return all
}

// answer is what the service said.
type answer struct {
	status     int
	retryAfter string
	text       string
}

// ask sends a request with a provider's token.
func (n *node) ask(method, path, body, secret string) answer {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, n.server.URL+"/scim/v2"+path, strings.NewReader(body))
	must(n.t, err)
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/scim+json")
	resp, err := n.server.Client().Do(r)
	must(n.t, err)
	text, err := io.ReadAll(resp.Body)
	must(n.t, errors.Join(err, resp.Body.Close()))
	return answer{resp.StatusCode, resp.Header.Get("Retry-After"), string(text)}
}

// The ways in which a provider takes somebody out.
func (n *node) deletes(id identity.UserID) answer {
	return n.ask(http.MethodDelete, "/Users/"+string(id), "", n.token)
}

func (n *node) patches(id identity.UserID, active bool) answer {
	return n.ask(http.MethodPatch, "/Users/"+string(id), fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":%t}}]}`, active), n.token)
}

func (n *node) puts(id identity.UserID) answer {
	return n.ask(http.MethodPut, "/Users/"+string(id), `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+string(id)+`","active":false}`, n.token)
}

// takesOut takes people out in turn by each of the ways, all of whom may go.
func (n *node) takesOut(of []identity.UserID) {
	n.t.Helper()
	for i, id := range of {
		got := []func() answer{
			func() answer { return n.deletes(id) }, func() answer { return n.patches(id, false) }, func() answer { return n.puts(id) },
		}[i%3]()
		n.wants(got, []int{http.StatusNoContent, http.StatusOK, http.StatusOK}[i%3])
	}
}

func (n *node) wants(got answer, status int) {
	n.t.Helper()
	if got.status != status {
		n.t.Fatalf("status %d, want %d: %s", got.status, status, got.text)
	}
}

// people makes so many who are active.
func (h *house) people(count int) []identity.UserID {
	h.t.Helper()
	all := make([]identity.UserID, count)
	for i := range all {
		u, err := h.a.directory.CreateUser(h.t.Context(), system, h.tenant, directory.User{UserName: string(identity.NewUserID()), Active: true, Source: directory.SourceSCIM})
		must(h.t, err)
		all[i] = u.ID
	}
	return all
}

// standing tells how the brake stands, at both nodes.
func (h *house) standing() brake.Standing {
	h.t.Helper()
	s, err := h.a.brake.Standing(h.t.Context(), h.tenant)
	must(h.t, err)
	other, err := h.b.brake.Standing(h.t.Context(), h.tenant)
	must(h.t, err)
	if s != other {
		h.t.Errorf("the nodes tell of %+v and %+v", s, other)
	}
	return s
}

func (h *house) stands(state brake.State, departures, people, limit int) {
	h.t.Helper()
	if s := h.standing(); s.State != state || s.Departures != departures || s.People != people || s.Limit != limit {
		h.t.Errorf("it is %s with %d of %d, and %d may go; want %s with %d of %d, and %d", s.State, s.Departures, s.People, s.Limit, state, departures, people, limit)
	}
}

// active reports whether somebody is there, and active.
func (h *house) active(id identity.UserID) bool {
	h.t.Helper()
	u, err := h.a.directory.User(h.t.Context(), h.tenant, id)
	return err == nil && u.Active
}

func (n *node) signIn(id identity.UserID) string {
	n.t.Helper()
	made, err := n.sessions.Create(n.t.Context(), system, n.tenant, sessions.NewSession{User: id, Connection: "con_1", ConnectionVersion: 1})
	must(n.t, err)
	return made.Token
}

func (n *node) signedIn(secret string) bool {
	n.t.Helper()
	_, err := n.sessions.Find(n.t.Context(), n.tenant, secret)
	return err == nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
