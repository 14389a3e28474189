package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/sessions"
)

// endless answers with a stream that never ends by itself.
func endless(rw http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/events") {
		rw.Header().Set("Content-Type", "text/event-stream")
	}
	rc := http.NewResponseController(rw)
	piece := bytes.Repeat([]byte("x"), 64)
	if strings.HasPrefix(r.URL.Path, "/flood") {
		piece = bytes.Repeat([]byte("x"), 64<<10)
	}
	for {
		if _, err := rw.Write(piece); err != nil || rc.Flush() != nil {
			return
		}
		if strings.HasPrefix(r.URL.Path, "/flood") {
			continue
		}
		<-r.Context().Done()
		return
	}
}

func echoSocket(rw http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(1 << 20)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

func (w *world) dialSocket(p *person) *websocket.Conn {
	w.t.Helper()
	return w.dialSocketAt("/ws", p)
}

func (w *world) dialSocketAt(path string, p *person) *websocket.Conn {
	w.t.Helper()
	c, _, err := websocket.Dial(context.Background(), "wss://acme.test"+path, &websocket.DialOptions{HTTPClient: w.client(false),
		HTTPHeader: http.Header{"Cookie": {httpkit.SessionCookie + "=" + p.token}}})
	w.must(err)
	w.t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func TestWebSocketsPassBothWays(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(echoSocket)
	p := w.signIn("mia")
	c := w.dialSocket(&p)
	c.SetReadLimit(1 << 20)
	for _, message := range []string{"a", strings.Repeat("b", 70_000), ""} {
		w.must(c.Write(t.Context(), websocket.MessageText, []byte(message)))
		if _, got, err := c.Read(t.Context()); err != nil || string(got) != message {
			t.Fatalf("%d bytes came back: %v", len(got), err)
		}
	}
	w.must(c.Close(websocket.StatusNormalClosure, "bye"))
	if got := w.app.take(); len(got) != 1 || len(got[0].values("X-Gatehouse-User")) != 1 || len(got[0].values("Sec-WebSocket-Key")) != 1 {
		t.Errorf("the app saw %+v", got)
	}
}

// Every way of ending a session closes what is open in it, before the call
// returns, and nothing of anybody else's.
func TestP2_RevocationClosesWhatIsOpen(t *testing.T) {
	type end func(w *world, p person) error
	cause := audit.SystemCause()
	revoke := func(sel func(person) sessions.Selector) end {
		return func(w *world, p person) error {
			_, err := w.sessions.Revoke(context.Background(), cause, w.acme.ID, sel(p), "test")
			return err
		}
	}
	ends := map[string]end{
		"session": revoke(func(p person) sessions.Selector { return sessions.Selector{Session: p.session.ID} }),
		"device":  revoke(func(p person) sessions.Selector { return sessions.Selector{Device: p.session.Device} }),
		"user":    revoke(func(p person) sessions.Selector { return sessions.Selector{User: p.user.ID} }),
		"deactivation": func(w *world, p person) error {
			_, err := w.people.UpdateUser(context.Background(), cause, w.acme.ID, p.user.ID, 0, deactivate)
			return err
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/ws":
					echoSocket(rw, r)
				case r.Method == http.MethodPost:
					_, _ = io.Copy(io.Discard, r.Body)
				case r.URL.Path == "/poll":
					<-r.Context().Done()
				default:
					endless(rw, r)
				}
			})
			mia, noah := w.signIn("mia"), w.signIn("noah")
			gone := w.openEverything(mia)
			stays := w.openEverything(noah)
			w.confirmed(func() error { return end(w, mia) })
			if n := w.sessions.Open(w.acme.ID)[mia.session.ID]; n != 0 {
				t.Errorf("%d streams are left when the call returns", n)
			}
			awaitAll(t, gone)
			for what, ended := range stays {
				select {
				case <-ended:
					t.Errorf("%s of another session was closed", what)
				default:
				}
			}
			for _, http2 := range []bool{false, true} {
				if answer := w.get(w.client(http2), "/", &mia); answer.StatusCode != http.StatusUnauthorized {
					t.Errorf("afterwards: %d", answer.StatusCode)
				}
			}
			w.revoke(noah)
			awaitAll(t, stays)
		})
	}
}

