package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/authn/token"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const (
	departures = 500 // people who are taken out
	leaving    = 2   // calls at a time
	inOneBulk  = 4   // how many a Bulk takes out
	lateAsking = 4   // requests of each, once the answer is there
)

// The ways in which somebody is taken out, and whether that ends their session: who
// leaves a group only loses what its role allows.
var ways = []struct {
	name string
	ends bool
}{
	{"PATCH", true}, {"PUT", true}, {"DELETE", true}, {"Bulk", true},
	{"a group's PATCH", false}, {"a group's PUT", false}, {"a group's DELETE", false}, {"taking a group out of its group", false},
}

// leaver is somebody who is taken out while they use both nodes.
type leaver struct {
	user   identity.UserID
	name   string
	cookie string
	group  identity.GroupID // one of their own, which is in the group that has the role
	way    int
	late   atomic.Bool   // the answer has come
	out    chan struct{} // closed then
	served atomic.Int64
}

// exodus is a provider that takes people out, and what the app sees of them.
type exodus struct {
	*street
	acme  identity.TenantID
	app   *httptest.Server
	token string
	staff identity.GroupID // that has the role

	kept    atomic.Int64       // what stayed open to those who had lost one role alone
	clients [2][2]*http.Client // by node and protocol: HTTP/1.1, HTTP/2
}

// lateField marks requests that are sent after the answer: the app must never see one.
const lateField = "X-Sent-Late"

func (e *exodus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(lateField) != "" {
		e.Errorf("the app saw %s %s of %s, sent after the answer", r.Method, r.URL, r.Header.Get("X-Gatehouse-User"))
	}
	if r.Header.Get("Upgrade") == "" {
		_, _ = io.WriteString(w, "served")
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, text, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if bytes.HasPrefix(text, []byte("late")) {
			e.Errorf("the app was told %q by a WebSocket", text)
		}
		if c.Write(r.Context(), kind, text) != nil {
			return
		}
	}
}

// TestP9_FiveHundredLeaveWhileTheyUseEveryNode: once it is answered that somebody is
// deactivated, deleted or out of the group that lets them in, on whichever node, nothing
// that they send comes to the app by any, and what they had open is closed. They come
// back with nothing.
func TestP9_FiveHundredLeaveWhileTheyUseEveryNode(t *testing.T) {
	e := newExodus(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- a mix that can be had again, not a secret
	people := e.settle(chance)
	began := time.Now()
	var groups [][]*leaver // who are taken out by one call
	var bulk []*leaver
	for _, p := range people {
		if ways[p.way].name != "Bulk" {
			groups = append(groups, []*leaver{p})
			continue
		}
		if bulk = append(bulk, p); len(bulk) == inOneBulk {
			groups, bulk = append(groups, bulk), nil
		}
	}
	if len(bulk) > 0 {
		groups = append(groups, bulk)
	}
	work := make(chan []*leaver, len(groups))
	for _, g := range groups {
		work <- g
	}
	close(work)
	var all sync.WaitGroup
	for worker := range leaving {
		chance := rand.New(rand.NewPCG(seed, uint64(worker)+1)) // #nosec G404,G115 -- as above
		all.Go(func() {
			for g := range work {
				if t.Failed() {
					return
				}
				e.takeOut(g, chance)
			}
		})
	}
	all.Wait()
	served := int64(0)
	for _, p := range people {
		served += p.served.Load()
	}
	t.Logf("%d people left by %d calls in %v; %d requests were served before", len(people), len(groups), time.Since(began).Round(time.Millisecond), served)
	if served < 2*departures {
		t.Errorf("only %d requests were served: it proves little", served)
	}
	if e.kept.Load() == 0 {
		t.Error("who has lost one role has lost all that they had open")
	}
	if t.Failed() {
		return
	}
	e.comeBack(people)
}

func newExodus(t *testing.T) *exodus {
	e := &exodus{}
	e.app = httptest.NewServer(e)
	t.Cleanup(e.app.Close)
	e.street = newStreet(t, map[string]string{
		"app.upstreams": `["` + e.app.URL + `"]`,
		"app.routes":    "[ { path: /staff/**, permission: staff:read }, { path: /**, access: signed_in } ]"})
	ctx, services := t.Context(), e.a.Services()
	acme, err := services.Tenants.Create(ctx, cause, tenants.Tenant{Name: "acme", Hosts: []string{"acme.test"}, Status: tenants.Active,
		Settings: tenants.Settings{SCIM: tenants.SCIM{Brake: tenants.Brake{Off: true}}}})
	must(t, err)
	e.acme = acme.ID
	_, e.token, err = services.Tokens.Create(ctx, cause, acme.ID, token.Spec{Name: "okta", Scope: token.ScopeSCIM, Expires: time.Now().Add(time.Hour)})
	must(t, err)
	for i, h := range []*house{e.a, e.b} {
		for protocol := range 2 {
			transport := &http.Transport{MaxIdleConnsPerHost: 4 * leaving, ForceAttemptHTTP2: protocol == 1, TLSClientConfig: e.roots(h),
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "tcp", h.Addr())
				}}
			t.Cleanup(transport.CloseIdleConnections)
			e.clients[i][protocol] = &http.Client{Transport: transport, Timeout: patience,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		}
	}
	return e
}

