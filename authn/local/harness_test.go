package local_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/authn/local"
	"gatehouse/authn/mfa"
	"gatehouse/authn/mfa/mfatest"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// cheap is a cost for tests, in which many passwords are hashed.
var cheap = local.Cost{Memory: 64, Passes: 1, Threads: 1}

const secret = "several words of mine"

var operator = audit.Cause{Actor: audit.Actor{Kind: identity.KindOperator, ID: "local", Name: "the operator"}}

// recorder keeps what was journalled, and can refuse to.
type recorder struct {
	*audit.Journal

	mu     sync.Mutex
	events []audit.Event
	broken map[audit.Type]error
	then   map[audit.Type]func()
}

func (j *recorder) Commit(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	j.mu.Lock()
	if err := j.broken[e.Type]; err != nil {
		j.mu.Unlock()
		return audit.Receipt{}, err
	}
	j.events = append(j.events, e)
	then := j.then[e.Type]
	delete(j.then, e.Type)
	j.mu.Unlock()
	receipt, err := j.Journal.Commit(ctx, e)
	if then != nil {
		then()
	}
	return receipt, err
}

func (j *recorder) Record(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	return j.Commit(ctx, e)
}

// breaks has every record of a type fail; nil mends it.
func (j *recorder) breaks(t audit.Type, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = map[audit.Type]error{}
	if err != nil {
		j.broken[t] = fault.OutOfReach(err, "journal-unavailable", "Not now.")
	}
}

// on has something happen right after the next record of a type.
func (j *recorder) on(t audit.Type, then func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.then = map[audit.Type]func(){t: then}
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

// last is why somebody was turned away last, by the journal.
func (j *recorder) last(t testing.TB, kind audit.Type) string {
	t.Helper()
	all := j.all(kind)
	if len(all) == 0 {
		t.Fatalf("no record of %s", kind)
	}
	return all[len(all)-1].Reason
}

// inhabited is what the world has of a tenant.
type inhabited struct{ w *world }

func (i inhabited) EndTenant(ctx context.Context, cause audit.Cause, tenant identity.TenantID, reason string) error {
	_, err := i.w.sessions.Revoke(ctx, cause, tenant, sessions.Selector{All: true}, reason)
	return err
}

func (inhabited) Restrict(context.Context, audit.Cause, identity.TenantID) error { return nil }
func (inhabited) Reconnect(identity.TenantID)                                    {}
func (i inhabited) Forget(tenant identity.TenantID)                              { i.w.sessions.Forget(tenant) }

// world is signing in over real rooms, served over TLS as the gate would.
type world struct {
	*local.Service

	t         testing.TB
	url       string
	keys      *keys.Ring
	db        *store.DB
	journal   *recorder
	tenants   *tenants.Service
	directory *directory.Service
	roles     *authz.Engine
	sessions  *sessions.Service
	factors   *mfa.Service
	authn     *authn.Service
	acme      *tenants.Tenant
	globex    *tenants.Tenant

	mu sync.Mutex
	at time.Duration // how far the clock is ahead
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.at)
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at += d
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	w := &world{t: t}
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	must(t, err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(t, err)
	w.keys = keys.NewRing(kek, vault)
	must(t, w.keys.Create(ctx, identity.Platform))
	w.db, err = store.Open(ctx, postgrestest.Or(t, "sqlite://"+filepath.Join(dir, "db")), store.Options{Keys: w.keys, Environment: "test"})
	must(t, err)
	journal, err := audit.Open(audit.Options{Dir: filepath.Join(dir, "journal"), Node: "n1", Keys: w.keys})
	must(t, err)
	w.journal = &recorder{Journal: journal}
	w.tenants, err = tenants.New(ctx, tenants.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Rooms: inhabited{w}, PlatformHost: "admin.test"})
	must(t, err)
	w.sessions = sessions.New(sessions.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Node: "n1",
		Limits: func(identity.TenantID) sessions.Limits {
			return sessions.Limits{Idle: time.Hour, Absolute: 24 * time.Hour}
		}})
	w.directory = directory.New(directory.Config{Store: w.db, Journal: w.journal, Sessions: w.sessions, Withdraw: authz.Withdraw, Retire: local.Retire})
	w.roles = authz.New(authz.Config{Store: w.db, Journal: w.journal, People: w.directory})
	w.factors = mfa.New(mfa.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Now: w.clock})
	w.Service = w.node(cheap)
	log := slog.New(slog.DiscardHandler)
	w.authn = authn.New(authn.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Refusals: w.journal, Tenants: w.tenants, Directory: w.directory,
		Sessions: w.sessions, Devices: w.sessions, Tokens: token.New(token.Config{Store: w.db, Journal: w.journal}), Roles: w.roles,
		Factors: w.factors, Log: log, Now: w.clock, Protocols: map[tenants.ConnectionType]authn.Protocol{tenants.Local: w.Service}})
	for _, of := range []struct {
		name string
		is   **tenants.Tenant
	}{{"acme", &w.acme}, {"globex", &w.globex}} {
		*of.is, err = w.tenants.Create(ctx, operator, tenants.Tenant{Name: of.name, DisplayName: strings.ToUpper(of.name[:1]) + of.name[1:],
			Hosts: []string{of.name + ".test"}, Status: tenants.Active})
		must(t, err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(w.gate))
	w.url = server.URL
	t.Cleanup(func() {
		server.Close()
		w.authn.Close()
		must(t, w.sessions.Close())
		must(t, journal.Close())
		must(t, w.db.Close())
	})
	return w
}

