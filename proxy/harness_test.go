package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/assertion"
	"gatehouse/assertion/mint"
	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/authz/routes"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/proxy/ca"
	"gatehouse/proxy/upstream"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// ownerToken stands for an API token in the tests' own way of knowing callers.
const ownerToken = "gh_owner"

// scimToken stands for one that provisions people.
const scimToken = "gh_scim"

var routeTable = []routes.Spec{
	{Path: "/public/**", Access: "public"},
	{Path: "/admin/**", Permission: "billing"},
	{Path: "/sensitive/**", Access: "signed_in", StepUp: routes.Recent},
	{Path: "/vault/**", Access: "signed_in", StepUp: routes.MFA},
	{Path: "/vault/inner/**", Access: "signed_in", StepUp: routes.MFA, StepUpAge: 5 * time.Minute},
	{Path: "/sensitive/admin", Permission: "billing", StepUp: routes.Recent},
	{Path: "/**", Access: "signed_in"},
}

// world is a gate with real parts all around, but for signing in.
type world struct {
	t        testing.TB
	app      *rawApp
	journal  *audit.Journal
	tenants  *tenants.Service
	people   *directory.Service
	sessions *sessions.Service
	decider  *authz.Engine
	minter   *mint.Minter
	pool     *upstream.Pool
	gate     *Gate
	server   *Server
	acme     *tenants.Tenant
	globex   *tenants.Tenant
	door     identity.ConnectionID // by which acme's people sign in

	notReady atomic.Pointer[fault.Fault]
	callers  atomic.Int64 // how often somebody was asked who calls
	noToken  atomic.Bool  // the owner's token was revoked
	tokenFor atomic.Int64 // how long it is still good, as of every question; 0 is for ever

	addr  string
	roots *x509.CertPool
	stop  func()
}

// newWorld builds a gate and serves it; change, if not nil, has the last word
// on its configuration.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, app: newRawApp(t)}
	ctx := context.Background()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	w.must(err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	w.must(err)
	ring := keys.NewRing(kek, vault)
	w.must(ring.Create(ctx, identity.Platform))
	db, err := store.Open(ctx, "sqlite://"+filepath.Join(dir, "db"), store.Options{Keys: ring, Environment: "test"})
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	w.journal, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "journal"), Node: "n1", Keys: ring})
	w.must(err)
	t.Cleanup(func() { w.must(w.journal.Close()) })
	w.tenants, err = tenants.New(ctx, tenants.Config{Store: db, Keys: ring, Journal: w.journal, Rooms: inhabited{w}, PlatformHost: "admin.test"})
	w.must(err)
	w.acme, w.globex = w.tenant("acme"), w.tenant("globex")
	door, err := w.tenants.PutConnection(ctx, audit.SystemCause(), w.acme.ID, tenants.Connection{Name: "door", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: "https://door.example", ClientID: "gatehouse"}})
	w.must(err)
	w.door = door.ID
	w.sessions = sessions.New(sessions.Config{Store: db, Keys: ring, Journal: w.journal, Node: "n1",
		Limits: func(identity.TenantID) sessions.Limits { return sessions.Limits{Idle: time.Hour, Absolute: time.Hour} }})
	t.Cleanup(func() { w.must(w.sessions.Close()) })
	w.people = directory.New(directory.Config{Store: db, Journal: w.journal, Sessions: w.sessions})
	w.minter, err = mint.New(ctx, mint.Config{System: db.System(), Keys: ring})
	w.must(err)
	table, err := routes.Compile(routeTable)
	w.must(err)
	w.pool, err = upstream.New(upstream.Config{URLs: []string{"http://" + w.app.addr}, HeaderTimeout: patience})
	w.must(err)
	w.decider = authz.New(authz.Config{Store: db, Journal: w.journal, People: w.people})
	config := Config{
		Tenants: w.tenants, Caller: w.caller, Admits: w.admits,
		SignInURL:      func(r *http.Request) string { return "/.gatehouse/login?return_to=" + r.URL.EscapedPath() },
		SignInAgainURL: func(r *http.Request) string { return "/.gatehouse/login?fresh=yes&return_to=" + r.URL.EscapedPath() },
		FactorURL:      func(r *http.Request) string { return "/.gatehouse/mfa?return_to=" + r.URL.EscapedPath() },
		Decider:        w.decider,
		Journal:        w.journal, Refusals: audit.NewRefusals(w.journal), Minter: w.minter,
		Own: http.HandlerFunc(w.own),
		Ready: func(identity.TenantID) error {
			if f := w.notReady.Load(); f != nil {
				return f
			}
			return nil
		},
		Settings: Settings{Routes: table, App: w.pool}, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	w.gate, err = New(config)
	w.must(err)
	w.serve(dir)
	return w
}