func (e *exodus) roots(h *house) *tls.Config {
	pool := x509.NewCertPool()
	// Made with the first connection.
	_, _ = h.dial(nil)
	text, err := os.ReadFile(filepath.Join(h.dir, "ca", "ca.pem"))
	must(e.T, err)
	pool.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// settle makes the people, signed in at one node or the other, each with a group in the
// group that has the role.
func (e *exodus) settle(chance *rand.Rand) (people []*leaver) {
	ctx, services := e.Context(), e.a.Services()
	door, err := services.Tenants.PutConnection(ctx, cause, e.acme, tenants.Connection{Name: "door", Type: tenants.OIDC, Enabled: true,
		OIDC: &tenants.OIDCSpec{Issuer: "https://door.example", ClientID: "gatehouse"}})
	must(e.T, err)
	_, err = services.Authz.PutRole(ctx, cause, e.acme, authz.Role{Name: "staff", Permissions: []string{"staff:read"}}, 0)
	must(e.T, err)
	var users []directory.User
	for i := range departures {
		users = append(users, directory.User{UserName: fmt.Sprintf("p%d@acme.test", i), Email: fmt.Sprintf("p%d@acme.test", i), Active: true, Source: directory.SourceSCIM})
	}
	var inner []directory.Member
	for _, made := range services.Directory.CreateUsers(ctx, cause, e.acme, users, 0) {
		must(e.T, made.Err)
		p := &leaver{user: made.User.ID, name: made.User.UserName, way: chance.IntN(len(ways)), out: make(chan struct{})}
		g, err := services.Directory.CreateGroup(ctx, cause, e.acme, directory.Group{DisplayName: "of " + p.name, Source: directory.SourceSCIM, Members: []directory.Member{{User: p.user}}})
		must(e.T, err)
		p.group = g.ID
		inner = append(inner, directory.Member{Group: g.ID})
		h := []*house{e.a, e.b}[chance.IntN(2)]
		session, err := h.rooms.sessions.Create(ctx, cause, e.acme, sessions.NewSession{User: p.user, Connection: door.ID, ConnectionVersion: door.Version})
		must(e.T, err)
		p.cookie = httpkit.SessionCookie + "=" + session.Token
		people = append(people, p)
	}
	staff, err := services.Directory.CreateGroup(ctx, cause, e.acme, directory.Group{DisplayName: "staff", Source: directory.SourceSCIM, Members: inner})
	must(e.T, err)
	e.staff = staff.ID
	_, err = services.Authz.Assign(ctx, cause, e.acme, authz.Assignment{Role: "staff", Group: staff.ID})
	must(e.T, err)
	return people
}

// takeOut takes some people out by one call, while they use both nodes.
func (e *exodus) takeOut(group []*leaver, chance *rand.Rand) {
	t := e.T
	var using sync.WaitGroup
	var busy []<-chan struct{}
	sockets := map[*leaver]*websocket.Conn{}
	for _, p := range group {
		sockets[p] = e.open(p, chance.IntN(2), "/staff/ws")
		first := make(chan struct{})
		busy = append(busy, first)
		protocol := chance.IntN(2)
		using.Go(func() { e.hammer(p, protocol, first) })
		if t.Failed() {
			break
		}
	}
	for _, first := range busy {
		<-first
	}
	free := (*websocket.Conn)(nil)
	if !ways[group[0].way].ends {
		free = e.open(group[0], chance.IntN(2), "/ws")
	}
	if !t.Failed() {
		e.call(group, chance.IntN(2))
	}
	for _, p := range group {
		p.late.Store(true)
		close(p.out)
	}
	for p, c := range sockets {
		e.closed(p, c)
	}
	using.Wait()
	if free != nil && !t.Failed() { // they are signed in, and have lost that role alone
		if e.echo(free, "still there") == nil { // a node that is not certain at the moment closes it
			e.kept.Add(1)
		}
		if got := e.answered(0, group[0], false); got != http.StatusOK {
			t.Errorf("%s of %s: what everybody may do is answered %d", ways[group[0].way].name, group[0].name, got)
		}
	}
}

// call is what the provider says, until it is told that it is so: what cannot be
// confirmed in time is to be said again.
func (e *exodus) call(group []*leaver, node int) {
	p := group[0]
	user, own, staff := "/Users/"+string(p.user), "/Groups/"+string(p.group), "/Groups/"+string(e.staff)
	const off = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`
	method, path, body := http.MethodPatch, user, off
	switch ways[p.way].name {
	case "PUT":
		method, body = http.MethodPut, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+p.name+`","active":false}`
	case "DELETE":
		method, body = http.MethodDelete, ""
	case "Bulk":
		method, path, body = http.MethodPost, "/Bulk", bulkOf(group)
	case "a group's PATCH":
		path, body = own, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[value eq \"`+string(p.user)+`\"]"}]}`
	case "a group's PUT":
		method, path, body = http.MethodPut, own, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"of `+p.name+`","members":[]}`
	case "a group's DELETE":
		method, path, body = http.MethodDelete, own, ""
	case "taking a group out of its group":
		path, body = staff, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[value eq \"`+string(p.group)+`\"]"}]}`
	}
	for end := time.Now().Add(patience); ; {
		status, answer := e.provision(node, method, path, body)
		if status/100 == 2 && !bytes.Contains(answer, []byte(`"status":"5`)) || method == http.MethodDelete && status == http.StatusNotFound {
			return
		}
		if !unsure(status) && status/100 != 2 || time.Now().After(end) {
			e.Errorf("%s of %s: %d %s", ways[p.way].name, p.name, status, answer)
			return
		}
	}
}