// node is the room as another node, or at another cost, has it.
func (w *world) node(cost local.Cost) *local.Service {
	return local.New(local.Config{Store: w.db, Keys: w.keys, Journal: w.journal, Refusals: w.journal, Tenants: w.tenants, Factors: w.factors, Sessions: w.sessions, Policy: w.roles,
		Programs: func(_ context.Context, tenant identity.TenantID, kind identity.Kind, id string) (*identity.Principal, error) {
			if id != "tok_good" {
				return nil, nil
			}
			return &identity.Principal{Kind: kind, Tenant: tenant, ID: id, Role: authz.Owner}, nil
		},
		Log: slog.New(slog.DiscardHandler), Cost: cost, Now: w.clock})
}

// gate stands in for the real one: our addresses, and an app behind that tells who it
// is for. A request says by fields of its own whose host it is for, and whence it is.
func (w *world) gate(rw http.ResponseWriter, r *http.Request) {
	t := w.acme
	switch r.Header.Get("Test-Tenant") {
	case "globex":
		t = w.globex
	case "platform":
		t, _ = w.tenants.ByID(identity.Platform)
	}
	ip, err := netip.ParseAddr(r.Header.Get("Test-IP"))
	if err != nil {
		ip = netip.MustParseAddr("203.0.113.7")
	}
	r = r.WithContext(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(), ClientIP: ip,
		Tenant: t.ID, TenantName: t.Name, TenantTitle: t.DisplayName, Origin: "https://" + t.Hosts[0]}))
	switch {
	case r.URL.Path == local.PathInvitation:
		w.Handler().ServeHTTP(rw, r)
		return
	case strings.HasPrefix(r.URL.Path, "/.gatehouse/"):
		w.authn.Handler().ServeHTTP(rw, r)
		return
	}
	caller, err := w.authn.Caller(r)
	if err != nil {
		httpkit.ReplyError(rw, r, err)
		return
	}
	if caller.Principal == nil {
		http.Redirect(rw, r, w.authn.SignInURL(r), http.StatusSeeOther)
		return
	}
	person, err := w.directory.Person(r.Context(), t.ID, caller.Principal.User)
	if err != nil {
		httpkit.ReplyError(rw, r, err)
		return
	}
	_, _ = io.WriteString(rw, "app "+r.URL.RequestURI()+" for "+person.Email+" by "+strings.Join(caller.Principal.AMR, " "))
}

// person is an owner who is active.
func (w *world) person(tenant *tenants.Tenant, email string) identity.UserID {
	w.t.Helper()
	u, err := w.directory.CreateUser(w.t.Context(), operator, tenant.ID, directory.User{UserName: email, Email: email, DisplayName: "Ann", Active: true, Source: directory.SourceAdmin})
	must(w.t, err)
	w.gives(tenant.ID, u.ID, authz.Owner)
	return u.ID
}

// gives somebody a role in the place of the one they had.
func (w *world) gives(tenant identity.TenantID, user identity.UserID, role string) {
	w.t.Helper()
	_, err := w.roles.Assign(w.t.Context(), operator, tenant, authz.Assignment{Name: "of-" + strings.ToLower(string(user)), Role: role, User: user})
	must(w.t, err)
}

// invites gives the path to which a new link of somebody leads.
func (w *world) invites(tenant *tenants.Tenant, user identity.UserID) string {
	w.t.Helper()
	made, err := w.Invite(w.t.Context(), operator, tenant.ID, user, 0)
	must(w.t, err)
	return local.InvitationURL(made.Token)
}

// browser keeps cookies and follows redirects, as people's do.
type browser struct {
	*http.Client

	w      *world
	t      testing.TB
	tenant string
	ip     string
}

// tickets spare the second browser of a test what a handshake costs with RSA.
var tickets = tls.NewLRUClientSessionCache(1)

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tickets}}
	w.t.Cleanup(transport.CloseIdleConnections)
	b := &browser{w: w, t: w.t, tenant: "acme", ip: "203.0.113.7"}
	b.Client = &http.Client{Jar: jar, Transport: fields{transport, b}}
	return b
}

// from is the same browser elsewhere.
func (b *browser) from(ip string) *browser { b.ip = ip; return b }

// of is a browser at another tenant's host.
func (b *browser) of(tenant string) *browser { b.tenant = tenant; return b }

type fields struct {
	next http.RoundTripper
	b    *browser
}

func (f fields) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Test-Tenant", f.b.tenant)
	r.Header.Set("Test-IP", f.b.ip)
	return f.next.RoundTrip(r)
}

type page struct {
	t      testing.TB
	status int
	body   string
	header http.Header
	url    *url.URL
}

