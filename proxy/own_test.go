package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gatehouse/audit"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

var bearer = []string{"Authorization", "Bearer " + ownerToken}

// An export that its client does not read stands still in the gate when its
// session ends: what comes after the revocation's return is what the client's
// own side of the connection had already.
func TestP2_AStalledExportGetsNothingAfterTheReturn(t *testing.T) {
	w := newWorld(t, nil)
	p := w.signIn("mia")
	c := w.rawTLS("http/1.1")
	socket, ok := c.NetConn().(*net.TCPConn)
	if !ok {
		t.Fatal("not TCP")
	}
	w.must(socket.SetReadBuffer(4 << 10))
	_, err := fmt.Fprintf(c, "GET /.gatehouse/export HTTP/1.1\r\nHost: acme.test\r\nCookie: %s=%s\r\n\r\n", httpkit.SessionCookie, p.token)
	w.must(err)
	head := make([]byte, 1)
	_, err = io.ReadFull(c, head)
	w.must(err)
	w.revoke(p)
	if n := w.sessions.Open(w.acme.ID)[p.session.ID]; n != 0 {
		t.Errorf("%d requests are left when the call returns", n)
	}
	if n, err := io.Copy(io.Discard, c); err == nil || n > 8<<20 {
		t.Errorf("%d more bytes, and then %v", n, err)
	}
}

// Whoever ends what they came by gets the answer: it would be another if the
// request had waited for itself. The same request does not get in again.
func TestP2_SigningOneselfOutIsAnswered(t *testing.T) {
	w := newWorld(t, nil)
	for _, http2 := range []bool{false, true} {
		p := w.signIn(fmt.Sprint("mia", http2))
		open := w.get(w.client(http2), "/.gatehouse/stream", &p, "Accept", "text/event-stream")
		w.noToken.Store(false)
		for _, as := range []struct {
			person *person
			header []string
		}{{&p, nil}, {nil, bearer}} {
			answer := w.get(w.client(http2), "/.gatehouse/sign-out", as.person, as.header...)
			if got := w.body(answer); answer.StatusCode != http.StatusOK || got != "own acme /.gatehouse/sign-out" {
				t.Errorf("HTTP/2 %t: %d %q", http2, answer.StatusCode, got)
			}
			if answer := w.get(w.client(http2), "/", as.person, as.header...); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("HTTP/2 %t: afterwards %d", http2, answer.StatusCode)
			}
		}
		if _, err := io.Copy(io.Discard, open.Body); err == nil {
			t.Error("another stream of the session ended as if it were complete")
		}
	}
}

// sessionlessStreams opens what has no session, and gives channels that are
// closed when the streams end: a token's, and those of nobody.
func (w *world) sessionlessStreams() (token, nobody map[string]chan struct{}) {
	w.t.Helper()
	w.app.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echoSocket(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	token, nobody = map[string]chan struct{}{}, map[string]chan struct{}{}
	open := func(all map[string]chan struct{}, http2 bool, path string, header ...string) {
		answer := w.get(w.client(http2), path, nil, append(header, "Accept", "text/event-stream")...)
		if answer.StatusCode != http.StatusOK {
			w.t.Fatalf("%s: %d", path, answer.StatusCode)
		}
		ended := make(chan struct{})
		all[fmt.Sprint(path, " HTTP/2 ", http2)] = ended
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, answer.Body)
		}()
	}
	for _, http2 := range []bool{false, true} {
		open(token, http2, "/events", bearer...)
		open(token, http2, "/.gatehouse/stream", bearer...)
		open(nobody, http2, "/public/events")
		open(nobody, http2, "/.gatehouse/stream")
	}
	socket, _, err := websocket.Dial(context.Background(), "wss://acme.test/ws", &websocket.DialOptions{HTTPClient: w.client(false),
		HTTPHeader: http.Header{"Authorization": {"Bearer " + ownerToken}}})
	w.must(err)
	w.t.Cleanup(func() { _ = socket.CloseNow() })
	ended := make(chan struct{})
	token["WebSocket"] = ended
	go func() {
		defer close(ended)
		_, _, err := socket.Read(context.Background())
		if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			w.t.Errorf("the WebSocket ended with %v", err)
		}
	}()
	return token, nobody
}

func (w *world) attending() (n int) {
	for i := range w.gate.sessionless.shards {
		shard := &w.gate.sessionless.shards[i]
		shard.mu.Lock()
		n += len(shard.streams)
		shard.mu.Unlock()
	}
	return n
}