func awaitAll(t *testing.T, streams map[string]chan struct{}) {
	t.Helper()
	for what, ended := range streams {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s goes on", what)
		}
	}
}

func deactivate(u *directory.User) error { u.Active = false; return nil }

// openEverything opens one of each kind of long request and returns channels
// that are closed when they end.
func (w *world) openEverything(p person) map[string]chan struct{} {
	w.t.Helper()
	all := map[string]chan struct{}{}
	watch := func(name string, until func()) {
		ended := make(chan struct{})
		all[name] = ended
		go func() { defer close(ended); until() }()
	}
	want := 0
	for _, http2 := range []bool{false, true} {
		c := w.client(http2)
		version := map[bool]string{false: "h1", true: "h2"}[http2]
		for _, path := range []string{"/events", "/download", "/flood", "/.gatehouse/stream", "/.gatehouse/export"} {
			answer := w.get(c, path, &p, "Accept", "text/event-stream")
			if answer.StatusCode != http.StatusOK {
				w.t.Fatalf("%s: %d", path, answer.StatusCode)
			}
			want++
			if path == "/flood" || path == "/.gatehouse/export" {
				// Nobody reads: the gate's writes block until it is cut.
				body := answer.Body
				w.t.Cleanup(func() { _ = body.Close() })
				continue
			}
			watch(version+path, func() {
				if _, err := io.Copy(io.Discard, answer.Body); err == nil {
					w.t.Errorf("%s ended as if it were complete", path)
				}
			})
		}
		if http2 {
			body, feed := io.Pipe()
			watch(version+" upload", func() {
				if answer, err := c.Do(w.request(http.MethodPost, "https://acme.test/upload", body, &p)); err == nil {
					w.t.Errorf("the upload was answered with %d", answer.StatusCode)
				}
			})
			_, err := feed.Write([]byte("begin"))
			w.must(err)
		} else { // net/http's client does not notice the end before it has more to send
			raw := w.rawTLS("http/1.1")
			_, err := fmt.Fprintf(raw, "POST /upload HTTP/1.1\r\nHost: acme.test\r\nCookie: %s=%s\r\nContent-Length: 100\r\n\r\nbegin", httpkit.SessionCookie, p.token)
			w.must(err)
			watch(version+" upload", func() {
				if got, _ := io.ReadAll(raw); len(got) > 0 {
					w.t.Errorf("the upload was answered with %q", got)
				}
			})
		}
		watch(version+" poll", func() {
			if answer, err := c.Do(w.request(http.MethodGet, "https://acme.test/poll", nil, &p)); err == nil {
				w.t.Errorf("the poll was answered with %d", answer.StatusCode)
			}
		})
		want += 2
	}
	socket := w.dialSocket(&p)
	want++
	watch("WebSocket", func() {
		_, _, err := socket.Read(context.Background())
		if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			w.t.Errorf("the WebSocket ended with %v", err)
		}
	})
	for deadline := time.Now().Add(patience); w.sessions.Open(w.acme.ID)[p.session.ID] < want; {
		if time.Now().After(deadline) {
			w.t.Fatalf("only %d of %d streams are open", w.sessions.Open(w.acme.ID)[p.session.ID], want)
		}
	}
	return all
}

