package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authn/local"
	"gatehouse/authn/mfa"
	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/brake"
	"gatehouse/directory/feed"
	"gatehouse/directory/google"
	"gatehouse/directory/google/googletest"
	"gatehouse/identity"
	"gatehouse/internal/dnstest"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/machines"
	"gatehouse/scim"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// house is the API over real rooms, with the tenants acme and globex.
type house struct {
	t         *testing.T
	db        *store.DB
	api       *API
	server    *httptest.Server
	socket    *httptest.Server
	journal   *audit.Journal
	index     *audit.Index
	sessions  *sessions.Service
	people    *directory.Service
	brake     *brake.Service
	feed      *feed.Service
	authz     *authz.Engine
	tenants   *tenants.Service
	tokens    *token.Service
	service   *identity.Principal // who calls with the bearer token "service"; nil: nobody
	services  *machines.Service
	local     *local.Service
	ended     []string // services whose streams were ended
	acme      *tenants.Tenant
	globex    *tenants.Tenant
	platform  *tenants.Tenant
	health    health
	records   *dnstest.Server
	saml      samlKeys
	oidc      oidcKeys
	requests  scimRequests
	google    *google.Service
	workspace *googletest.Account // what directory/google reads
}

// health is what the wiring says of the gateway.
type health struct {
	alerts map[identity.TenantID][]Alert
	nodes  []Node
}

func (h *health) Alerts(tenant identity.TenantID) []Alert { return h.alerts[tenant] }
func (h *health) Nodes() []Node                           { return h.nodes }

// trials stands for the sign-in flow, which is on this floor as well.
type trials struct{}

func (trials) Test(_ context.Context, by audit.Actor, _ identity.TenantID, c tenants.Connection, people bool) (string, time.Time, error) {
	return fmt.Sprintf("/.gatehouse/login?connection=%s&test=by-%s&people=%t", c.Name, by.ID, people), time.Now().Add(time.Minute), nil
}

// sender stands for the room that sends, which is on this floor as well.
type sender struct{}

func (sender) Test(_ context.Context, _ identity.TenantID, name string) (feed.Attempt, error) {
	if name == "none" {
		return feed.Attempt{}, fault.New(fault.NotFound, "no-such-webhook", "There is no such webhook.")
	}
	return feed.Attempt{Status: http.StatusNoContent, Began: time.Now(), Took: 12 * time.Millisecond}, nil
}

// setupLinks stands for the room of links, which is on this floor as well.
type setupLinks struct{}

func (setupLinks) List(context.Context, identity.TenantID) ([]SetupLink, error) { return nil, nil }

func (setupLinks) Delete(context.Context, audit.Cause, identity.TenantID, string) error {
	return fault.New(fault.NotFound, "no-such-link", "There is no such link.")
}

