package authn_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/machine"
	"gatehouse/authn/mfa"
	"gatehouse/authn/oauth2"
	"gatehouse/authn/oidc"
	"gatehouse/authn/saml"
	"gatehouse/authn/setup"
	"gatehouse/authn/signals"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/machines"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const acme, globex identity.TenantID = "ten_acme", "ten_globex"

// factorHost is where browsers are, as they see it, at the page of second factors:
// passkeys are bound to a name, and the rest of a test is at an address.
const factorHost = "acme.test"

// startBurst is how many sign-ins one network may begin at once here: more than
// there are attacks in a table.
const startBurst = 400

// recorder is a journal in memory: what was recorded, in order.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	broken error
	floods *audit.Refusals // takes the refusals instead, if set
	then   map[audit.Type]func()
}

// on has something happen right after the next record of a type.
func (j *recorder) on(t audit.Type, then func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.then = map[audit.Type]func(){t: then}
}

func (j *recorder) Commit(_ context.Context, e audit.Event) (audit.Receipt, error) {
	then, err := j.keep(e)
	if then != nil {
		then()
	}
	return audit.Receipt{}, err
}

func (j *recorder) keep(e audit.Event) (then func(), err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return nil, j.broken
	}
	j.events = append(j.events, e)
	then = j.then[e.Type]
	delete(j.then, e.Type)
	return then, nil
}

func (j *recorder) Record(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	if j.floods != nil {
		return j.floods.Record(ctx, e)
	}
	return j.Commit(ctx, e)
}

// fail makes every record fail as the journal's do.
func (j *recorder) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = fault.OutOfReach(err, "journal-unavailable", "Not now.")
}

func (j *recorder) mend() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = nil
}

func (j *recorder) all(t audit.Type) (found []audit.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Type == t {
			found = append(found, e)
		}
	}
	return found
}

// lastRefusal is the reason of the last refused sign-in.
func (j *recorder) lastRefusal(t testing.TB) authn.Reason {
	t.Helper()
	refused := j.all(audit.SignInRefused)
	if len(refused) == 0 {
		t.Fatal("no refusal in the journal")
	}
	return authn.Reason(refused[len(refused)-1].Reason)
}

// connections is the tenants room, as far as signing in asks it.
type connections struct {
	db      *store.DB
	mu      sync.Mutex
	tenant  tenants.Tenant
	byName  map[string]tenants.Connection
	domains []tenants.Domain
	globex  map[string]tenants.Connection // of that tenant; nil: it is not served
}

// of are a tenant's connections, by name; c.mu is held.
func (c *connections) of(tenant identity.TenantID) map[string]tenants.Connection {
	if c.globex != nil && tenant == globex {
		return c.globex
	}
	return c.byName
}

// putGlobex keeps a connection of globex, which is served from then on.
func (c *connections) putGlobex(conn tenants.Connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.globex == nil {
		c.globex = map[string]tenants.Connection{}
	}
	conn.ID, conn.Version = identity.ConnectionID("con_"+conn.Name), 1
	c.globex[conn.Name] = conn
	c.writeAt(globex, `INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at) VALUES ($1, $2, $3, '{}', $4, $5, 0, 0)`,
		conn.ID, conn.Name, conn.Type, conn.Enabled, conn.Version)
}

func (c *connections) put(conn tenants.Connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.ID = identity.ConnectionID("con_" + conn.Name)
	conn.Version = c.byName[conn.Name].Version + 1
	c.byName[conn.Name] = conn
	c.write(`INSERT INTO connections (id, name, type, spec, enabled, version, created_at, updated_at)
		VALUES ($1, $2, $3, '{}', $4, $5, 0, 0) ON CONFLICT (id) DO UPDATE SET enabled = excluded.enabled, version = excluded.version`,
		conn.ID, conn.Name, conn.Type, conn.Enabled, conn.Version)
}