func TestP2_AHammeringClientGetsNothingAfterTheReturn(t *testing.T) {
	w := newWorld(t, nil)
	const trials = 30
	for trial := range trials {
		p := w.signIn(fmt.Sprint("p", trial))
		c := w.client(trial%2 == 1)
		var returned atomic.Bool
		var hammer sync.WaitGroup
		begun := make(chan struct{}, 4)
		for range 4 {
			hammer.Go(func() {
				for first := true; ; first = false {
					after := returned.Load()
					answer, err := c.Do(w.request(http.MethodGet, "https://acme.test/", nil, &p))
					if first {
						begun <- struct{}{}
					}
					if err != nil {
						continue // cut by the revocation
					}
					_ = answer.Body.Close()
					if after && answer.StatusCode == http.StatusOK {
						t.Error("a request was served after the revocation had returned")
					}
					if after {
						return
					}
				}
			})
		}
		<-begun
		w.revoke(p)
		returned.Store(true)
		hammer.Wait()
	}
}

// doubt is a memory that counts when a request comes in, and not any more when
// it is to be sent on.
type doubt struct{ began atomic.Bool }

func (d *doubt) Current() error { return nil }
func (d *doubt) Holds() bool    { return !d.began.Load() }

// TestP2_NothingIsSentOnInDoubt: a node may stand still between letting a request
// in and sending it on.
func TestP2_NothingIsSentOnInDoubt(t *testing.T) {
	memory := &doubt{}
	w := newWorld(t, func(c *Config) { c.Memory = memory })
	if resp := w.get(w.client(true), "/public/ping", nil); resp.StatusCode != http.StatusOK || len(w.app.take()) != 1 {
		t.Fatal(resp.Status)
	}
	memory.began.Store(true)
	for _, http2 := range []bool{false, true} {
		if resp, err := w.client(http2).Do(w.request(http.MethodGet, "https://acme.test/public/ping", nil, nil)); err == nil {
			_ = resp.Body.Close()
			t.Errorf("it was answered with %s", resp.Status)
		}
	}
	if seen := w.app.take(); len(seen) > 0 {
		t.Errorf("the app saw %+v", seen)
	}
}

// unsure is a proof that never holds.
type unsure struct{}

func (unsure) Fresh() bool        { return false }
func (unsure) Now() time.Duration { return 0 }

// Who is signed in is not told otherwise because the node was in doubt for a
// moment, between finding the session and letting the request in.
func TestAMomentOfDoubtSignsNobodyOut(t *testing.T) {
	var doubts atomic.Int64 // how often a session is found that may not be served
	var w *world
	w = newWorld(t, func(c *Config) {
		c.Caller = func(r *http.Request) (*identity.Principal, *sessions.Live, error) {
			p, live, err := w.caller(r)
			if live != nil && doubts.Add(-1) >= 0 {
				live = sessions.NewLive(live.Session(), live.Hash()).Under(unsure{})
			}
			return p, live, err
		}
	})
	p := w.signIn("mia")
	for n, want := range []int{http.StatusOK, http.StatusOK, http.StatusServiceUnavailable} {
		doubts.Store(int64(n))
		if resp := w.get(w.client(true), "/", &p); resp.StatusCode != want {
			t.Errorf("found in doubt %d times: %s, want %d", n, resp.Status, want)
		}
	}
}

func TestEventsArriveAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	next := make(chan string)
	left := make(chan struct{})
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(rw)
		_ = rc.Flush()
		for {
			select {
			case event := <-next:
				_, _ = fmt.Fprintf(rw, "data: %s\n\n", event)
				_ = rc.Flush()
			case <-r.Context().Done():
				left <- struct{}{}
				return
			}
		}
	})
	p := w.signIn("mia")
	for _, http2 := range []bool{false, true} {
		answer := w.get(w.client(http2), "/events", &p)
		lines := bufio.NewReader(answer.Body)
		for _, event := range []string{"one", "two"} {
			next <- event // the app sends it only now, so it cannot have been held back
			if got, err := lines.ReadString('\n'); err != nil || got != "data: "+event+"\n" {
				t.Fatalf("%q %v", got, err)
			}
			_, _ = lines.ReadString('\n')
		}
		_ = answer.Body.Close()
		<-left
	}
}