func (setupLinks) Create(_ context.Context, cause audit.Cause, _ identity.TenantID, l SetupLink, life time.Duration) (SetupLink, string, error) {
	l.ID, l.CreatedBy, l.ExpiresAt = "made", cause.Actor.Name, time.Now().Add(life)
	return l, "/.gatehouse/setup?token=t0ken", nil
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	h := &house{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek"), true)
	must(err)
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	must(err)
	ring := keys.NewRing(kek, vault)
	must(ring.Create(ctx, identity.Platform))
	db, err := store.Open(ctx, "sqlite://"+filepath.Join(dir, "db"), store.Options{Keys: ring, Environment: "test"})
	must(err)
	t.Cleanup(func() { _ = db.Close() })
	h.db = db
	h.journal, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "journal"), Node: "n1", Keys: ring})
	must(err)
	t.Cleanup(func() { _ = h.journal.Close() })
	h.index = audit.NewIndex(h.journal, db)
	indexed := make(chan error, 1)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { indexed <- h.index.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-indexed; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("index: %v", err)
		}
	})

	h.records = dnstest.Start(t)
	h.tenants, err = tenants.New(ctx, tenants.Config{Store: db, Keys: ring, Journal: h.journal, Rooms: inhabited{h}, PlatformHost: "admin.localhost", Resolver: h.records.Resolver()})
	must(err)
	limits := func(identity.TenantID) sessions.Limits {
		return sessions.Limits{Idle: time.Hour, Absolute: 24 * time.Hour}
	}
	h.sessions = sessions.New(sessions.Config{Store: db, Keys: ring, Journal: h.journal, Limits: limits, Node: "n1"})
	t.Cleanup(func() { _ = h.sessions.Close() })
	h.brake = brake.New(brake.Config{Store: db, Journal: h.journal, Rules: h.brakeRules, Log: slog.New(slog.DiscardHandler)})
	h.feed = feed.New(feed.Config{Store: db, Keys: ring, Journal: h.journal, Log: slog.New(slog.DiscardHandler)})
	h.people = directory.New(directory.Config{Store: db, Journal: h.journal, Sessions: leavers{h}, Withdraw: authz.Withdraw, Brake: h.brake, Retain: h.retained, Feed: h.feed})
	h.feed.Join(h.people)
	account, leave := googletest.New()
	t.Cleanup(leave)
	h.workspace = account
	h.authz = authz.New(authz.Config{Store: db, Journal: h.journal, People: h.people})
	h.tokens = token.New(token.Config{Store: db, Journal: h.journal, Connections: h.tenants})
	h.services = machines.New(machines.Config{Store: db, Keys: ring, Journal: h.journal, Streams: closing{h}})

	h.acme, err = h.tenants.Create(ctx, audit.SystemCause(), tenants.Tenant{Name: "acme", DisplayName: "Acme", Hosts: []string{"acme.localhost"}, Status: tenants.Active})
	must(err)
	h.globex, err = h.tenants.Create(ctx, audit.SystemCause(), tenants.Tenant{Name: "globex", DisplayName: "Globex", Hosts: []string{"globex.localhost"}, Status: tenants.Active})
	must(err)
	h.platform, _ = h.tenants.ByID(identity.Platform)

	held := mfa.New(mfa.Config{Store: db, Keys: ring, Journal: h.journal})
	h.local = local.New(local.Config{Store: db, Keys: ring, Journal: h.journal, Refusals: audit.NewRefusals(h.journal), Tenants: h.tenants, Factors: held, Sessions: h.sessions, Policy: h.authz,
		Log: slog.New(slog.DiscardHandler), Cost: local.Cost{Memory: 64, Passes: 1, Threads: 1}})
	h.google = google.New(google.Config{Store: db, Keys: ring, Journal: h.journal, Client: http.DefaultClient, Log: slog.New(slog.DiscardHandler), API: account.URL, Token: account.TokenURL,
		Serves: func(identity.TenantID) bool { return true },
		SCIM:   scim.New(scim.Config{Directory: h.people, Tokens: h.tokens, Keys: ring, Permissions: h.authz, Journal: h.journal, Refusals: audit.NewRefusals(h.journal)})})
	h.api, err = New(Config{Callers: callers{h}, Policy: h.authz, Journal: h.journal, Refusals: audit.NewRefusals(h.journal), Log: h.index,
		Sessions: h.sessions, People: h.people, Brake: h.brake, SCIMRequests: &h.requests, Google: h.google, Feed: h.feed, Webhooks: h.feed, Sender: sender{}, Tenants: h.tenants, Connections: h.tenants, Trials: trials{}, SetupLinks: setupLinks{}, Tokens: tokens{h.tokens}, Services: h.services, Health: &h.health, SAML: &h.saml, OIDC: &h.oidc,
		Factors: factors{held}, LocalAccounts: localAccounts{h.local}, Port: 8443})
	must(err)
	h.server = httptest.NewServer(h.gate(h.api.Handler()))
	t.Cleanup(h.server.Close)
	h.socket = httptest.NewServer(h.api.SocketHandler())
	t.Cleanup(h.socket.Close)
	return h
}

// gate does the part of the gate that the API relies on: which tenant, and a
// stream of events running under its session.
func (h *house) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, ok := h.tenants.ByHost(r.Host)
		if !ok {
			http.Error(w, "unknown host", http.StatusMisdirectedRequest)
			return
		}
		ctx, cancel := context.WithCancel(httpkit.WithRequest(r.Context(), &httpkit.Request{ID: identity.NewRequestID(), Start: time.Now(),
			ClientIP: netip.MustParseAddr("203.0.113.7"), Tenant: t.ID, TenantName: t.Name, Origin: "https://" + r.Host}))
		defer cancel()
		w.Header().Set("X-Gatehouse-Request-Id", string(httpkit.RequestFrom(ctx).ID))
		if cookie, err := r.Cookie("session"); err == nil && strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			if live, err := h.sessions.Find(ctx, t.ID, cookie.Value); err == nil {
				leave, ok := live.Enter(canceller(cancel))
				if !ok {
					http.Error(w, "revoked", http.StatusUnauthorized)
					return
				}
				defer leave()
			}
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

type canceller context.CancelFunc

func (c canceller) Terminate(string) { c() }

// inhabited is what the house has of a tenant: sessions, in these tests.
type inhabited struct{ h *house }

func (i inhabited) EndTenant(ctx context.Context, cause audit.Cause, tenant identity.TenantID, reason string) error {
	_, err := i.h.sessions.Revoke(ctx, cause, tenant, sessions.Selector{All: true}, reason)
	return err
}