// PutConnection keeps a connection as that room does.
func (c *connections) PutConnection(ctx context.Context, _ audit.Cause, tenant identity.TenantID, conn tenants.Connection) (tenants.Connection, error) {
	was, err := c.Connection(ctx, tenant, conn.Name)
	if err := conn.Check(was); err != nil {
		return tenants.Connection{}, err
	}
	if err == nil && conn.Version != 0 && conn.Version != was.Version || err != nil && conn.Version != 0 && conn.Version != tenants.NoConnection {
		return tenants.Connection{}, fault.New(fault.Precondition, "version-changed", "It was changed by somebody else.")
	}
	c.put(conn)
	return c.Connection(ctx, tenant, conn.Name)
}

func (c *connections) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byName, name)
	c.write(`DELETE FROM connections WHERE name = $1`, name)
}

// write keeps the rows that sessions are made by as that room would.
func (c *connections) write(query string, args ...any) { c.writeAt(c.tenant.ID, query, args...) }

func (c *connections) writeAt(tenant identity.TenantID, query string, args ...any) {
	if err := c.db.Tenant(tenant).Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(context.Background(), query, args...)
		return err
	}); err != nil {
		panic(err)
	}
}

func (c *connections) ByID(id identity.TenantID) (*tenants.Tenant, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenant
	if c.globex != nil && id == globex {
		t.ID, t.Name, t.DisplayName = globex, "globex", "Globex"
	}
	return &t, id == t.ID
}

func (c *connections) set(s tenants.SessionSettings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenant.Settings.Session = s
}

func (c *connections) setFactor(s tenants.SecondFactor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenant.Settings.SecondFactor = s
}

func (c *connections) setStatus(s tenants.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenant.Status = s
}

func (c *connections) List() []*tenants.Tenant {
	t, _ := c.ByID(acme)
	return []*tenants.Tenant{t}
}

func (c *connections) Connections(_ context.Context, tenant identity.TenantID) ([]tenants.Connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.of(tenant))), nil
}

func (c *connections) Domains(context.Context, identity.TenantID) ([]tenants.Domain, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.domains), nil
}

func (c *connections) setDomains(domains ...tenants.Domain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.domains = domains
}

func (c *connections) Connection(_ context.Context, tenant identity.TenantID, name string) (tenants.Connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn, ok := c.of(tenant)[name]
	if !ok {
		return conn, fault.New(fault.NotFound, "no-connection", "There is no such connection.")
	}
	return conn, nil
}

func (c *connections) ConnectionByID(ctx context.Context, t identity.TenantID, id identity.ConnectionID) (tenants.Connection, error) {
	return c.Connection(ctx, t, strings.TrimPrefix(string(id), "con_"))
}

// grants remembers default roles.
type grants struct {
	mu    sync.Mutex
	given []string
	held  map[identity.UserID][]string
	err   error
	after func() // called once a role is given
	asked func() // called when somebody's are asked for
}

func (g *grants) GrantDefault(_ context.Context, _ audit.Cause, _ identity.TenantID, user identity.UserID, role string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	g.given = append(g.given, string(user)+" "+role)
	if g.after != nil {
		g.after()
	}
	return nil
}

// CheckDefault fails as giving the role would.
func (g *grants) CheckDefault(context.Context, identity.TenantID, string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Held fails where roles cannot be known.
func (g *grants) Held(_ context.Context, p *identity.Principal) ([]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked != nil {
		g.asked()
	}
	if p.Role != "" {
		return []string{p.Role}, g.err
	}
	return g.held[p.User], g.err
}

// world is signing in over a real store, directory and sessions, served over
// TLS as the gate would.
type world struct {
	*authn.Service
	t           testing.TB
	url         string
	keys        *keys.Ring
	db          *store.DB
	journal     *recorder
	connections *connections
	grants      *grants
	sessions    *sessions.Service
	directory   *directory.Service
	tokens      *token.Service
	setup       *setup.Service
	factors     *mfa.Service
	services    *machines.Service
	machines    *machine.Verifier
	egress      *http.Client

	mu   sync.Mutex
	now  time.Duration // how far the service's clock is ahead
	from atomic.Uint32 // which network requests come from, where more come than one may send
	lost atomic.Bool   // the database, to the flow

	posing sync.Map // servers that stand for hosts of the internet, by their names
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.now)
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now += d
}