// unsure tells the answer of a node that cannot be certain at the moment, or none: a
// machine that is slow enough lets leases run out. It is asked again.
func unsure(status int) bool { return status == http.StatusServiceUnavailable || status == 0 }

// answered is what somebody is answered by a node that is certain.
func (e *exodus) answered(node int, p *leaver, late bool) (status int) {
	for end := time.Now().Add(patience); unsure(status) && time.Now().Before(end); {
		status = e.ask(e.clients[node][0], p, "/", late)
	}
	return status
}

func bulkOf(group []*leaver) string {
	var all []map[string]any
	for i, p := range group {
		o := map[string]any{"method": "DELETE", "path": "/Users/" + string(p.user)}
		if i%2 == 0 {
			o = map[string]any{"method": "PATCH", "path": "/Users/" + string(p.user), "data": map[string]any{
				"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": []any{map[string]any{"op": "replace", "value": map[string]any{"active": "False"}}}}}
		}
		all = append(all, o)
	}
	text, _ := json.Marshal(map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": all})
	return string(text)
}

// told is what the provider is answered by a node that is certain.
func (e *exodus) told(node int, method, path, body string) (status int, text []byte) {
	for end := time.Now().Add(patience); unsure(status) && time.Now().Before(end); {
		status, text = e.provision(node, method, path, body)
	}
	return status, text
}

func (e *exodus) provision(node int, method, path, body string) (int, []byte) {
	r, err := http.NewRequestWithContext(e.Context(), method, "https://acme.test/scim/v2"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		e.Error(err)
		return 0, nil
	}
	r.Header.Set("Authorization", "Bearer "+e.token)
	r.Header.Set("Content-Type", "application/scim+json")
	answer, err := e.clients[node][0].Do(r)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(answer.Body) // what there is of it
	return answer.StatusCode, text
}

// ask gives the status of a request; 0 if it was cut.
func (e *exodus) ask(client *http.Client, p *leaver, path string, late bool) int {
	r, err := http.NewRequestWithContext(e.Context(), http.MethodGet, "https://acme.test"+path, nil)
	if err != nil {
		e.Error(err)
		return 0
	}
	r.Header.Set("Cookie", p.cookie)
	if late {
		r.Header.Set(lateField, "1")
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// hammer asks one node and the other without a pause, until it is refused, and some more
// once the answer has come. It says when both have served it.
func (e *exodus) hammer(p *leaver, protocol int, first chan<- struct{}) {
	tell := sync.OnceFunc(func() { close(first) })
	defer tell()
	for asked, after := 0, 0; after < lateAsking && !e.Failed(); asked++ {
		late := p.late.Load()
		if late {
			after++
		}
		switch status := e.ask(e.clients[asked%2][protocol], p, "/staff/x", late); {
		case late && status == http.StatusOK:
			e.Errorf("%s of %s: served after the answer", ways[p.way].name, p.name)
		case status == http.StatusOK:
			if p.served.Add(1) > 1 {
				tell()
			}
		case !late && !unsure(status): // it is in force: each refusal more would have a record
			<-p.out
		}
	}
}

// open opens a WebSocket that works.
func (e *exodus) open(p *leaver, node int, path string) *websocket.Conn {
	var c *websocket.Conn
	err := io.EOF
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
		c, _, err = websocket.Dial(e.Context(), "wss://acme.test"+path, &websocket.DialOptions{HTTPClient: e.clients[node][0], HTTPHeader: http.Header{"Cookie": {p.cookie}}})
		if err == nil {
			e.Cleanup(func() { _ = c.CloseNow() })
			err = e.echo(c, "hello")
		}
	}
	if err != nil {
		e.Errorf("%s: a WebSocket at %s: %v", p.name, path, err)
	}
	return c
}

func (e *exodus) echo(c *websocket.Conn, text string) error {
	if err := c.Write(e.Context(), websocket.MessageText, []byte(text)); err != nil {
		return err
	}
	_, got, err := c.Read(e.Context())
	if err == nil && string(got) != text {
		err = fmt.Errorf("%q came back", got)
	}
	return err
}

// closed says something on a WebSocket after the answer: the app must not hear it, and
// nothing comes but the end.
func (e *exodus) closed(p *leaver, c *websocket.Conn) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	_ = c.Write(ctx, websocket.MessageText, []byte("late "+p.name)) // it may be closed here by now
	if _, text, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		e.Errorf("%s of %s: a WebSocket is open after the answer: %q, %v", ways[p.way].name, p.name, text, err)
	}
}

// comeBack has those who were deactivated be active again, and those who were deleted
// be made anew: neither is signed in by that.
func (e *exodus) comeBack(people []*leaver) {
	const on = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":true}]}`
	for i, p := range people {
		if !ways[p.way].ends {
			continue
		}
		status, text := e.told(i%2, http.MethodPatch, "/Users/"+string(p.user), on)
		if status == http.StatusNotFound {
			status, text = e.told(i%2, http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+p.name+`","active":true}`)
		}
		if status/100 != 2 {
			e.Errorf("%s comes back: %d %s", p.name, status, text)
		}
		for node := range 2 {
			if got := e.answered(node, p, true); got != http.StatusUnauthorized {
				e.Errorf("%s of %s: answered %d when they are back", ways[p.way].name, p.name, got)
			}
		}
	}
}
