package scim_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/scim/recorder"
)

// line is a connection of HTTP/1.1 on which a client sends its requests piece by piece.
type line struct {
	net.Conn
	b    *bench
	read *bufio.Reader
}

func newLine(t *testing.T, b *bench) *line {
	t.Helper()
	server := httptest.NewServer(b.gate())
	t.Cleanup(server.Close)
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return &line{conn, b, bufio.NewReader(conn)}
}

// begin sends the head of a request.
func (l *line) begin(t *testing.T, method, path, token string, more ...string) {
	t.Helper()
	_, err := fmt.Fprintf(l, "%s /scim/v2%s HTTP/1.1\r\nHost: acme.example\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", method, path, token, strings.Join(more, "\r\n"))
	must(t, err)
}

// answers reads a whole answer.
func (l *line) answers(t *testing.T, status int) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(l.read, nil)
	must(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	must(t, err)
	if resp.StatusCode != status {
		t.Errorf("%s, want %d", resp.Status, status)
	}
	return resp
}

// A body that was refused before it was read is kept all the same, and the connection is
// good for the next request.
func TestARefusedBodyIsKept(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name, path, token, form, body, kept string
		status                              int
	}{
		{"wrong type", "/Users", b.acme.token, "Content-Length: 12", "userName=ann", "userName=ann", 415},
		{"nothing there", "/Nothing", b.acme.token, "Content-Length: 12", "userName=ann", "userName=ann", 404},
		{"in chunks", "/Users", b.acme.token, "Transfer-Encoding: chunked", "c\r\nuserName=ann\r\n0\r\n\r\n", "userName=ann", 415},
		{"a stranger", "/Users", "nobody", "Content-Length: 12", "userName=ann", "", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, b)
			l.begin(t, "POST", c.path, c.token, c.form, "Content-Type: text/plain")
			_, err := io.WriteString(l, c.body)
			must(t, err)
			if resp := l.answers(t, c.status); resp.Close {
				t.Error("the connection ends")
			}
			l.begin(t, "GET", "/Users", b.acme.token)
			l.answers(t, 200)
			r := kept(t, b, b.recorder, recorder.Filter{Method: "POST"})[0]
			if r.Status != c.status || r.Sent.Text != c.kept || r.Sent.Unread != (c.kept == "") {
				t.Errorf("kept as %+v", r)
			}
		})
	}
}

// TestP4_NothingInABodyIsARequest: behind a body that was not read to its end, nothing on
// the connection is taken for a request.
func TestP4_NothingInABodyIsARequest(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct{ form, body string }{
		"a chunk that is none":    {"Transfer-Encoding: chunked", "zz\r\n"},
		"a trailer that is none":  {"Transfer-Encoding: chunked", "0\r\nno trailer\r\n\r\n"},
		"more than is waited for": {"Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n", 300<<10, strings.Repeat("x", 300<<10))},
		"a length of more":        {"Content-Length: 400000", ""},
	} {
		for _, token := range []string{b.acme.token, "nobody"} {
			t.Run(name, func(t *testing.T) {
				l := newLine(t, b)
				l.begin(t, "POST", "/Users", token, c.form, "Content-Type: text/plain")
				_, _ = io.WriteString(l, c.body+"GET /scim/v2/Users HTTP/1.1\r\nHost: acme.example\r\nAuthorization: Bearer "+b.acme.token+"\r\n\r\n")
				for n := 0; ; n++ {
					resp, err := http.ReadResponse(l.read, nil)
					if err != nil {
						if n > 1 || errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("%d answers, %v", n, err)
						}
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					if resp.StatusCode == http.StatusOK {
						t.Fatal("what stood in the body was answered")
					}
				}
			})
		}
	}
}

// A body that does not come, or that nobody has read, is not told of as if there was none.
func TestABodyThatNobodyReadIsNotNone(t *testing.T) {
	b := newBench(t)
	for name, form := range map[string][]string{
		"asks first": {"Content-Length: 12", "Expect: 100-continue"}, "is too long": {"Content-Length: 100000000"},
	} {
		l := newLine(t, b)
		l.begin(t, "POST", "/Users", b.acme.token, append(form, "Content-Type: text/plain")...)
		l.answers(t, 415)
		r := kept(t, b, b.recorder, recorder.Filter{})[0]
		if r.Status != 415 || r.Sent.Text != "" || !r.Sent.Unread {
			t.Errorf("%s: kept as %+v", name, r)
		}
	}
	b.do(t, "GET", "/Users", "").wants(200)
	if r := last(t, b, b.recorder); r.Sent != (recorder.Text{}) {
		t.Errorf("with none it is kept as %+v", r.Sent)
	}
}

// With HTTP/2 nobody waits for the body: an answer ends with its stream.
func TestARefusalDoesNotWaitForTheBodyOfHTTP2(t *testing.T) {
	b := newBench(t)
	server := httptest.NewUnstartedServer(b.gate())
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	body, client := io.Pipe()
	defer func() { _ = client.Close() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/scim/v2/Users", body)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+b.acme.token)
	r.Header.Set("Content-Type", "text/plain")
	resp, err := server.Client().Do(r)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 || resp.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(string(text), "Content-Type") {
		t.Errorf("%s %s %q %v", resp.Proto, resp.Status, text, err)
	}
	if r := last(t, b, b.recorder); r.Sent.Text != "" || !r.Sent.Unread {
		t.Errorf("kept as %+v", r.Sent)
	}
}