// An app may be silent for longer than a client may take for a piece.
func TestSilentStreamsStayOpen(t *testing.T) {
	const piece = time.Second
	w := newWorld(t, func(c *Config) { c.Limits.WriteIdle = piece })
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(rw)
		_, _ = io.WriteString(rw, "data: x\n\n")
		_ = rc.Flush()
		<-time.After(2 * piece)
		_, _ = io.WriteString(rw, "data: x\n\n")
	})
	p := w.signIn("mia")
	var both sync.WaitGroup
	for _, http2 := range []bool{false, true} {
		both.Go(func() {
			answer := w.get(w.client(http2), "/events", &p)
			got, err := io.ReadAll(answer.Body)
			if string(got) != "data: x\n\ndata: x\n\n" || err != nil {
				t.Errorf("HTTP/2 %t: %q, %v", http2, got, err)
			}
		})
	}
	both.Wait()
}

// rawTLS is a connection whose bytes the test chooses.
func (w *world) rawTLS(protocols ...string) *tls.Conn {
	w.t.Helper()
	c, err := tls.Dial("tcp", w.addr, w.tlsConfig(protocols...))
	w.must(err)
	w.t.Cleanup(func() { _ = c.Close() })
	w.must(c.SetDeadline(time.Now().Add(patience)))
	return c
}

func TestDrainTellsStreamsToComeBackAndLetsRequestsFinish(t *testing.T) {
	w := newWorld(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ws":
			echoSocket(rw, r)
		case "/slow":
			close(entered)
			<-release
			_, _ = io.WriteString(rw, "finished")
		default:
			endless(rw, r)
		}
	})
	p := w.signIn("mia")
	socket := w.dialSocket(&p)
	events := w.get(w.client(false), "/events", &p)
	finished := make(chan string, 1)
	go func() { finished <- w.body(w.get(w.client(false), "/slow", &p)) }()
	<-entered
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v", err)
	}
	if _, err := io.Copy(io.Discard, events.Body); err == nil {
		t.Error("the event stream ended as if it were complete")
	}
	close(release)
	if got := <-finished; got != "finished" {
		t.Errorf("the request under way: %q", got)
	}
	<-stopped
}

// While the end is announced, whoever comes is served, and asked not to come again
// on the same connection; what is open stays so until the notice is over.
func TestANoticeLetsClientsGoElsewhere(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echoSocket(rw, r)
			return
		}
		_, _ = io.WriteString(rw, "served")
	})
	p := w.signIn("mia")
	socket := w.dialSocket(&p)
	kept := map[string]*http.Client{"HTTP/1.1": w.client(false), "HTTP/2": w.client(true)}
	connection := func(c *http.Client) (name string) {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { name = i.Conn.LocalAddr().String() }})
		answer, err := c.Do(w.request(http.MethodGet, "https://acme.test/", nil, &p).WithContext(ctx))
		w.must(err)
		if got := w.body(answer); answer.StatusCode != http.StatusOK || got != "served" {
			t.Errorf("%d %s", answer.StatusCode, got)
		}
		return name
	}
	was := map[string]string{}
	for protocol, c := range kept {
		if was[protocol] = connection(c); was[protocol] != connection(c) {
			t.Errorf("%s: a connection serves one request", protocol)
		}
	}
	next := w.terms()
	next.Notice = 24 * time.Hour
	w.server.Apply(next)
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	for protocol, c := range kept {
		for deadline := time.Now().Add(patience); connection(c) == was[protocol]; {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the connection stays", protocol)
			}
		}
		if first := connection(c); first == connection(c) {
			t.Errorf("%s: a connection that is new serves more than one request", protocol)
		}
	}
	w.must(socket.Write(t.Context(), websocket.MessageText, []byte("still there")))
	if _, got, err := socket.Read(t.Context()); err != nil || string(got) != "still there" {
		t.Errorf("%s, %v", got, err)
	}
	w.must(w.server.Close()) // the notice is over
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v", err)
	}
	<-stopped
}

