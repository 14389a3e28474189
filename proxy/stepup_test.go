package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

// recentFor sets how old an authentication may be.
func (w *world) recentFor(age time.Duration) {
	w.t.Helper()
	_, err := w.tenants.Update(w.t.Context(), audit.SystemCause(), w.acme.ID, 0, func(t *tenants.Tenant) error {
		t.Settings.Session.ReauthAge = tenants.Duration(age)
		return nil
	})
	w.must(err)
}

// Who has authenticated too long ago, or nobody knows when, is asked to again: a
// browser by being sent there, everybody else by the challenge of RFC 9470 §3.
// The app sees none of it, and the journal has it before the answer.
func TestARouteAsksForARecentAuthentication(t *testing.T) {
	w := newWorld(t, nil)
	fresh, old, unknown := w.signIn("fresh"), w.signInAt("old", time.Now().Add(-16*time.Minute)), w.signInAt("unknown", time.Time{})
	ahead := w.signInAt("ahead", time.Now().Add(24*time.Hour))
	c := w.client(false)
	if got := w.get(c, "/sensitive/x", &fresh); got.StatusCode != http.StatusOK {
		t.Fatalf("just signed in: %d", got.StatusCode)
	}
	w.app.take()
	if ahead.session.AuthAt.After(time.Now()) {
		t.Errorf("authenticated in the future: %v", ahead.session.AuthAt)
	}
	for name, p := range map[string]*person{"too old": &old, "not known": &unknown} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, accept := range []string{"text/html", "application/json"} {
				answer, err := c.Do(w.request(method, "https://acme.test/sensitive/x?y=z", http.NoBody, p, "Accept", accept, "Origin", "https://acme.test"))
				w.must(err)
				text := w.body(answer)
				if method == http.MethodGet && accept == "text/html" {
					if at := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || !strings.Contains(at, "login?fresh=yes&return_to=/sensitive/x") {
						t.Errorf("%s: a browser got %d and is sent to %q", name, answer.StatusCode, at)
					}
				} else {
					want := `Bearer realm="gatehouse", error="insufficient_user_authentication", error_description="More recent authentication is required", max_age="900"`
					if got := answer.Header.Get("WWW-Authenticate"); answer.StatusCode != http.StatusUnauthorized || got != want {
						t.Errorf("%s: %s for %s: %d, %q", name, method, accept, answer.StatusCode, got)
					}
					if accept == "application/json" && (answer.Header.Get("Content-Type") != "application/problem+json" ||
						!strings.Contains(text, "urn:gatehouse:problem:authentication-too-old") || !strings.Contains(text, `"event_id"`)) {
						t.Errorf("%s: %s", name, text)
					}
				}
				all := w.records(w.acme.ID)
				last := all[len(all)-1]
				if last.Outcome != audit.Refused || last.Reason != "authentication-too-old" || last.Actor.ID != string(p.user.ID) || string(last.RequestID) != answer.Header.Get("X-Gatehouse-Request-Id") {
					t.Errorf("%s: recorded as %+v", name, last)
				}
			}
		}
	}
	for _, want := range []struct {
		path, reason string
		header       []string
		p            *person
	}{
		{"/sensitive/x", "not-a-person", []string{"Authorization", "Bearer " + ownerToken}, nil},
		{"/sensitive/admin", "no-role", nil, &old}, // to sign in again would not help
		{"/sensitive/admin", "no-role", nil, &fresh},
	} {
		answer := w.get(c, want.path, want.p, want.header...)
		all := w.records(w.acme.ID)
		if last := all[len(all)-1]; answer.StatusCode != http.StatusForbidden || last.Reason != want.reason || answer.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d, recorded as %s", want.path, answer.StatusCode, last.Reason)
		}
	}
	if answer := w.get(c, "/sensitive/x", nil, "Accept", "text/html"); strings.Contains(answer.Header.Get("Location"), "fresh") {
		t.Errorf("nobody is sent to %s", answer.Header.Get("Location"))
	}
	if seen := w.app.take(); len(seen) > 0 {
		t.Errorf("the app saw %+v", seen)
	}
	w.recentFor(time.Hour)
	if got := w.get(c, "/sensitive/x", &old); got.StatusCode != http.StatusOK {
		t.Errorf("within the hour that is set: %d", got.StatusCode)
	}
	if got := w.get(c, "/sensitive/x", &unknown); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("not known within the hour: %d", got.StatusCode)
	}
	w.recentFor(time.Minute)
	if got := w.get(c, "/sensitive/x", &old); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("when it is set shorter again: %d", got.StatusCode)
	}
}