// losable is the world's store, until it is lost to signing in.
type losable struct{ w *world }

// Tenant implements [authn.Stores].
func (l losable) Tenant(id identity.TenantID) store.Tenant {
	if l.w.lost.Load() {
		return store.Tenant{}
	}
	return l.w.db.Tenant(id)
}

// forgetful has what is remembered of services be forgotten as they change.
type forgetful struct{ w *world }

// End implements [machines.Streams]: nothing is open here.
func (f forgetful) End(_ context.Context, tenant identity.TenantID, _ string) error {
	f.w.machines.Refresh(tenant)
	return nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldWith(t, slog.New(slog.DiscardHandler))
}

// newWorldWith writes a log.
func newWorldWith(t testing.TB, log *slog.Logger) *world {
	t.Helper()
	w := &world{t: t, journal: &recorder{}, grants: &grants{}, connections: &connections{
		tenant: tenants.Tenant{ID: acme, Name: "acme", DisplayName: "Acme", Status: tenants.Active}, byName: map[string]tenants.Connection{}}}
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	check(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	check(t, err)
	ring := keys.NewRing(kek, vault)
	w.keys = ring
	for _, id := range []identity.TenantID{identity.Platform, acme, globex} {
		check(t, ring.Create(t.Context(), id))
	}
	w.db, err = store.Open(t.Context(), postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db")), store.Options{Keys: ring, Environment: "test"})
	check(t, err)
	check(t, w.db.Create(t.Context(), acme))
	check(t, w.db.Create(t.Context(), globex))
	w.connections.db = w.db
	w.sessions = sessions.New(sessions.Config{Store: w.db, Keys: ring, Journal: w.journal, Node: "n1", Carry: authn.CarryAllowed, Withhold: authn.Withhold,
		Limits: func(identity.TenantID) sessions.Limits {
			return sessions.Limits{Idle: 8 * time.Hour, Absolute: 168 * time.Hour}
		}})
	w.directory = directory.New(directory.Config{Store: w.db, Journal: w.journal, Sessions: w.sessions, Withdraw: authz.Withdraw})
	w.tokens = token.New(token.Config{Store: w.db, Journal: w.journal, Connections: w.connections, Now: w.clock})
	w.factors = mfa.New(mfa.Config{Store: w.db, Keys: ring, Journal: w.journal, Now: w.clock})
	w.egress = httpkit.NewEgress(httpkit.EgressOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}).Client()
	w.egress.Transport = posing{w.egress.Transport, w}
	w.services = machines.New(machines.Config{Store: w.db, Keys: ring, Journal: w.journal, Streams: forgetful{w}, Now: w.clock})
	w.machines = machine.New(machine.Config{Services: w.services, Connections: w.connections, Client: w.egress, Now: w.clock})
	w.Service = authn.New(authn.Config{
		Store: losable{w}, Keys: ring, Journal: w.journal, Refusals: w.journal, Tenants: w.connections, Directory: w.directory,
		Sessions: w.sessions, Devices: w.sessions, Tokens: w.tokens, Clients: w.tokens, Machines: w.machines, Roles: w.grants, Factors: w.factors, Now: w.clock,
		Log: log, StartsPerSecond: 1, StartBurst: startBurst,
		Protocols: map[tenants.ConnectionType]authn.Protocol{
			tenants.OIDC: oidc.New(oidc.Config{Store: w.db, Keys: ring, Journal: w.journal, Client: w.egress, Now: w.clock}), tenants.SAML: saml.New(saml.Config{Store: w.db, Keys: ring, Journal: w.journal, Client: w.egress, Now: w.clock}),
			tenants.OAuth2: oauth2.New(oauth2.Config{Client: w.egress, Log: log})},
		Signals: signals.New(w.egress, w.clock),
	})
	w.setup = setup.New(setup.Config{Store: losable{w}, Journal: w.journal, Refusals: w.journal, Tenants: w.connections, Trials: w.Service, Sessions: w.sessions, People: w.directory, Now: w.clock})
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = http.HandlerFunc(w.gate)
	server.StartTLS()
	w.url = server.URL
	t.Cleanup(func() {
		server.Close()
		w.Close()
		w.machines.Close()
		w.egress.CloseIdleConnections()
		check(t, w.sessions.Close())
		check(t, w.db.Close())
	})
	return w
}

// gate stands in for the real one: our addresses, and an app behind that tells
// who it is for.
func (w *world) gate(rw http.ResponseWriter, r *http.Request) {
	r = w.passed(r)
	if strings.HasPrefix(r.URL.Path, setup.Path) {
		w.setup.Handler().ServeHTTP(rw, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/.gatehouse/") {
		w.Handler().ServeHTTP(rw, r)
		return
	}
	caller, err := w.Caller(r)
	if err != nil {
		httpkit.ReplyError(rw, r, err)
		return
	}
	if caller.Principal == nil {
		http.Redirect(rw, r, w.SignInURL(r), http.StatusSeeOther)
		return
	}
	person, err := w.directory.Person(r.Context(), acme, caller.Principal.User)
	if err != nil {
		httpkit.ReplyError(rw, r, err)
		return
	}
	_, _ = io.WriteString(rw, "app "+r.URL.RequestURI()+" for "+person.Email+" called "+person.Name)
}

func (w *world) passed(r *http.Request) *http.Request {
	passed := &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
		ClientIP: netip.MustParseAddr("203.0.113.7"), Tenant: acme, TenantName: "acme", Origin: "https://" + r.Host}
	if n := w.from.Load(); n > 0 {
		passed.ClientIP = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	}
	if r.URL.Path == "/.gatehouse/mfa" {
		passed.Origin = "https://" + factorHost
	}
	if r.Header.Get("Test-Tenant") != "" {
		passed.Tenant, passed.TenantName = globex, "globex"
	}
	return r.WithContext(httpkit.WithRequest(r.Context(), passed))
}

// browser keeps cookies and follows redirects, as people's do.
type browser struct {
	*http.Client
	t testing.TB
	w *world
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	check(w.t, err)
	transport := &http.Transport{TLSClientConfig: insecure()}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &browser{Client: &http.Client{Jar: jar, Transport: asBrowser{transport}}, t: w.t, w: w}
}

// asBrowser asks for pages.
type asBrowser struct{ next http.RoundTripper }

func (a asBrowser) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "text/html")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	return a.next.RoundTrip(r)
}