// inhabited is what the gate and the sessions have of a tenant.
type inhabited struct{ w *world }

func (i inhabited) EndTenant(ctx context.Context, cause audit.Cause, tenant identity.TenantID, reason string) error {
	err := i.w.gate.EndTenant(ctx, tenant)
	_, revoked := i.w.sessions.Revoke(ctx, cause, tenant, sessions.Selector{All: true}, reason)
	return errors.Join(err, revoked)
}

func (i inhabited) Restrict(context.Context, audit.Cause, identity.TenantID) error { return nil }

func (i inhabited) Reconnect(tenant identity.TenantID) { i.w.gate.Reconnect(tenant) }

func (i inhabited) Forget(tenant identity.TenantID) { i.w.sessions.Forget(tenant) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tenant(name string) *tenants.Tenant {
	made, err := w.tenants.Create(context.Background(), audit.SystemCause(),
		tenants.Tenant{Name: name, DisplayName: name, Hosts: []string{name + ".test"}, Status: tenants.Active})
	w.must(err)
	return made
}

func (w *world) serve(dir string) {
	authority, err := ca.Open(filepath.Join(dir, "ca"), func(host string) bool {
		_, ok := w.tenants.ByHost(host)
		return ok || host == "unknown.test"
	})
	w.must(err)
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(authority.PEM())
	w.server, err = Listen(context.Background(), ServerConfig{Gate: w.gate, HTTPS: "127.0.0.1:0", HTTP: "127.0.0.1:0",
		Terms: Terms{Certificates: authority, Drain: 5 * time.Second}, Log: slog.New(slog.DiscardHandler)})
	w.must(err)
	w.addr = w.server.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.server.Run(ctx); err != nil {
			w.t.Errorf("server: %v", err)
		}
	})
	running.Go(func() { _ = w.pool.Run(ctx) })
	w.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	w.t.Cleanup(w.stop)
}

// admits keeps owners in the networks that the tests say.
func (w *world) admits(ctx context.Context, p *identity.Principal, ip netip.Addr) error {
	t, _ := w.tenants.ByID(p.Tenant)
	roles, err := w.decider.Held(ctx, p)
	if err == nil && !t.Settings.Session.AdmitsRoles(roles, ip) {
		err = fault.New(fault.Denied, "network-not-allowed-for-role", "Not from there.")
	}
	return err
}

// caller knows sessions by their cookie, one API token and one SCIM token.
func (w *world) caller(r *http.Request) (*identity.Principal, *sessions.Live, error) {
	w.callers.Add(1)
	q := httpkit.RequestFrom(r.Context())
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && strings.HasPrefix(bearer, "gh_") {
		if bearer == scimToken {
			return &identity.Principal{Kind: identity.KindSCIMToken, Tenant: w.acme.ID, ID: "tok_2", Name: "hr"}, nil, nil
		}
		if bearer != ownerToken || w.noToken.Load() {
			return nil, nil, fault.New(fault.Unauthenticated, "token-unknown", "This token is not known.")
		}
		p := &identity.Principal{Kind: identity.KindAPIToken, Tenant: w.acme.ID, ID: "tok_1", Name: "robot", Role: "owner"}
		if left := time.Duration(w.tokenFor.Load()); left != 0 {
			p.Expires = time.Now().Add(left)
		}
		return p, nil, nil
	}
	token, count := httpkit.ReadCookie(r, httpkit.SessionCookie)
	if count == 0 {
		return nil, nil, nil
	}
	live, err := w.sessions.Find(r.Context(), q.Tenant, token)
	if err != nil {
		return nil, nil, err
	}
	return live.Principal(), live, nil
}