// What is open ends at the moment at which it would be refused, on such routes
// alone, and so it does when that is set shorter.
func TestP2_AStreamEndsWithTheRecencyOfItsAuthentication(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/ws") {
			echoSocket(rw, r)
			return
		}
		endless(rw, r)
	})
	w.recentFor(time.Minute)
	open := func(path string, p *person) (*websocket.Conn, error) {
		socket, _, err := websocket.Dial(t.Context(), "wss://acme.test"+path, &websocket.DialOptions{HTTPClient: w.client(false),
			HTTPHeader: http.Header{"Cookie": {httpkit.SessionCookie + "=" + p.token}}})
		if err == nil {
			t.Cleanup(func() { _ = socket.CloseNow() })
		}
		return socket, err
	}
	// As little time as this machine needs to open two streams within it.
	for left, round := time.Second, 0; ; left, round = 2*left, round+1 {
		if left > time.Minute {
			t.Fatal("nothing can be opened")
		}
		p := w.signInAt(fmt.Sprint("p", round), time.Now().Add(left-time.Minute))
		socket, err := open("/sensitive/ws", &p)
		if err != nil {
			continue
		}
		events := w.get(w.client(true), "/sensitive/flood", &p)
		if events.StatusCode != http.StatusOK {
			continue
		}
		plain, err := open("/ws", &p)
		w.must(err)
		if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("the WebSocket ended with %v", err)
		}
		if _, err := io.Copy(io.Discard, events.Body); err == nil {
			t.Error("the download ended as if it were complete")
		}
		if aged := time.Since(p.session.AuthAt); aged < time.Minute {
			t.Errorf("they ended after %v", aged)
		}
		w.must(plain.Write(t.Context(), websocket.MessageText, []byte("still there")))
		if _, got, err := plain.Read(t.Context()); err != nil || string(got) != "still there" {
			t.Errorf("on another route: %s, %v", got, err)
		}
		break
	}
	w.recentFor(time.Hour)
	p := w.signInAt("shorter", time.Now().Add(-30*time.Minute))
	socket, err := open("/sensitive/ws", &p)
	w.must(err)
	w.recentFor(20 * time.Minute)
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("when it is set shorter the WebSocket ended with %v", err)
	}
	if _, err := open("/sensitive/ws", &p); err == nil {
		t.Error("it came back")
	}
}

// Who has shown no second factor, or too long ago, is asked for it: a browser by
// being sent there, everybody else by the challenge of RFC 9470 §3. How recent the
// authentication at the identity provider is plays no part.
func TestARouteAsksForASecondFactor(t *testing.T) {
	w := newWorld(t, nil)
	now := time.Now()
	never, old, shown := w.signInBy("never", now, time.Time{}), w.signInBy("old", now, now.Add(-16*time.Minute)), w.signInBy("shown", time.Time{}, now.Add(-6*time.Minute))
	c := w.client(false)
	if got := w.get(c, "/vault/x", &shown); got.StatusCode != http.StatusOK {
		t.Fatalf("shown: %d", got.StatusCode)
	}
	w.app.take()
	for _, try := range []struct {
		name, path, age string
		p               *person
	}{
		{"never", "/vault/x", "900", &never}, {"too long ago", "/vault/x", "900", &old}, {"too long ago for the route", "/vault/inner/x", "300", &shown},
	} {
		page := w.get(c, try.path, try.p, "Accept", "text/html")
		if at := page.Header.Get("Location"); page.StatusCode != http.StatusSeeOther || at != "/.gatehouse/mfa?return_to="+try.path {
			t.Errorf("%s: a browser got %d and is sent to %q", try.name, page.StatusCode, at)
		}
		answer := w.get(c, try.path, try.p, "Accept", "application/json")
		want := `Bearer realm="gatehouse", error="insufficient_user_authentication", error_description="A more recent second factor is required", max_age="` + try.age + `"`
		if got := answer.Header.Get("WWW-Authenticate"); answer.StatusCode != http.StatusUnauthorized || got != want {
			t.Errorf("%s: %d, %q", try.name, answer.StatusCode, got)
		}
		all := w.records(w.acme.ID)
		last := all[len(all)-1]
		if last.Outcome != audit.Refused || last.Reason != "second-factor-needed" || last.Actor.ID != string(try.p.user.ID) || string(last.RequestID) != answer.Header.Get("X-Gatehouse-Request-Id") {
			t.Errorf("%s: recorded as %+v", try.name, last)
		}
	}
	if answer := w.get(c, "/vault/x", nil, "Authorization", "Bearer "+ownerToken); answer.StatusCode != http.StatusForbidden || answer.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("a token: %d", answer.StatusCode)
	}
	if seen := w.app.take(); len(seen) > 0 {
		t.Errorf("the app saw %+v", seen)
	}
	w.recentFor(time.Hour)
	if got := w.get(c, "/vault/x", &old); got.StatusCode != http.StatusOK {
		t.Errorf("within the hour that is set: %d", got.StatusCode)
	}
	if got := w.get(c, "/vault/inner/x", &old); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the route's own age: %d", got.StatusCode)
	}
}

// What is open on such a route ends when the factor has grown too old.
func TestP2_AStreamEndsWithTheRecencyOfItsSecondFactor(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) { echoSocket(rw, r) })
	for left, round := time.Second, 0; left < 5*time.Minute; left, round = 2*left, round+1 {
		p := w.signInBy(fmt.Sprint("p", round), time.Time{}, time.Now().Add(left-5*time.Minute))
		socket, _, err := websocket.Dial(t.Context(), "wss://acme.test/vault/inner/ws", &websocket.DialOptions{HTTPClient: w.client(false),
			HTTPHeader: http.Header{"Cookie": {httpkit.SessionCookie + "=" + p.token}}})
		if err != nil {
			continue // this machine needs longer
		}
		defer func() { _ = socket.CloseNow() }()
		if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
			t.Errorf("the WebSocket ended with %v", err)
		}
		if aged := time.Since(p.session.FactorAt); aged < 5*time.Minute {
			t.Errorf("it ended after %v", aged)
		}
		return
	}
	t.Fatal("nothing can be opened")
}