func (i inhabited) Restrict(ctx context.Context, cause audit.Cause, tenant identity.TenantID) error {
	return i.h.sessions.Trim(ctx, cause, tenant)
}

func (i inhabited) Reconnect(identity.TenantID) {}

func (i inhabited) Forget(tenant identity.TenantID) { i.h.sessions.Forget(tenant) }

// closing notes which services' streams are to end.
type closing struct{ h *house }

func (c closing) End(_ context.Context, _ identity.TenantID, service string) error {
	c.h.ended = append(c.h.ended, service)
	return nil
}

// callers answers as authn does, with a shorter cookie name.
type callers struct{ h *house }

func (c callers) Caller(r *http.Request) (*identity.Principal, error) {
	tenant := httpkit.RequestFrom(r.Context()).Tenant
	if secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if secret == "service" && c.h.service != nil {
			return c.h.service, nil
		}
		return c.h.tokens.Verify(r.Context(), tenant, secret)
	}
	cookie, err := r.Cookie("session")
	if err != nil {
		return nil, nil //nolint:nilerr // no cookie, nobody
	}
	live, err := c.h.sessions.Find(r.Context(), tenant, cookie.Value)
	if err != nil {
		return nil, err
	}
	return live.Principal(), nil
}

// tokens speaks the API's form over authn/token, as the wiring does.
type tokens struct{ service *token.Service }

func (t tokens) Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, want Token) (Token, string, error) {
	made, secret, err := t.service.Create(ctx, cause, tenant, token.Spec{Name: want.Name, Scope: token.Scope(want.Scope), Role: want.Role,
		Client: want.Kind == ClientToken, Connection: want.ConnectionID, Access: identity.Access(want.Access), Owner: want.Owner, Expires: *want.ExpiresAt})
	return tokenView(made), secret, err
}

func (t tokens) Rotate(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, overlap time.Duration, expires time.Time) (Token, string, error) {
	made, secret, err := t.service.Rotate(ctx, cause, tenant, id, cmp.Or(overlap, token.Overlap), expires)
	return tokenView(made), secret, err
}

func (t tokens) TakeOver(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, by identity.UserID) (Token, error) {
	taken, err := t.service.TakeOver(ctx, cause, tenant, id, by)
	return tokenView(taken), err
}

func (t tokens) EndConnection(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) error {
	return t.service.EndConnection(ctx, tenant, id)
}

func (t tokens) DropConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.ConnectionID) error {
	return t.service.DropConnection(ctx, cause, tenant, id)
}

// leavers ends what somebody has who leaves, as the wiring does.
type leavers struct{ h *house }

func (l leavers) EndUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, reason string) (int, error) {
	n, err := l.h.sessions.EndUser(ctx, cause, tenant, user, reason)
	return n, errors.Join(err, l.h.tokens.EndUser(ctx, cause, tenant, user))
}

func (t tokens) List(ctx context.Context, tenant identity.TenantID) ([]Token, error) {
	all, err := t.service.List(ctx, tenant)
	views := make([]Token, len(all))
	for i, one := range all {
		views[i] = tokenView(one)
	}
	return views, err
}

func (t tokens) Find(ctx context.Context, tenant identity.TenantID, id identity.TokenID) (Token, error) {
	found, err := t.service.Find(ctx, tenant, id)
	return tokenView(found), err
}

func (t tokens) Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID) error {
	return t.service.Revoke(ctx, cause, tenant, id)
}

func tokenView(t token.Token) Token {
	v := Token{ID: t.ID, Kind: PlainToken, Name: t.Name, Scope: string(t.Scope), Role: t.Role, ClientID: t.ClientID, ConnectionID: t.Connection, Access: t.Access, Owner: t.Owner,
		CreatedAt: t.CreatedAt, ExpiresAt: timestamp(t.ExpiresAt), RevokedAt: timestamp(t.RevokedAt), Successor: t.Successor}
	if t.ClientID != "" {
		v.Kind = ClientToken
	}
	return v
}

// visitor is one browser or program at one tenant's host.
type visitor struct {
	h      *house
	host   string
	prefix string
	server *httptest.Server
	header http.Header
	user   directory.User
	signed sessions.Created
}

