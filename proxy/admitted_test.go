package proxy

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// restrictOwners lets owners in from elsewhere alone, and gives the role to p.
func (w *world) restrictOwners() (makeOwner func(p person)) {
	w.t.Helper()
	_, err := w.tenants.Update(context.Background(), audit.SystemCause(), w.acme.ID, 0, func(t *tenants.Tenant) error {
		t.Settings.Session.RoleNetworks = map[string][]netip.Prefix{authz.Owner: {netip.MustParsePrefix("198.51.100.0/24")}}
		return nil
	})
	w.must(err)
	return func(p person) {
		w.t.Helper()
		_, err := w.decider.Assign(context.Background(), audit.SystemCause(), w.acme.ID, authz.Assignment{Role: authz.Owner, User: p.user.ID})
		w.must(err)
		w.must(w.gate.Review(context.Background(), w.acme.ID, nil))
	}
}

// Whoever is given a role loses what they have open where that role may not come
// from, and nobody else does.
func TestP2_ARoleClosesWhatItsNetworksDoNotAllow(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echoSocket(rw, r)
			return
		}
		endless(rw, r)
	})
	mia, joe := w.signIn("mia"), w.signIn("joe")
	makeOwner := w.restrictOwners()
	events, ours := w.get(w.client(false), "/events", &mia), w.get(w.client(true), "/.gatehouse/stream", &mia, "Accept", "text/event-stream")
	socket, other := w.dialSocket(&mia), w.dialSocket(&joe)
	makeOwner(mia)
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v", err)
	}
	for what, stream := range map[string]*http.Response{"the app's": events, "our own": ours} {
		if _, err := io.Copy(io.Discard, stream.Body); err == nil {
			t.Errorf("%s event stream ended as if it were complete", what)
		}
	}
	w.must(other.Write(t.Context(), websocket.MessageText, []byte("still there")))
	if _, got, err := other.Read(t.Context()); err != nil || string(got) != "still there" {
		t.Errorf("another person's: %s, %v", got, err)
	}
}

// Who asks has been found out to be let in when they are given the role: they are
// asked once more before the app is.
func TestP2_ARoleMeetsWhatIsBeingDecided(t *testing.T) {
	found, given := make(chan struct{}), make(chan struct{})
	var w *world
	w = newWorld(t, func(c *Config) {
		var asked atomic.Int64
		c.Caller = func(r *http.Request) (*identity.Principal, *sessions.Live, error) {
			p, live, err := w.caller(r)
			if err == nil && p != nil {
				err = w.admits(r.Context(), p, httpkit.RequestFrom(r.Context()).ClientIP)
			}
			if r.Header.Get("Hold") != "" && asked.Add(1) == 1 {
				found <- struct{}{}
				<-given
			}
			return p, live, err
		}
	})
	mia := w.signIn("mia")
	makeOwner := w.restrictOwners()
	answered := make(chan int, 1)
	go func() {
		answer, err := w.client(true).Do(w.request(http.MethodGet, "https://acme.test/", http.NoBody, &mia, "Hold", "1"))
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		_ = answer.Body.Close()
		answered <- answer.StatusCode
	}()
	<-found
	makeOwner(mia)
	given <- struct{}{}
	if got := <-answered; got != http.StatusForbidden || len(w.app.take()) > 0 {
		t.Errorf("answered %d", got)
	}
}

// billing lets the members of a group at /admin.
func (w *world) billing(members ...person) directory.Group {
	w.t.Helper()
	ctx := context.Background()
	_, err := w.decider.PutRole(ctx, audit.SystemCause(), w.acme.ID, authz.Role{Name: "cashier", Permissions: []string{"billing:*"}}, 0)
	w.must(err)
	g := directory.Group{DisplayName: "cashiers"}
	for _, p := range members {
		g.Members = append(g.Members, directory.Member{User: p.user.ID})
	}
	g, err = w.people.CreateGroup(ctx, audit.SystemCause(), w.acme.ID, g)
	w.must(err)
	_, err = w.decider.Assign(ctx, audit.SystemCause(), w.acme.ID, authz.Assignment{Role: "cashier", Group: g.ID})
	w.must(err)
	return g
}