func TestP2_WhatHasNoSessionEndsWithItsTokenOrTenant(t *testing.T) {
	w := newWorld(t, nil)
	token, nobody := w.sessionlessStreams()
	w.noToken.Store(true)
	w.confirmed(func() error { return w.gate.End(t.Context(), w.globex.ID, "tok_1") }) // another tenant's
	if n := w.attending(); n != len(token)+len(nobody) {
		t.Errorf("%d streams are open, not %d", n, len(token)+len(nobody))
	}
	w.confirmed(func() error { return w.gate.End(t.Context(), w.acme.ID, "tok_1") })
	if n := w.attending(); n != len(nobody) {
		t.Errorf("%d streams are left, not %d", n, len(nobody))
	}
	awaitAll(t, token)
	if answer := w.get(w.client(false), "/", nil, bearer...); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("afterwards: %d", answer.StatusCode)
	}
	_, err := w.tenants.Update(t.Context(), audit.SystemCause(), w.acme.ID, 0, func(t *tenants.Tenant) error {
		t.Status = tenants.Suspended
		return nil
	})
	w.must(err)
	if n := w.attending(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	awaitAll(t, nobody)
}

// What a token has open ends when the token runs out, and nothing else does.
func TestP2_StreamsEndWhenTheirTokenExpires(t *testing.T) {
	w := newWorld(t, nil)
	w.tokenFor.Store(int64(time.Second))
	token, nobody := w.sessionlessStreams()
	awaitAll(t, token)
	for deadline := time.Now().Add(patience); w.attending() > len(nobody) && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if n := w.attending(); n != len(nobody) {
		t.Errorf("%d streams are left, not %d", n, len(nobody))
	}
	for what, ended := range nobody {
		select {
		case <-ended:
			t.Errorf("%s ended with a token that is not its own", what)
		default:
		}
	}
	w.confirmed(func() error { return w.gate.EndTenant(t.Context(), w.acme.ID) })
	awaitAll(t, nobody)
}

// A token or tenant that ends between the question who calls and the
// registration is noticed after it.
func TestP2_NothingSlipsInWhileItEnds(t *testing.T) {
	w := newWorld(t, nil)
	v := w.gate.begin(nobodyWriter{http.Header{}}, w.request(http.MethodGet, "https://acme.test/", nil, nil, bearer...))
	w.must(w.gate.findTenant(v))
	p, _, err := w.caller(v.r)
	w.must(err)
	c := caller{principal: p}
	in := newStream(v, nil)
	in.onCut = func() { in.leave() }
	w.must(w.gate.attend(v, in, c))
	w.noToken.Store(true)
	if err := w.gate.attend(v, newStream(v, nil), c); err == nil {
		t.Error("a revoked token got in")
	}
	if n := w.attending(); n != 1 {
		t.Errorf("%d streams are registered, not the one that got in", n)
	}
	_, err = w.tenants.Update(t.Context(), audit.SystemCause(), w.acme.ID, 0, func(t *tenants.Tenant) error {
		t.Status = tenants.Suspended
		return nil
	})
	w.must(err)
	if err := w.gate.attend(v, newStream(v, nil), caller{}); err == nil {
		t.Error("somebody got in to a suspended tenant")
	}
	if n := w.attending(); n != 0 {
		t.Errorf("%d streams are registered in a suspended tenant", n)
	}
}

type nobodyWriter struct{ h http.Header }

func (w nobodyWriter) Header() http.Header         { return w.h }
func (w nobodyWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w nobodyWriter) WriteHeader(int)             {}

// A body that does not come gives its place back, at our own addresses and at
// the app's, also when it comes in drops that keep every other limit.
func TestASlowBodyIsGivenUp(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Limits.BodyTime = 200 * time.Millisecond
		c.Limits.BodyRate = 1 << 20
	})
	for _, path := range []string{"/.gatehouse/form", "/.gatehouse/not-read", "/public/x"} {
		for _, drops := range []bool{false, true} {
			c := w.rawTLS("http/1.1")
			_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: acme.test\r\nContent-Length: 100000\r\n\r\n", path)
			w.must(err)
			ctx, stop := context.WithCancel(t.Context())
			dripped := make(chan struct{})
			go func() {
				defer close(dripped)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for drops {
					select {
					case <-tick.C:
						_, _ = c.Write([]byte("x"))
					case <-ctx.Done():
						return
					}
				}
			}()
			br := bufio.NewReader(c)
			answer, err := http.ReadResponse(br, nil)
			if err == nil {
				_, err = io.Copy(io.Discard, answer.Body)
			}
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Errorf("%s, drops %t: still waited for", path, drops)
			}
			if err == nil && !answer.Close {
				t.Errorf("%s, drops %t: answered %d, and the connection goes on", path, drops, answer.StatusCode)
			}
			stop()
			<-dripped
		}
	}
	if n := w.gate.load.total.Load(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

func TestPace(t *testing.T) {
	p := pace{time: 30 * time.Second, rate: 1 << 10, idle: time.Minute}
	for _, test := range []struct {
		received     int64
		waited, want time.Duration
	}{
		{0, 0, 30 * time.Second},
		{0, 20 * time.Second, 10 * time.Second},
		{0, 30 * time.Second, 1},
		{20 << 10, 40 * time.Second, 10 * time.Second},
		{1 << 20, time.Second, time.Minute},
		{1 << 50, time.Second, time.Minute},
	} {
		if got := p.wait(test.received, test.waited); got != test.want {
			t.Errorf("after %d bytes and %v: %v, not %v", test.received, test.waited, got, test.want)
		}
	}
}
