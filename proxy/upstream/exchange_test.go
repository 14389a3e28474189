package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/fault"
)

func newPool(t *testing.T, c Config) *Pool {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func app(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// scripted answers each request on each connection as play says; it closes the
// connection when play returns false.
func scripted(t *testing.T, play func(connection, request int, r *http.Request, c net.Conn) bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for connection := 0; ; connection++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				br := bufio.NewReader(c)
				for n := 0; ; n++ {
					r, err := http.ReadRequest(br)
					if err != nil || !play(connection, n, r, c) {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func ask(method, target string, body io.Reader, length int64) *Request {
	h := new(Head)
	h.Reset(method, target, "app.test")
	h.Field("X-Test", "1")
	return &Request{Method: method, Head: h, Body: body, Length: length}
}

// fetch makes one exchange and reads its whole answer.
func fetch(p *Pool, r *Request) (*Response, string, error) {
	x := p.NewExchange()
	defer x.Finish()
	answer, err := x.Do(context.Background(), r)
	if err != nil {
		return nil, "", err
	}
	var body strings.Builder
	_, err = x.CopyBody(&body, func() error { return nil })
	return answer, body.String(), err
}

func TestExchangeCarriesEveryKindOfBody(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 64<<10)
	server := app(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength, r.TransferEncoding))
		if r.URL.Query().Has("chunked") {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = w.Write(got)
	})
	p := newPool(t, Config{URLs: []string{server.URL}})
	for name, body := range map[string]string{"empty": "", "small": "hello", "large": big} {
		for _, announced := range []bool{true, false} {
			for _, target := range []string{"/", "/?chunked"} {
				length := int64(len(body))
				want := fmt.Sprint(length, []string(nil))
				if !announced {
					length, want = -1, "-1 [chunked]"
				}
				answer, got, err := fetch(p, ask("POST", target, struct{ io.Reader }{strings.NewReader(body)}, length))
				if err != nil {
					t.Fatal(err)
				}
				if got != body || answer.Header.Get("X-Length") != want {
					t.Errorf("%s body, announced %t, %s: %d bytes came back, the app saw %s", name, announced, target, len(got), answer.Header.Get("X-Length"))
				}
			}
		}
	}
	if open := p.targets[0].open.Load(); open != 1 {
		t.Errorf("%d connections for requests one after the other", open)
	}
}

func TestTrailersAndAnswersToHEAD(t *testing.T) {
	server := app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", "1234")
			return
		}
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "42")
	})
	p := newPool(t, Config{URLs: []string{server.URL}})
	x := p.NewExchange()
	if _, err := x.Do(t.Context(), ask("GET", "/", nil, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := x.CopyBody(io.Discard, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := x.Trailer().Get("X-Sum"); got != "42" {
		t.Errorf("trailer %q", got)
	}
	x.Finish()
	answer, body, err := fetch(p, ask("HEAD", "/", nil, 0))
	if err != nil || body != "" || answer.Header.Get("Content-Length") != "1234" {
		t.Errorf("HEAD: %v %q %v", answer, body, err)
	}
	if open := p.targets[0].open.Load(); open != 1 {
		t.Errorf("%d connections", open)
	}
}

func TestAStaleConnectionIsTriedAgainOnlyWhereThatDoesNoHarm(t *testing.T) {
	for _, test := range []struct {
		method string
		body   string
		ok     bool
	}{{"GET", "", true}, {"DELETE", "", true}, {"POST", "", false}, {"PUT", "x", false}} {
		var seen atomic.Int64
		url := scripted(t, func(connection, n int, r *http.Request, c net.Conn) bool {
			if n > 0 {
				seen.Add(1)
				return false // reads the second request and closes without a byte
			}
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			return err == nil
		})
		p := newPool(t, Config{URLs: []string{url}})
		if _, _, err := fetch(p, ask("GET", "/first", nil, 0)); err != nil {
			t.Fatal(err)
		}
		r := ask(test.method, "/second", nil, 0)
		if test.body != "" {
			r.Body, r.Length = strings.NewReader(test.body), int64(len(test.body))
		}
		_, _, err := fetch(p, r)
		if (err == nil) != test.ok {
			t.Errorf("%s with body %q: %v", test.method, test.body, err)
		}
		if err != nil && !fault.Is(err, fault.BadGateway) {
			t.Errorf("%s: %v", test.method, err)
		}
		if seen.Load() != 1 {
			t.Errorf("%s: the app saw the request %d times on the stale connection", test.method, seen.Load())
		}
	}
}

func TestBytesNobodyAskedForEndTheConnection(t *testing.T) {
	url := scripted(t, func(connection, n int, r *http.Request, c net.Conn) bool {
		// A second answer right behind the first: it must not answer the next request.
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%dHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", connection)
		return err == nil
	})
	p := newPool(t, Config{URLs: []string{url}})
	for want := range 3 {
		_, body, err := fetch(p, ask("GET", "/", nil, 0))
		if err != nil || body != fmt.Sprint(want) {
			t.Fatalf("request %d: %q %v", want, body, err)
		}
	}
}

func TestAnIdleConnectionThatSpeaksIsNotUsed(t *testing.T) {
	spoke := make(chan struct{})
	proceed := make(chan struct{})
	url := scripted(t, func(connection, n int, r *http.Request, c net.Conn) bool {
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", connection)
		if connection == 0 {
			<-proceed
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
			close(spoke)
		}
		return true
	})
	p := newPool(t, Config{URLs: []string{url}})
	if _, body, err := fetch(p, ask("GET", "/", nil, 0)); err != nil || body != "0" {
		t.Fatalf("%q %v", body, err)
	}
	close(proceed)
	<-spoke
	waitReadable(t, p)
	if _, body, err := fetch(p, ask("GET", "/", nil, 0)); err != nil || body != "1" {
		t.Fatalf("%q %v", body, err)
	}
}

// waitReadable waits until the idle connection has something to read.
func waitReadable(t *testing.T, p *Pool) {
	t.Helper()
	target := p.targets[0]
	target.mu.Lock()
	c := target.idle[0]
	target.mu.Unlock()
	if err := c.nc.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.br.Peek(1); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsOfTheApp(t *testing.T) {
	tests := map[string]struct {
		answer string
		kind   fault.Kind
	}{
		"closes at once":         {"", fault.BadGateway},
		"closes in the head":     {"HTTP/1.1 200 OK\r\nConte", fault.BadGateway},
		"two lengths":            {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", fault.BadGateway},
		"length and chunked":     {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", fault.BadGateway},
		"not HTTP":               {"SSH-2.0-OpenSSH\r\n\r\n", fault.BadGateway},
		"head too large":         {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", fault.BadGateway},
		"unasked switch":         {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", fault.BadGateway},
		"interim without end":    {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10), fault.BadGateway},
		"interim and a real one": {"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url := scripted(t, func(_, _ int, _ *http.Request, c net.Conn) bool {
				_, _ = io.WriteString(c, test.answer)
				return false
			})
			_, _, err := fetch(newPool(t, Config{URLs: []string{url}}), ask("GET", "/", nil, 0))
			if test.kind == 0 && err != nil || test.kind != 0 && !fault.Is(err, test.kind) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestABodyThatEndsEarlyIsAnError(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nBad Trailer\r\n\r\n",
	} {
		url := scripted(t, func(_, _ int, _ *http.Request, c net.Conn) bool {
			_, _ = io.WriteString(c, answer)
			return false
		})
		if _, _, err := fetch(newPool(t, Config{URLs: []string{url}}), ask("GET", "/", nil, 0)); err == nil {
			t.Errorf("%q passes", answer)
		}
	}
}

func TestTimeoutOfTheHeadIsAGatewayTimeout(t *testing.T) {
	block := make(chan struct{})
	url := scripted(t, func(_, _ int, _ *http.Request, _ net.Conn) bool { <-block; return false })
	defer close(block)
	p := newPool(t, Config{URLs: []string{url}, HeaderTimeout: 30 * time.Millisecond})
	if _, _, err := fetch(p, ask("GET", "/", nil, 0)); !fault.Is(err, fault.GatewayTimeout) {
		t.Errorf("GET: %v", err)
	}
	if _, _, err := fetch(p, ask("POST", "/", strings.NewReader("body"), 4)); !fault.Is(err, fault.GatewayTimeout) {
		t.Errorf("POST: %v", err)
	}
}

func TestAnAnswerBeforeTheBodyIsSent(t *testing.T) {
	url := scripted(t, func(_, _ int, r *http.Request, c net.Conn) bool {
		_, err := io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
		return err == nil
	})
	p := newPool(t, Config{URLs: []string{url}})
	body, feed := io.Pipe()
	r := ask("POST", "/", body, -1)
	r.Interrupt = func() { _ = body.CloseWithError(errors.New("interrupted")) }
	answer, text, err := fetch(p, r)
	if err != nil || answer.Status != 413 || text != "large" {
		t.Fatalf("%v %q %v", answer, text, err)
	}
	if _, err := feed.Write([]byte("x")); err == nil {
		t.Error("the body is still being read")
	}
}

func TestABodyThatBreaksOffIsNotCompleted(t *testing.T) {
	got := make(chan error, 2)
	server := app(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
	})
	p := newPool(t, Config{URLs: []string{server.URL}})
	broken := func() io.Reader { return io.MultiReader(strings.NewReader("part"), iotestErr{}) }
	for _, length := range []int64{-1, 100} {
		if _, _, err := fetch(p, ask("POST", "/", broken(), length)); !fault.Is(err, fault.Invalid) {
			t.Errorf("length %d: %v", length, err)
		}
		if err := <-got; err == nil {
			t.Errorf("length %d: the app took the part for the whole", length)
		}
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("the client went away") }

func TestTheBodyWaitsForTheAppsContinue(t *testing.T) {
	server := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	p := newPool(t, Config{URLs: []string{server.URL}})
	r := ask("POST", "/refuse", iotestErr{}, 4)
	r.Continue = true
	if answer, _, err := fetch(p, r); err != nil || answer.Status != http.StatusForbidden {
		t.Errorf("refused: %v %v", answer, err)
	}
	r = ask("POST", "/", strings.NewReader("body"), 4)
	r.Continue = true
	if _, text, err := fetch(p, r); err != nil || text != "body" {
		t.Errorf("accepted: %q %v", text, err)
	}
}

func TestAbortEndsWhateverIsUnderWay(t *testing.T) {
	entered := make(chan struct{}, 1)
	server := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_ = http.NewResponseController(w).Flush()
		}
		entered <- struct{}{}
		<-r.Context().Done()
	})
	p := newPool(t, Config{URLs: []string{server.URL}})
	for _, target := range []string{"/head", "/body"} {
		x := p.NewExchange()
		go func() { <-entered; x.Abort() }()
		_, err := x.Do(t.Context(), ask("GET", target, nil, 0))
		if target == "/head" && !errors.Is(err, ErrAborted) {
			t.Errorf("waiting for the head: %v", err)
		}
		if target == "/body" && err == nil {
			if _, err = x.CopyBody(io.Discard, func() error { return nil }); err == nil {
				t.Error("waiting for the body: no error")
			}
		}
		x.Finish()
	}
	x := p.NewExchange()
	x.Abort()
	if _, err := x.Do(t.Context(), ask("GET", "/", nil, 0)); !errors.Is(err, ErrAborted) {
		t.Errorf("aborted before: %v", err)
	}
	x.Finish()
}

// TestP2_WhatDoesNotStandIsNotSent: it may have been held up for long since it
// was let through, here until the second of two connections is made.
func TestP2_WhatDoesNotStandIsNotSent(t *testing.T) {
	var seen, asked atomic.Int64
	address := scripted(t, func(_, request int, _ *http.Request, c net.Conn) bool {
		if seen.Add(1); request > 0 {
			return false // an idle connection that turns out to be closed
		}
		_, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		return err == nil
	})
	p := newPool(t, Config{URLs: []string{address}})
	do := func(stands func() bool) error {
		x := p.NewExchange()
		defer x.Finish()
		r := ask("GET", "/", nil, 0)
		r.Stands = stands
		if _, err := x.Do(t.Context(), r); err != nil {
			return err
		}
		_, err := x.CopyBody(io.Discard, func() error { return nil })
		return err
	}
	if err := do(func() bool { return false }); !errors.Is(err, ErrAborted) || seen.Load() != 0 {
		t.Errorf("%v, and the app saw %d", err, seen.Load())
	}
	if err := do(nil); err != nil {
		t.Fatal(err)
	}
	if err := do(func() bool { return asked.Add(1) == 1 }); !errors.Is(err, ErrAborted) || asked.Load() != 2 || seen.Load() != 2 {
		t.Errorf("%v, asked %d times, and the app saw %d", err, asked.Load(), seen.Load())
	}
}

func TestSwitchingProtocols(t *testing.T) {
	url := scripted(t, func(_, _ int, r *http.Request, c net.Conn) bool {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
			t.Errorf("the app saw %v", r.Header)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello")
		_, _ = io.CopyN(c, c, 4)
		return false
	})
	p := newPool(t, Config{URLs: []string{url}})
	x := p.NewExchange()
	defer x.Finish()
	r := ask("GET", "/ws", nil, 0)
	r.Upgrade = "echo"
	answer, err := x.Do(t.Context(), r)
	if err != nil || answer.Status != 101 {
		t.Fatalf("%v %v", answer, err)
	}
	c, prefix := x.Hijack()
	_, _ = c.Write([]byte("ping"))
	rest, err := io.ReadAll(c)
	if got := string(bytes.Join([][]byte{prefix, rest}, nil)); got != "helloping" {
		t.Errorf("got %q %v", got, err)
	}
}