// own is what stands behind the gate's own addresses here.
func (w *world) own(rw http.ResponseWriter, r *http.Request) {
	q := httpkit.RequestFrom(r.Context())
	switch r.URL.Path {
	case "/.gatehouse/stream":
		rw.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
		return
	case "/.gatehouse/export":
		for {
			if _, err := rw.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	case "/.gatehouse/sign-out":
		if err := w.signOut(r); err != nil {
			httpkit.ReplyError(rw, r, err)
			return
		}
	case "/.gatehouse/form":
		if _, err := io.ReadAll(r.Body); err != nil {
			rw.WriteHeader(http.StatusRequestTimeout)
			return
		}
	}
	_, _ = io.WriteString(rw, "own "+q.TenantName+" "+r.URL.Path)
}

// signOut ends what the request itself came by, session or token.
func (w *world) signOut(r *http.Request) error {
	p, live, err := w.caller(r)
	if err != nil {
		return err
	}
	if live == nil {
		w.noToken.Store(true)
		return w.gate.End(r.Context(), p.Tenant, p.ID)
	}
	_, err = w.sessions.Revoke(r.Context(), audit.SystemCause(), p.Tenant, sessions.Selector{Session: p.Session}, "test")
	return err
}

// person is somebody signed in.
type person struct {
	user    directory.User
	session sessions.Session
	token   string
}

func (w *world) signIn(name string) person {
	w.t.Helper()
	return w.signInAt(name, time.Now())
}

// signInAt is a sign-in by an authentication of this time; zero: it is not known.
func (w *world) signInAt(name string, at time.Time) person { return w.signInBy(name, at, time.Time{}) }

// signInBy is one with a second factor that was shown at a time; zero: never.
func (w *world) signInBy(name string, at, factor time.Time) person {
	w.t.Helper()
	ctx := context.Background()
	user, err := w.people.CreateUser(ctx, audit.SystemCause(), w.acme.ID, directory.User{
		UserName: name + "@acme.test", Email: name + "@acme.test", DisplayName: name, Active: true, Source: directory.SourceAdmin})
	w.must(err)
	made, err := w.sessions.Create(ctx, audit.SystemCause(), w.acme.ID, sessions.NewSession{User: user.ID, Connection: w.door, ConnectionVersion: 1, AuthAt: at, FactorAt: factor})
	w.must(err)
	return person{user: user, session: made.Session, token: made.Token}
}

func (w *world) revoke(p person) {
	w.t.Helper()
	w.confirmed(func() error {
		_, err := w.sessions.Revoke(context.Background(), audit.SystemCause(), w.acme.ID, sessions.Selector{Session: p.session.ID}, "test")
		return err
	})
}

// confirmed ends something. On a machine that stands still, the answer is that
// it has not been seen to end yet, and one is to ask again.
func (w *world) confirmed(end func() error) {
	w.t.Helper()
	err := end()
	for until := time.Now().Add(patience); err != nil && fault.As(err).Code == "revocation-unconfirmed" && time.Now().Before(until); {
		err = end()
	}
	w.must(err)
}

func (w *world) tlsConfig(protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: w.roots, ServerName: "acme.test", NextProtos: protocols, MinVersion: tls.VersionTLS12}
}