func (b *browser) read(resp *http.Response, err error) page {
	b.t.Helper()
	must(b.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(b.t, err)
	text := string(body)
	if _, content, ok := strings.Cut(text, "<body>"); ok {
		text = content
	}
	return page{b.t, resp.StatusCode, text, resp.Header, resp.Request.URL}
}

func (b *browser) open(path string) page {
	b.t.Helper()
	return b.read(b.Get(b.w.url + path))
}

func (b *browser) post(path string, form url.Values) page {
	b.t.Helper()
	return b.read(b.PostForm(b.w.url+path, form))
}

func (p page) has(status int, texts ...string) page {
	p.t.Helper()
	if p.status != status {
		p.t.Fatalf("%s: status %d, not %d\n%s", p.url, p.status, status, p.body)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			p.t.Fatalf("%s: %q is not on the page:\n%s", p.url, text, p.body)
		}
	}
	return p
}

// hidden are the fields of the form in which one has this value.
func (p page) hidden(name, value string) url.Values {
	p.t.Helper()
	for _, form := range regexp.MustCompile(`(?s)<form.*?</form>`).FindAllString(p.body, -1) {
		values := url.Values{}
		for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?>`).FindAllStringSubmatch(form, -1) {
			values.Set(field[1], unescape(field[2]))
		}
		if values.Get(name) == value {
			return values
		}
	}
	p.t.Fatalf("no form with %s=%s on the page:\n%s", name, value, p.body)
	return nil
}

// options is what the page asks of a passkey.
func (p page) options() []byte {
	p.t.Helper()
	found := regexp.MustCompile(`data-options="([^"]*)"`).FindStringSubmatch(p.body)
	if found == nil {
		p.t.Fatalf("no passkey is asked for:\n%s", p.body)
	}
	return []byte(unescape(found[1]))
}

func unescape(text string) string {
	return strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&amp;", "&", "&#43;", "+", "&lt;", "<", "&gt;", ">").Replace(text)
}

// with is a form with some fields set.
func with(form url.Values, pairs ...string) url.Values {
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

var keyShown = regexp.MustCompile(`<p><code>([A-Z2-7]{32})</code></p>`)

// code is what an app with this key shows, some periods from now.
func (w *world) code(key string, periods int) string {
	w.t.Helper()
	code, err := totp.GenerateCode(key, w.clock().Add(time.Duration(periods)*30*time.Second))
	must(w.t, err)
	return code
}

// choosesPassword goes to where a link leads and sets up a password with an app.
func (b *browser) choosesPassword(path, password string) (key string, done page) {
	b.t.Helper()
	p := b.post(local.PathInvitation, b.open(path).has(http.StatusOK, "Set up your account").hidden("kind", "totp")).has(http.StatusOK, "Choose a password")
	key = keyShown.FindStringSubmatch(p.body)[1]
	done = b.post(local.PathInvitation, with(p.hidden("do", "accept"), "password", password, "code", b.w.code(key, 0)))
	return key, done
}

// choosesPasskey goes to where a link leads and sets up a passkey.
func (b *browser) choosesPasskey(path string) *mfatest.Passkey {
	b.t.Helper()
	p := b.post(local.PathInvitation, b.open(path).hidden("kind", "passkey")).has(http.StatusOK, "Add a passkey")
	k := mfatest.New(b.t, "https://"+b.tenant+".test", b.tenant+".test")
	b.post(local.PathInvitation, with(p.hidden("do", "accept"), "credential", k.Create(p.options()))).has(http.StatusOK, "Your account is set up")
	return k
}

// begins opens the page on which local accounts sign in.
func (b *browser) begins() page {
	b.t.Helper()
	return b.open("/.gatehouse/login?connection=local&return_to=/x").has(http.StatusOK, "Sign in with a local account")
}

// enters sends an address with a password.
func (b *browser) enters(address, password string) page {
	b.t.Helper()
	return b.post(authn.PathLocal, with(b.begins().hidden("do", "password"), "address", address, "password", password))
}

// shows sends a passkey's answer.
func (b *browser) shows(k *mfatest.Passkey) page {
	b.t.Helper()
	p := b.begins()
	return b.post(authn.PathLocal, with(p.hidden("do", "passkey"), "credential", k.Get(p.options())))
}

// owner is somebody with a password and an app, who has not signed in yet.
func (w *world) owner(email string) (user identity.UserID, key string) {
	w.t.Helper()
	user = w.person(w.acme, email)
	key, done := w.browser().choosesPassword(w.invites(w.acme, user), secret)
	done.has(http.StatusOK, "Your account is set up")
	w.advance(30 * time.Second)
	return user, key
}

// signsIn signs somebody in by password and app.
func (b *browser) signsIn(email, password, key string) page {
	b.t.Helper()
	p := b.enters(email, password).has(http.StatusOK, "Enter your code")
	done := b.post(authn.PathLocal, with(p.hidden("kind", "totp"), "code", b.w.code(key, 0)))
	b.w.advance(30 * time.Second)
	return done
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
