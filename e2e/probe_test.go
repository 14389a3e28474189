package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/audit"
	"gatehouse/demo"
	"gatehouse/directory"
	"gatehouse/gateway"
	"gatehouse/identity"
	"gatehouse/internal/telemetry"
	"gatehouse/sessions"
)

// What clients and app write before and after the answer to a revocation: a
// "late" word that gets through, in either direction, breaks P2.
const (
	inTime = "live"
	late   = "late"
)

// probe is an app that streams in every way. It knows which sessions are over,
// and from then on answers "late"; it notes what "late" words reach it.
type probe struct {
	polls atomic.Int64
	// release ends long polls though their sessions are not over.
	release atomic.Bool
	over    sync.Map // session id -> true, once its revocation has been answered
	gone    sync.Map // session id -> true, once nothing of it may arrive, whenever it was sent
	mu      sync.Mutex
	leaked  []string
}

// startProbe runs the app in the test's process.
func startProbe(t *testing.T) (*probe, string) {
	t.Helper()
	app := &probe{}
	base, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	server := httptest.NewUnstartedServer(app)
	server.Config.BaseContext = func(net.Listener) context.Context { return base }
	server.Start()
	t.Cleanup(func() { cancel(); server.Close() })
	return app, server.URL
}

// hear notes what came of a session if it must not have come.
func (p *probe) hear(what, word string, r *http.Request) {
	if _, gone := p.gone.Load(r.Header.Get("X-Gatehouse-Session")); !gone && word != late {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaked = append(p.leaked, what+" of "+r.Header.Get("X-Gatehouse-Session"))
}

// leaks are what reached the app although it was sent after the answer.
func (p *probe) leaks() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.leaked)
}

func (p *probe) word(r *http.Request) string {
	if _, over := p.over.Load(r.Header.Get("X-Gatehouse-Session")); over {
		return late
	}
	return inTime
}

// ServeHTTP is the app.
func (p *probe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.hear("a request", r.Header.Get("X-Sent"), r)
	switch r.URL.Path {
	case "/who":
		_, _ = io.WriteString(w, r.Header.Get("X-Gatehouse-Session"))
	case "/ws":
		p.echo(w, r)
	case "/events":
		w.Header().Set("Content-Type", "text/event-stream")
		p.repeat(w, r, "data: %s\n\n", 200*time.Millisecond)
	case "/download":
		p.repeat(w, r, "%s ", time.Millisecond)
	case "/poll":
		p.wait(w, r)
	case "/upload":
		p.take(w, r)
	default:
		_, _ = io.WriteString(w, p.word(r))
	}
}