// signIn makes a person with an account-wide role ("" for none) and signs in.
func (h *house) signIn(tenant *tenants.Tenant, name, role string) *visitor {
	h.t.Helper()
	ctx := h.t.Context()
	u, err := h.people.CreateUser(ctx, audit.SystemCause(), tenant.ID, directory.User{UserName: name + "@" + tenant.Name + ".example",
		Email: name + "@" + tenant.Name + ".example", DisplayName: name, Active: true, Source: directory.SourceAdmin})
	if err != nil {
		h.t.Fatal(err)
	}
	if role != "" {
		if _, err := h.authz.Assign(ctx, audit.SystemCause(), tenant.ID, authz.Assignment{Role: role, User: u.ID}); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.again(tenant, u)
}

// again signs a person in once more, in a browser of its own.
func (h *house) again(tenant *tenants.Tenant, u directory.User) *visitor {
	h.t.Helper()
	door := h.door(tenant)
	made, err := h.sessions.Create(h.t.Context(), audit.SystemCause(), tenant.ID, sessions.NewSession{User: u.ID, Connection: door.ID, ConnectionVersion: door.Version,
		IP: netip.MustParseAddr("203.0.113.7"), UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"})
	if err != nil {
		h.t.Fatal(err)
	}
	return &visitor{h: h, server: h.server, host: tenant.Hosts[0], user: u, signed: made,
		header: http.Header{"Cookie": {"session=" + made.Token}, "Sec-Fetch-Site": {"same-origin"}}}
}

// door is the connection by which a tenant's people sign in here.
func (h *house) door(tenant *tenants.Tenant) tenants.Connection {
	h.t.Helper()
	found, err := h.tenants.Connection(h.t.Context(), tenant.ID, "door")
	if fault.Is(err, fault.NotFound) {
		found, err = h.tenants.PutConnection(h.t.Context(), audit.SystemCause(), tenant.ID, tenants.Connection{Name: "door", Type: tenants.OIDC, Enabled: true,
			OIDC: &tenants.OIDCSpec{Issuer: "https://door.example", ClientID: "gatehouse"}})
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

// bearer is a program with a token of the role.
func (h *house) bearer(tenant *tenants.Tenant, role string) *visitor {
	h.t.Helper()
	_, secret, err := h.tokens.Create(h.t.Context(), audit.SystemCause(), tenant.ID,
		token.Spec{Name: "test", Scope: token.ScopeAPI, Role: role, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		h.t.Fatal(err)
	}
	return &visitor{h: h, server: h.server, host: tenant.Hosts[0], header: http.Header{"Authorization": {"Bearer " + secret}}}
}

func (h *house) anonymous(tenant *tenants.Tenant) *visitor {
	return &visitor{h: h, server: h.server, host: tenant.Hosts[0], header: http.Header{}}
}

// operator is whoever reaches the admin socket.
func (h *house) operator(tenant string) *visitor {
	return &visitor{h: h, server: h.socket, host: "socket", prefix: "/t/" + tenant, header: http.Header{}}
}

type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do sends a request; body is JSON, nil or a string as it is. Headers come in
// pairs.
func (v *visitor) do(method, path string, body any, headers ...string) *reply {
	v.h.t.Helper()
	response, err := v.server.Client().Do(v.request(v.h.t.Context(), method, path, body, headers...))
	if err != nil {
		v.h.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		v.h.t.Fatal(err)
	}
	return &reply{t: v.h.t, status: response.StatusCode, header: response.Header, body: data}
}

func (v *visitor) request(ctx context.Context, method, path string, body any, headers ...string) *http.Request {
	v.h.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			v.h.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	if !strings.HasPrefix(path, Prefix) {
		path = Prefix + "/v1/" + path
	}
	r, err := http.NewRequestWithContext(ctx, method, v.server.URL+v.prefix+path, reader)
	if err != nil {
		v.h.t.Fatal(err)
	}
	r.Host = v.host
	r.Header = v.header.Clone()
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// want fails unless the answer has the status.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

func typeOf(code string) string { return "urn:gatehouse:problem:" + code }

// problem fails unless the answer is the problem with this status and code.
func (r *reply) problem(status int, code string) httpkit.Problem {
	r.t.Helper()
	r.want(status)
	var p httpkit.Problem
	if err := json.Unmarshal(r.body, &p); err != nil || p.Type != typeOf(code) || p.Status != status || p.Detail == "" || p.RequestID == "" ||
		r.header.Get("Content-Type") != "application/problem+json" {
		r.t.Fatalf("want problem %s, got %s as %q", code, r.body, r.header.Get("Content-Type"))
	}
	return p
}

// into decodes the answer, refusing what T does not know.
func into[T any](r *reply) T {
	r.t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		r.t.Fatalf("decode %s: %v", r.body, err)
	}
	return v
}

// recorded gives the events of a type in a tenant's journal.
func (h *house) recorded(tenant *tenants.Tenant, types ...audit.Type) []audit.Event {
	h.t.Helper()
	var found []audit.Event
	for e, err := range h.journal.Read(h.t.Context(), tenant.ID, 0) {
		if err != nil {
			h.t.Fatal(err)
		}
		if matchesType(e.Type, types) {
			found = append(found, e)
		}
	}
	return found
}