type page struct {
	status int
	url    *url.URL
	body   string
	header http.Header
}

func (b *browser) read(resp *http.Response, err error) page {
	b.t.Helper()
	check(b.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	check(b.t, err)
	return page{resp.StatusCode, resp.Request.URL, string(body), resp.Header}
}

func (b *browser) open(path string) page {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.w.url + path
	}
	return b.read(b.Get(path))
}

func (b *browser) post(path string, form url.Values) page {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.w.url + path
	}
	return b.read(b.PostForm(path, form))
}

// postFromElsewhere posts as a page of another site makes a browser do, and
// goes where that leads.
func (b *browser) postFromElsewhere(target string, form url.Values) page {
	b.t.Helper()
	resp := b.sendFromElsewhere(target, form)
	if to, err := resp.Location(); err == nil {
		_ = resp.Body.Close()
		return b.open(to.String())
	}
	return b.read(resp, nil)
}

// sendFromElsewhere posts with the SameSite=None cookie alone.
func (b *browser) sendFromElsewhere(target string, form url.Values) *http.Response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	check(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "null")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	for _, c := range b.Jar.Cookies(req.URL) {
		if c.Name == httpkit.FlowCookie {
			req.AddCookie(c)
		}
	}
	resp, err := b.Transport.RoundTrip(req)
	check(b.t, err)
	b.Jar.SetCookies(req.URL, resp.Cookies())
	resp.Request = req
	return resp
}

func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.w.url)
	check(b.t, err)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (p page) has(t testing.TB, status int, texts ...string) {
	t.Helper()
	if p.status != status {
		t.Fatalf("%s: status %d, want %d\n%s", p.url, p.status, status, p.body)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Fatalf("%s: %q is not on the page:\n%s", p.url, text, p.body)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
