package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/scim"
	"gatehouse/scim/recorder"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// bench is the service over real parts, joined as the gateway joins them: encrypted
// store, journal, tokens, sessions, directory with its feed and its marks, and recorder of
// two tenants.
type bench struct {
	dir       string
	config    scim.Config
	handler   http.Handler
	server    *httptest.Server // of the handler, for both tenants by their hosts
	db        *store.DB
	keys      *keys.Ring
	directory *directory.Service
	roles     *authz.Engine
	sessions  *sessions.Service
	tokens    *token.Service
	journal   *audit.Journal
	feed      *feed.Service
	recorder  *recorder.Service
	serving   *sync.WaitGroup // those of the server, some for a moment after their answer
	brake     *brake.Service  // nil: nobody is held back
	acme      tenant
	globex    tenant
	others    []*bench // nodes over the same database
	// schemas are acme's own, and settings the version that they are of.
	schemas  []tenants.SCIMSchema
	settings uint64
}

type tenant struct {
	id     identity.TenantID
	origin string
	token  string // a SCIM token
}

var system = audit.SystemCause()

func newBench(t testing.TB) *bench {
	t.Helper()
	dir := t.TempDir()
	database := postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db"))
	postgrestest.NoDeadlock(t, database)
	return newBenchOn(t, dir, database)
}