func (p *probe) repeat(w http.ResponseWriter, r *http.Request, format string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if _, err := fmt.Fprintf(w, format, p.word(r)); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// wait holds a long poll until the session is over.
func (p *probe) wait(w http.ResponseWriter, r *http.Request) {
	p.polls.Add(1)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.word(r) == inTime && !p.release.Load() {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, p.word(r))
}

func (p *probe) take(w http.ResponseWriter, r *http.Request) {
	words := bufio.NewScanner(r.Body)
	words.Split(bufio.ScanWords)
	_ = http.NewResponseController(w).EnableFullDuplex()
	for words.Scan() {
		p.hear("a piece of an upload", words.Text(), r)
		_, _ = io.WriteString(w, "taken ")
		_ = http.NewResponseController(w).Flush()
	}
}

func (p *probe) echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		p.hear("a WebSocket message", string(message), r)
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

// probed is a gateway in this process with the probe behind it.
type probed struct {
	*demo.Demo
	app   *probe
	rooms gateway.Services
	h1    *http.Client
	h2    *http.Client
}

func startProbed(t *testing.T) *probed {
	t.Helper()
	return startProbedOn(t, t.TempDir())
}

// startProbedOn is startProbed on a data folder that may have been used before.
func startProbedOn(t *testing.T, data string) *probed {
	t.Helper()
	app, address := startProbe(t)
	d, err := demo.Start(t.Context(), demo.Options{Data: data, App: address, Log: telemetry.NewLogger(t.Output(), telemetry.Text, slog.LevelWarn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	b := &probed{Demo: d, app: app, rooms: d.Gateway().Services()}
	b.h1, b.h2 = plainClient(t, d.Info(), 1), plainClient(t, d.Info(), 2)
	return b
}

// plainClient is a client that keeps no cookies and speaks one version of HTTP.
func plainClient(t *testing.T, info demo.Info, version int) *http.Client {
	t.Helper()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the demo's client goes by %T", client.Transport)
	}
	if version == 1 {
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
		transport.ForceAttemptHTTP2 = false
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// seat is a session of a person.
type seat struct {
	*probed
	door

	tenant  string
	session identity.SessionID
	device  identity.DeviceID
	user    identity.UserID
}

// door is where a session is used.
type door struct {
	url    string // the tenant's
	cookie string
}

func (b *probed) tenantID(t *testing.T, name string) identity.TenantID {
	t.Helper()
	found, ok := b.rooms.Tenants.ByName(name)
	if !ok {
		t.Fatalf("there is no tenant %s", name)
	}
	return found.ID
}

// person makes somebody in the tenant.
func (b *probed) person(t *testing.T, tenant, name string) identity.UserID {
	t.Helper()
	email := name + "@" + tenant + ".example"
	made, err := b.rooms.Directory.CreateUser(t.Context(), audit.SystemCause(), b.tenantID(t, tenant),
		directory.User{UserName: email, Email: email, DisplayName: name, Active: true, Source: directory.SourceAdmin})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// sit makes a session without going by the identity provider.
func (b *probed) sit(t *testing.T, tenant string, user identity.UserID) *seat {
	t.Helper()
	id := b.tenantID(t, tenant)
	connection, err := b.rooms.Tenants.Connections(t.Context(), id)
	if err != nil || len(connection) == 0 {
		t.Fatalf("%v, %v", connection, err)
	}
	made, err := b.rooms.Sessions.Create(t.Context(), audit.SystemCause(), id, sessions.NewSession{User: user,
		Connection: connection[0].ID, ConnectionVersion: connection[0].Version, UserAgent: "Mozilla/5.0"})
	if err != nil {
		t.Fatal(err)
	}
	return &seat{probed: b, door: door{b.Info().Tenants[tenant].URL, made.Token}, tenant: tenant, session: made.Session.ID, device: made.Device.ID, user: user}
}

func (d door) request(ctx context.Context, method, path string, body io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, d.url+strings.TrimPrefix(path, "/"), body)
	if err != nil {
		panic(err) // the address is ours
	}
	req.Header.Set("Cookie", sessionIn+"="+d.cookie)
	return req
}

// connection is something long that a session has open.
type connection struct {
	kind   string
	pieces chan string   // the newest word that arrived
	ended  chan struct{} // closed when the client has seen the end
	err    error         // how it ended; read after ended
	late   atomic.Bool   // a late word arrived
	say    func(word string) error
}

func newConnection(kind string) *connection {
	return &connection{kind: kind, pieces: make(chan string, 1), ended: make(chan struct{})}
}

func (c *connection) got(word string) {
	if word == late {
		c.late.Store(true)
	}
	select {
	case c.pieces <- word:
	default:
	}
}

// alive waits for another word to arrive.
func (c *connection) alive(t *testing.T) {
	t.Helper()
	select {
	case <-c.pieces: // an old one, maybe
	default:
	}
	if c.say != nil {
		if err := c.say(inTime); err != nil {
			t.Errorf("%s: %v", c.kind, err)
			return
		}
	}
	select {
	case <-c.pieces:
	case <-c.ended:
		t.Errorf("%s ended: %v", c.kind, c.err)
	case <-time.After(patience):
		t.Errorf("%s is silent", c.kind)
	}
}

// over waits for the end, which must not be that of a whole answer and must not
// have let a late word through.
func (c *connection) over(t *testing.T) {
	t.Helper()
	if c.say != nil {
		_ = c.say(late) // must get nowhere
	}
	select {
	case <-c.ended:
	case <-time.After(patience):
		t.Errorf("%s is still open", c.kind)
		return
	}
	if c.late.Load() {
		t.Errorf("%s brought something that the app sent after the answer", c.kind)
	}
	if c.err == nil {
		t.Errorf("%s looks complete to its client", c.kind)
	}
}

// closed waits for the end, which must be one that the gate made.
func (c *connection) closed(t *testing.T) {
	t.Helper()
	c.over(t)
	if c.kind == "websocket" && websocket.CloseStatus(c.err) != websocket.StatusPolicyViolation {
		t.Errorf("the WebSocket ended with %v, want close code 1008", c.err)
	}
}

// sure sends a request, again while the answer is that the node is not sure who
// is signed in (P7): on a machine that stands still it may be.
func sure(t *testing.T, send func() (*http.Response, error)) *http.Response {
	t.Helper()
	for until := time.Now().Add(patience); ; breathe(t.Context()) {
		resp, err := send()
		if resp != nil && resp.StatusCode == http.StatusServiceUnavailable && time.Now().Before(until) {
			_ = resp.Body.Close()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
}

// webSocket opens a WebSocket and hears it answer.
func (s *seat) webSocket(t *testing.T) *connection {
	t.Helper()
	return s.door.webSocket(t, s.h1)
}

func (d door) webSocket(t *testing.T, client *http.Client) *connection {
	t.Helper()
	ctx := t.Context()
	var socket *websocket.Conn
	sure(t, func() (resp *http.Response, err error) {
		socket, resp, err = websocket.Dial(ctx, d.url+"ws",
			&websocket.DialOptions{HTTPClient: client, HTTPHeader: http.Header{"Cookie": {sessionIn + "=" + d.cookie}}})
		return resp, err
	})
	c := newConnection("websocket")
	c.say = func(word string) error { return socket.Write(ctx, websocket.MessageText, []byte(word)) }
	go func() {
		defer close(c.ended)
		for {
			_, word, err := socket.Read(ctx)
			if err != nil {
				c.err = err
				return
			}
			c.got(string(word))
		}
	}()
	t.Cleanup(func() { _ = socket.CloseNow(); <-c.ended })
	c.alive(t)
	return c
}

// stream opens a long answer and hears it begin.
func (d door) stream(t *testing.T, client *http.Client, kind, path string) *connection {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	resp := sure(t, func() (*http.Response, error) { return client.Do(d.request(ctx, http.MethodGet, path, nil)) })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", kind, resp.Status)
	}
	c := newConnection(kind)
	go c.read(resp)
	t.Cleanup(func() { cancel(); <-c.ended })
	c.alive(t)
	return c
}

func (c *connection) read(resp *http.Response) {
	defer close(c.ended)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK { // net/http may send again what was cut before its answer (RFC 9110 §9.2.2)
		c.err = errors.New("got " + resp.Status)
		return
	}
	words := bufio.NewScanner(resp.Body)
	words.Split(bufio.ScanWords)
	for words.Scan() {
		c.got(words.Text())
	}
	c.err = words.Err()
}

// upload opens a body without an end, of which the app takes piece after piece.
func (d door) upload(t *testing.T, client *http.Client, kind string) *connection {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	body, feed := io.Pipe()
	c := newConnection(kind)
	c.say = func(word string) error {
		_, err := io.WriteString(feed, word+"\n")
		return err
	}
	go func() {
		resp, err := client.Do(d.request(ctx, http.MethodPost, "/upload", body))
		if err != nil {
			c.err = err
			close(c.ended)
		} else {
			c.read(resp)
		}
		_ = body.CloseWithError(io.ErrClosedPipe) // nobody reads it any more
	}()
	t.Cleanup(func() { _ = feed.Close(); cancel(); <-c.ended })
	c.alive(t)
	return c
}

// poll opens a request that the app does not answer. It is under way once the
// session counts it.
func (s *seat) poll(t *testing.T, client *http.Client, kind string) *connection {
	t.Helper()
	before := s.open(t)
	return s.door.poll(t, client, kind, func() bool { return s.open(t) != before })
}

func (d door) poll(t *testing.T, client *http.Client, kind string, begun func() bool) *connection {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := newConnection(kind)
	go func() {
		resp, err := client.Do(d.request(ctx, http.MethodGet, "/poll", nil))
		if err != nil {
			c.err = err
			close(c.ended)
			return
		}
		c.read(resp)
	}()
	t.Cleanup(func() { cancel(); <-c.ended })
	for deadline := time.Now().Add(patience); !begun(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not begin", kind)
		}
		select {
		case <-c.ended:
			t.Fatalf("%s ended: %v", kind, c.err)
		case <-time.After(time.Millisecond):
		}
	}
	return c
}

func (s *seat) open(t *testing.T) int {
	t.Helper()
	return s.rooms.Sessions.Open(s.tenantID(t, s.tenant))[s.session]
}

// everything opens one connection of each kind.
func (s *seat) everything(t *testing.T) []*connection {
	t.Helper()
	return []*connection{
		s.webSocket(t),
		s.stream(t, s.h1, "events", "/events"), s.stream(t, s.h2, "events h2", "/events"),
		s.stream(t, s.h1, "download", "/download"), s.stream(t, s.h2, "download h2", "/download"),
		s.poll(t, s.h1, "poll"), s.poll(t, s.h2, "poll h2"),
		s.upload(t, s.h1, "upload"), s.upload(t, s.h2, "upload h2"),
	}
}

// over tells the app that the answer is there, and checks that nothing of the
// session lives: neither what it had open nor a new request.
func (s *seat) over(t *testing.T, had []*connection) {
	t.Helper()
	s.app.over.Store(string(s.session), true)
	for _, client := range []*http.Client{s.h1, s.h2} {
		req := s.request(t.Context(), http.MethodGet, "/", nil)
		req.Header.Set("X-Sent", late)
		resp, err := client.Do(req)
		if err != nil {
			continue // the tenant is deleted: there is no certificate for its host
		}
		_ = resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden: // signed out; the tenant is suspended
		case http.StatusMisdirectedRequest: // the tenant is deleted
		default:
			t.Errorf("a request after the answer got %s", resp.Status)
		}
	}
	for _, c := range had {
		c.closed(t)
	}
}