// Whoever loses the role that let them in loses what they have open by it, before the
// review is over, and keeps the rest; nobody else loses anything.
func TestP9_WhatARoleHasOpenEndsWithIt(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ws") {
			echoSocket(rw, r)
			return
		}
		endless(rw, r)
	})
	mia, joe := w.signIn("mia"), w.signIn("joe")
	group := w.billing(mia, joe)
	events := w.get(w.client(false), "/admin/events", &mia)
	socket, theirs, other := w.dialSocketAt("/admin/ws", &mia), w.dialSocketAt("/ws", &mia), w.dialSocketAt("/admin/ws", &joe)
	concerns := func(p *identity.Principal) bool { return p.User == mia.user.ID }
	w.must(w.gate.Review(t.Context(), w.acme.ID, concerns))
	for _, c := range []*websocket.Conn{socket, theirs, other} {
		w.echoes(c)
	}
	w.must(w.people.RemoveMembers(t.Context(), audit.SystemCause(), w.acme.ID, group.ID, []identity.UserID{mia.user.ID}))
	w.must(w.gate.Review(t.Context(), w.acme.ID, concerns))
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("the WebSocket ended with %v", err)
	}
	if _, err := io.Copy(io.Discard, events.Body); err == nil {
		t.Error("the event stream ended as if it were complete")
	}
	for _, c := range []*websocket.Conn{theirs, other} {
		w.echoes(c)
	}
	// Everybody is looked at where nobody is named: the role is for something else now.
	_, err := w.decider.PutRole(t.Context(), audit.SystemCause(), w.acme.ID, authz.Role{Name: "cashier", Permissions: []string{"reports:read"}}, 0)
	w.must(err)
	w.must(w.gate.Review(t.Context(), w.acme.ID, nil))
	if _, _, err := other.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("the other WebSocket ended with %v", err)
	}
	w.echoes(theirs)
}

// A request that was decided, and has not come to the app yet, is refused.
func TestP9_ARoleThatGoesMeetsWhatIsUnderWay(t *testing.T) {
	decided, gone := make(chan struct{}, 2), make(chan struct{})
	w := newWorld(t, func(c *Config) {
		c.Decider = slowDecider{c.Decider, decided, gone}
	})
	mia := w.signIn("mia")
	group := w.billing(mia)
	answered := make(chan int, 1)
	go func() {
		answer, err := w.client(false).Do(w.request(http.MethodGet, "https://acme.test/admin/slow", nil, &mia))
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		_ = answer.Body.Close()
		answered <- answer.StatusCode
	}()
	<-decided
	w.must(w.people.RemoveMembers(t.Context(), audit.SystemCause(), w.acme.ID, group.ID, []identity.UserID{mia.user.ID}))
	w.must(w.gate.Review(t.Context(), w.acme.ID, nil))
	close(gone)
	if got := <-answered; got != http.StatusForbidden {
		t.Errorf("answered %d", got)
	}
	if saw := w.app.take(); len(saw) > 0 {
		t.Errorf("the app saw %+v", saw)
	}
}

// slowDecider has what is allowed wait between its decision and what comes of it.
type slowDecider struct {
	Decider
	decided chan struct{}
	gone    chan struct{}
}

func (d slowDecider) Decide(ctx context.Context, p *identity.Principal, q authz.Query) (authz.Permit, authz.Decision, error) {
	permit, decision, err := d.Decider.Decide(ctx, p, q)
	d.decided <- struct{}{}
	if decision.Allowed {
		<-d.gone
	}
	return permit, decision, err
}

func (w *world) echoes(c *websocket.Conn) {
	w.t.Helper()
	w.must(c.Write(context.Background(), websocket.MessageText, []byte("still there")))
	if _, got, err := c.Read(context.Background()); err != nil || string(got) != "still there" {
		w.t.Errorf("%s, %v", got, err)
	}
}