// Whoever may not be allowed any more asks anew: what a tenant has open when its
// settings change ends, and only that.
func TestReconnectTellsATenantsStreamsToComeBack(t *testing.T) {
	w := newWorld(t, nil)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echoSocket(rw, r)
			return
		}
		endless(rw, r)
	})
	p := w.signIn("mia")
	socket, events := w.dialSocket(&p), w.get(w.client(false), "/events", &p)
	w.gate.Reconnect(w.globex.ID)
	w.must(socket.Write(t.Context(), websocket.MessageText, []byte("still there")))
	if _, got, err := socket.Read(t.Context()); err != nil || string(got) != "still there" {
		t.Errorf("%s, %v", got, err)
	}
	w.gate.Reconnect(w.acme.ID)
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v", err)
	}
	if _, err := io.Copy(io.Discard, events.Body); err == nil {
		t.Error("the event stream ended as if it were complete")
	}
	if again := w.get(w.client(false), "/events", &p); again.StatusCode != http.StatusOK {
		t.Errorf("coming back: %d", again.StatusCode)
	}
}

// Whatever was let in before ends, wherever it is by then: waiting for the answer,
// which may become a stream of events, or in the midst of its body or answer.
func TestReconnectEndsWhatIsUnderWay(t *testing.T) {
	w := newWorld(t, nil)
	entered, more := make(chan struct{}), make(chan struct{})
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(rw)
		switch r.URL.Path {
		case "/public/download":
			_, _ = io.WriteString(rw, "one ")
			_ = rc.Flush()
		case "/public/upload":
			_, _ = io.ReadFull(r.Body, make([]byte, 4))
		case "/public/events":
			rw.Header().Set("Content-Type", "text/event-stream")
		}
		entered <- struct{}{}
		select {
		case <-more:
			_, _ = io.Copy(rw, r.Body)
			_, _ = io.WriteString(rw, "two")
		case <-r.Context().Done():
		}
	})
	ask := func(http2 bool, host, path string) <-chan string {
		c, got := w.client(http2), make(chan string, 1)
		method, body := http.MethodGet, io.Reader(nil)
		if strings.HasSuffix(path, "upload") || strings.HasSuffix(path, "form") {
			rest, feed := io.Pipe()
			method, body = http.MethodPost, rest
			go func() {
				_, _ = io.WriteString(feed, "one ")
				<-more
				_ = feed.Close()
			}()
		}
		r := w.request(method, "https://"+host+path, body, nil)
		go func() {
			answer, err := c.Do(r)
			if err != nil {
				got <- "cut"
				return
			}
			defer func() { _ = answer.Body.Close() }()
			raw, err := io.ReadAll(answer.Body)
			if err != nil {
				got <- "cut"
				return
			}
			got <- string(raw)
		}()
		return got
	}
	want := map[string]string{"/public/events": "two", "/public/poll": "two", "/public/download": "one two", "/public/upload": "two"}
	ended, goesOn := map[string]<-chan string{}, map[string]<-chan string{}
	for _, http2 := range []bool{false, true} {
		for path := range want {
			ended[fmt.Sprint(path, " HTTP/2 ", http2)] = ask(http2, "acme.test", path)
			goesOn[path+fmt.Sprint(" HTTP/2 ", http2)] = ask(http2, "globex.test", path)
			<-entered
			<-entered
		}
	}
	ours := ask(true, "acme.test", "/.gatehouse/form") // it may be what changes the settings
	for deadline := time.Now().Add(patience); w.attending() < len(ended)+len(goesOn)+1 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	w.gate.Reconnect(w.acme.ID)
	for deadline := time.Now().Add(patience); w.underWay() > len(goesOn) && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if n := w.underWay(); n != len(goesOn) {
		t.Errorf("%d streams are under way, not the other tenant's %d", n, len(goesOn))
	}
	close(more)
	for what, got := range ended {
		if got := <-got; got != "cut" {
			t.Errorf("%s: %q", what, got)
		}
	}
	for what, got := range goesOn {
		path, _, _ := strings.Cut(what, " ")
		if got := <-got; got != want[path] {
			t.Errorf("another tenant's %s: %q", what, got)
		}
	}
	if got := <-ours; got != "own acme /.gatehouse/form" {
		t.Errorf("our own answer: %q", got)
	}
	w.stop() // all of them are done
	if n := w.underWay(); n != 0 {
		t.Errorf("%d streams are still registered", n)
	}
}

