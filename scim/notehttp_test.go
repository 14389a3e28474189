package scim_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// Who is refused hears so before they have sent their body, which is noted behind the
// answer; and the connection is good for the next request.
func TestARefusalDoesNotWaitForTheBody(t *testing.T) {
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
			if resp := l.answers(t, c.status); resp.Close {
				t.Error("the connection ends")
			}
			_, err := io.WriteString(l, c.body)
			must(t, err)
			l.begin(t, "GET", "/Users", b.acme.token)
			l.answers(t, 200)
			r := kept(t, b, b.recorder, recorder.Filter{Method: "POST"})[0]
			if r.Status != c.status || r.Sent.Text != c.kept || r.Sent.Unread != (c.kept == "") {
				t.Errorf("kept as %+v", r)
			}
		})
	}
}

// A body that does not come is not waited for, and is not told of as if there was none.
func TestABodyThatNobodyReadIsNotNone(t *testing.T) {
	b := newBench(t)
	for name, form := range map[string][]string{
		"in chunks": {"Transfer-Encoding: chunked"}, "with a length": {"Content-Length: 12"}, "asks first": {"Content-Length: 12", "Expect: 100-continue"},
	} {
		l := newLine(t, b)
		l.begin(t, "POST", "/Users", b.acme.token, append(form, "Content-Type: text/plain")...)
		l.answers(t, 415)
		r := kept(t, b, b.recorder, recorder.Filter{})[0] // when it is not listened to any more
		if r.Status != 415 || r.Sent.Text != "" || !r.Sent.Unread || r.Took > time.Second/2 {
			t.Errorf("%s: kept as %+v", name, r)
		}
	}
	b.do(t, "GET", "/Users", "").wants(200)
	if r := last(t, b, b.recorder); r.Sent != (recorder.Text{}) {
		t.Errorf("with none it is kept as %+v", r.Sent)
	}
}

// So it is with HTTP/2, where an answer ends with its stream.
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
