package proxy

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"gatehouse/audit"
	"gatehouse/authz"
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
		w.gate.Review(context.Background(), w.acme.ID)
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