// underWay counts what Reconnect would look at.
func (w *world) underWay() (n int) {
	for i := range w.gate.admitted.shards {
		shard := &w.gate.admitted.shards[i]
		shard.mu.Lock()
		n += len(shard.streams)
		shard.mu.Unlock()
	}
	return n
}

// Who asks has been found out by the old settings when they change: the app is
// not asked any more, and our own stream does not begin.
func TestReconnectEndsWhatIsBeingDecided(t *testing.T) {
	found, changed := make(chan struct{}), make(chan struct{})
	var w *world
	w = newWorld(t, func(c *Config) {
		c.Caller = func(r *http.Request) (*identity.Principal, *sessions.Live, error) {
			p, live, err := w.caller(r)
			if r.Header.Get("Hold") != "" {
				found <- struct{}{}
				<-changed
			}
			return p, live, err
		}
	})
	p := w.signIn("mia")
	for _, http2 := range []bool{false, true} {
		for _, path := range []string{"/", "/.gatehouse/stream"} {
			r := w.request(http.MethodGet, "https://acme.test"+path, http.NoBody, &p, "Accept", "text/event-stream", "Hold", "1")
			answered := make(chan error, 1)
			go func() {
				answer, err := w.client(http2).Do(r)
				if err == nil {
					_ = answer.Body.Close()
				}
				answered <- err
			}()
			<-found
			w.gate.Reconnect(w.acme.ID)
			changed <- struct{}{}
			if err := <-answered; err == nil {
				t.Errorf("%s, HTTP/2 %t: it was answered", path, http2)
			}
		}
	}
	w.stop() // all of them are done
	if seen := w.app.take(); len(seen) > 0 {
		t.Errorf("the app saw %+v", seen)
	}
}

// memory is what one of several nodes remembers, while it is on.
type memory struct{ off atomic.Bool }

func (m *memory) Holds() bool { return !m.off.Load() }

func (m *memory) Current() error {
	if m.off.Load() {
		return fault.New(fault.Unavailable, "registry-unavailable", "Nobody can be asked.")
	}
	return nil
}

// A node that does not know any more whether what it remembers counts passes on
// no other piece of what it has let in, and lets nobody in.
func TestP2_NothingPassesOnWhatMayNotCount(t *testing.T) {
	var remembers memory
	w := newWorld(t, func(c *Config) { c.Memory = &remembers })
	more := make(chan string)
	defer close(more)
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(rw).Flush()
		for piece := range more {
			_, _ = io.WriteString(rw, piece)
			_ = http.NewResponseController(rw).Flush()
		}
	})
	events := w.get(w.client(false), "/public/events", nil)
	piece := make([]byte, 3)
	more <- "one"
	if _, err := io.ReadFull(events.Body, piece); err != nil || string(piece) != "one" {
		t.Fatalf("%s, %v", piece, err)
	}
	remembers.off.Store(true)
	more <- "two"
	if n, err := io.ReadFull(events.Body, piece); n > 0 || err == nil {
		t.Errorf("%q came through", piece[:n])
	}
	if got := w.get(w.client(false), "/public/x", nil); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("answered %d", got.StatusCode)
	}
}