func newBenchOn(t testing.TB, dir, database string) *bench {
	t.Helper()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	ring := keys.NewRing(kek, vault)
	b := &bench{dir: dir, acme: tenant{id: identity.NewTenantID(), origin: "https://acme.example"},
		globex: tenant{id: identity.NewTenantID(), origin: "https://globex.example"}}
	for _, id := range []identity.TenantID{identity.Platform, b.acme.id, b.globex.id} {
		must(t, ring.Create(t.Context(), id))
	}
	db, err := store.Open(t.Context(), database, store.Options{Keys: ring, Environment: "test"})
	must(t, err)
	b.db, b.keys = db, ring
	t.Cleanup(func() { must(t, db.Close()) })
	must(t, db.Create(t.Context(), b.acme.id))
	must(t, db.Create(t.Context(), b.globex.id))
	must(t, db.Tenant(b.acme.id).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
			VALUES ('con_1', 'idp', 'oidc', '{}', TRUE, 1, 0, 0)`)
		return err
	}))
	b.openJournal(t, "n1")
	b.sessions = sessions.New(sessions.Config{Store: db, Keys: ring, Journal: b.journal, Node: "n1",
		Limits: func(identity.TenantID) sessions.Limits {
			return sessions.Limits{Idle: time.Hour, Absolute: 24 * time.Hour}
		}})
	t.Cleanup(func() { must(t, b.sessions.Close()) })
	b.tokens = token.New(token.Config{Store: db, Journal: b.journal})
	b.acme.token, b.globex.token = b.newToken(t, b.acme.id, token.ScopeSCIM, ""), b.newToken(t, b.globex.id, token.ScopeSCIM, "")
	b.serve(t)
	return b
}

func (b *bench) openJournal(t testing.TB, node string) {
	t.Helper()
	journal, err := audit.Open(audit.Options{Dir: filepath.Join(b.dir, "journal-"+node), Node: node, Keys: b.keys})
	must(t, err)
	t.Cleanup(func() { must(t, journal.Close()) })
	b.journal = journal
}

// another is one more node over the same database.
func (b *bench) another(t testing.TB) *bench {
	t.Helper()
	other := *b
	b.others = append(b.others, &other)
	other.openJournal(t, fmt.Sprint("n", 1+len(b.others)))
	other.serve(t)
	return &other
}

func (b *bench) tenants() []identity.TenantID { return []identity.TenantID{b.acme.id, b.globex.id} }

// serve makes the service anew, as after a start, behind a server of its own.
func (b *bench) serve(t testing.TB) {
	t.Helper()
	b.serving = &sync.WaitGroup{}
	quiet := slog.New(slog.DiscardHandler)
	b.feed = feed.New(feed.Config{Store: b.db, Keys: b.keys, Journal: b.journal, Tenants: b.tenants, Log: quiet})
	wake := b.feed.Wake
	people := directory.Config{Store: b.db, Journal: b.journal, Sessions: b.sessions, Withdraw: authz.Withdraw, Roles: authz.Given{}, Feed: b.feed, Past: b.journal,
		Retain: func(identity.TenantID) time.Duration { return 30 * 24 * time.Hour },
		Announce: func(_ context.Context, tenant identity.TenantID, changed bool, _ []identity.UserID) error {
			if changed {
				wake(tenant)
			}
			return nil
		}}
	if b.brake != nil {
		people.Brake = b.brake
	}
	b.directory = directory.New(people)
	b.feed.Join(b.directory)
	b.recorder = recorder.New(recorder.Config{Store: b.db, Keys: b.keys, Node: b.journal.Node(), Tenants: b.tenants, Log: quiet})
	b.run(t, b.recorder.Run)
	b.roles = authz.New(authz.Config{Store: b.db, Journal: b.journal, People: b.directory})
	b.config = scim.Config{Directory: b.directory, Tokens: b.tokens, Keys: b.keys, Journal: b.journal,
		Refusals: audit.NewRefusals(b.journal), Permissions: b.roles, Recorder: b.recorder, Schemas: b.schemasOf}
	b.handler = scim.New(b.config).Handler()
	b.server = httptest.NewServer(b.gate())
	t.Cleanup(b.server.Close)
}

// run runs what works beside requests until the test ends, and waits for it then.
func (b *bench) run(t testing.TB, work func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- work(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-ran)
	})
}

func (b *bench) newToken(t testing.TB, tenant identity.TenantID, scope token.Scope, role string) string {
	t.Helper()
	_, secret, err := b.tokens.Create(t.Context(), system, tenant, token.Spec{Name: "test", Scope: scope, Role: role, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	return secret
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// request sends one request over HTTP, as a client of the tenant's host does.
func (b *bench) request(t testing.TB, to tenant, r *http.Request) answer {
	t.Helper()
	for _, values := range r.Header {
		if strings.ContainsRune(strings.Join(values, ""), 0) { // which net/http sends to nobody
			return b.hand(t, to, r)
		}
	}
	out := r.Clone(r.Context())
	out.RequestURI, out.Host = "", strings.TrimPrefix(to.origin, "https://")
	out.URL.Scheme, out.URL.Host = "http", b.server.Listener.Addr().String()
	resp, err := b.server.Client().Do(out)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	return answerOf(t, r, resp.StatusCode, resp.Header, raw)
}

// hand gives a request to the handler as the gate does, without a network.
func (b *bench) hand(t testing.TB, to tenant, r *http.Request) answer {
	t.Helper()
	ctx := httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
		ClientIP: netip.MustParseAddr("192.0.2.7"), Tenant: to.id, Origin: to.origin})
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r.WithContext(ctx))
	return answerOf(t, r, w.Code, w.Header(), w.Body.Bytes())
}

func answerOf(t testing.TB, r *http.Request, status int, header http.Header, raw []byte) answer {
	t.Helper()
	a := answer{t: t, status: status, header: header, raw: string(raw)}
	if len(raw) > 0 {
		if got := header.Get("Content-Type"); got != "application/scim+json" {
			t.Errorf("%s %s: Content-Type %q", r.Method, r.URL, got)
		}
		must(t, json.Unmarshal(raw, &a.body))
	}
	return a
}

// do sends a request with acme's token. body is JSON text or empty.
func (b *bench) do(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	r := b.newRequest(t.Context(), method, path, body)
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Del(headers[i]); headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return b.request(t, b.acme, r)
}

// newRequest is a request with acme's token.
func (b *bench) newRequest(ctx context.Context, method, path, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, b.acme.origin+"/scim/v2"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+b.acme.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	return r
}

// wants checks the status, and the scimType where one is given.
func (a answer) wants(status int, scimType ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	if status >= 400 {
		if !reflect.DeepEqual(a.body["schemas"], []any{"urn:ietf:params:scim:api:messages:2.0:Error"}) || a.body["detail"] == "" {
			a.t.Errorf("not a SCIM error: %s", a.raw)
		}
	}
	if len(scimType) > 0 && a.body["scimType"] != scimType[0] {
		a.t.Errorf("scimType %v, want %s: %s", a.body["scimType"], scimType[0], a.raw)
	}
	return a
}

// at gives a value of the body by its path: at("name", "givenName"), at("members", "0").
func (a answer) at(path ...string) any {
	var v any = a.body
	for _, name := range path {
		if list, ok := v.([]any); ok {
			if i, err := strconv.Atoi(name); err == nil && i < len(list) {
				v = list[i]
				continue
			}
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

func (a answer) id() string {
	a.t.Helper()
	id, ok := a.body["id"].(string)
	if !ok {
		a.t.Fatalf("no id in %s", a.raw)
	}
	return id
}

// same checks a value of the body against JSON.
func (a answer) same(want string, path ...string) answer {
	a.t.Helper()
	var v any
	must(a.t, json.Unmarshal([]byte(want), &v))
	if got := a.at(path...); !reflect.DeepEqual(got, v) {
		text, err := json.Marshal(got)
		must(a.t, err)
		a.t.Errorf("%s is %s, want %s", strings.Join(path, "."), text, want)
	}
	return a
}

// names gives the values of one attribute of a list's resources.
func (a answer) names(attribute string) string {
	a.t.Helper()
	var names []string
	list, _ := a.body["Resources"].([]any)
	for _, v := range list {
		object, _ := v.(map[string]any)
		name, _ := object[attribute].(string)
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func (b *bench) user(t testing.TB, userName, more string) string {
	t.Helper()
	return b.do(t, "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+userName+`"`+more+`}`).wants(201).id()
}

func (b *bench) group(t testing.TB, name string, members ...string) string {
	t.Helper()
	var list bytes.Buffer
	for i, m := range members {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(`{"value":"` + m + `"}`)
	}
	return b.do(t, "POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"`+name+`","members":[`+list.String()+`]}`).wants(201).id()
}

func patch(operations string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operations + `]}`
}

// signIn gives a person a session and its token.
func (b *bench) signIn(t testing.TB, user string) string {
	t.Helper()
	made, err := b.sessions.Create(t.Context(), system, b.acme.id, sessions.NewSession{User: identity.UserID(user), Connection: "con_1", ConnectionVersion: 1})
	must(t, err)
	return made.Token
}

func (b *bench) signedIn(t testing.TB, token string) bool {
	t.Helper()
	_, err := b.sessions.Find(t.Context(), b.acme.id, token)
	return err == nil
}

// events gives acme's journal, of one node after the other.
func (b *bench) events(t testing.TB) (all []audit.Event) {
	t.Helper()
	for _, node := range append([]*bench{b}, b.others...) {
		for e, err := range node.journal.Read(t.Context(), b.acme.id, 0) {
			must(t, err)
			all = append(all, e)
		}
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// json gives a value of the body as JSON text.
func (a answer) json(path ...string) string {
	a.t.Helper()
	text, err := json.Marshal(a.at(path...))
	must(a.t, err)
	return string(text)
}

func escape(filter string) string { return url.QueryEscape(filter) }