// client speaks HTTP/1.1 or HTTP/2 to the gate, under any host name.
func (w *world) client(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{
		Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.addr)
		},
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get asks for a path of acme's, as p if it is not nil.
func (w *world) get(c *http.Client, path string, p *person, header ...string) *http.Response {
	w.t.Helper()
	answer, err := c.Do(w.request(http.MethodGet, "https://acme.test"+path, nil, p, header...))
	w.must(err)
	return answer
}

func (w *world) request(method, url string, body io.Reader, p *person, header ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, body)
	w.must(err)
	if p != nil {
		r.AddCookie(&http.Cookie{Name: httpkit.SessionCookie, Value: p.token})
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func (w *world) body(answer *http.Response) string {
	w.t.Helper()
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	w.must(err)
	return string(raw)
}

// records are the tenant's events so far.
func (w *world) records(tenant identity.TenantID) []audit.Event {
	w.t.Helper()
	var all []audit.Event
	for e, err := range w.journal.Read(context.Background(), tenant, 0) {
		w.must(err)
		all = append(all, e)
	}
	return all
}

func (w *world) claims(token string) assertion.Claims {
	w.t.Helper()
	set, err := assertion.ParseKeySet(w.minter.JWKS())
	w.must(err)
	v, err := assertion.NewVerifier(assertion.Options{Keys: set})
	w.must(err)
	c, err := v.Verify(context.Background(), token, assertion.Expected{Issuer: "https://acme.test", Tenant: "acme"})
	w.must(err)
	return c
}

// seen is a request as it stood on the wire to the app.
type seen struct {
	line   string
	fields [][2]string // as sent, in order
	body   string
	err    error // of reading the body
}

func (s seen) values(name string) (all []string) {
	for _, f := range s.fields {
		if strings.EqualFold(f[0], name) {
			all = append(all, f[1])
		}
	}
	return all
}

// rawApp is an app that keeps what it is sent, byte by byte, and answers by
// handler, or with its own number.
type rawApp struct {
	addr    string
	handler atomic.Pointer[http.HandlerFunc]

	mu   sync.Mutex
	seen []seen
}

func newRawApp(t testing.TB) *rawApp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &rawApp{addr: l.Addr().String()}
	server := &http.Server{
		Handler: http.HandlerFunc(a.serve), ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, tapKey{}, c) },
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(tapListener{l}) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return a
}

type tapKey struct{}

// tapListener keeps a copy of what every connection receives.
type tapListener struct{ net.Listener }

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tap{Conn: c}, nil
}

type tap struct {
	net.Conn
	mu   sync.Mutex
	kept []byte
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) < 1<<20 {
		c.kept = append(c.kept, p[:n]...)
	}
	return n, err
}

// head takes the bytes of the request under way.
func (c *tap) head() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw := slices.Clone(c.kept)
	c.kept = nil
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	return head
}

func (a *rawApp) serve(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(tapKey{}).(*tap)
	if !ok {
		panic("the app's connection is not tapped")
	}
	var s seen
	scanner := bufio.NewScanner(bytes.NewReader(c.head()))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if s.line == "" {
			s.line = scanner.Text()
			continue
		}
		name, value, _ := strings.Cut(scanner.Text(), ":")
		s.fields = append(s.fields, [2]string{name, strings.TrimSpace(value)})
	}
	h := a.handler.Load()
	if h == nil {
		raw, err := io.ReadAll(r.Body)
		s.body, s.err = string(raw), err
		c.head() // what of the body was kept is none of the next request's
	}
	a.mu.Lock()
	a.seen = append(a.seen, s)
	a.mu.Unlock()
	if h != nil {
		(*h)(w, r)
		return
	}
	_, _ = io.WriteString(w, "app")
}

func (a *rawApp) handle(h http.HandlerFunc) { a.handler.Store(&h) }

// take gives what was seen since the last call.
func (a *rawApp) take() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.seen
	a.seen = nil
	return all
}
