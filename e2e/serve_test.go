package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// brokenConfig has five mistakes, on the lines that the test expects.
const brokenConfig = `environment: test
tls: { mode: internel }
store: sqlite:///nowhere/store
store: sqlite:///elsewhere
keys: file:///nowhere/kek.key
operator: { host: "https://admin.example.com" }
app:
  upstreams: ["http://127.0.0.1:1"]
  route: []
  routes:
    - { path: no-slash, access: signed_in }
`

func TestServeNamesEveryProblemOfItsConfig(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(brokenConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"check", "serve"} {
		_, stderr, code := gatehouse(t, command, "--config", path)
		if code != 1 {
			t.Errorf("%s: exit code %d", command, code)
		}
		for _, line := range []int{2, 4, 6, 9, 11} {
			if !strings.Contains(stderr, fmt.Sprintf("%s:%d:", path, line)) {
				t.Errorf("%s does not tell what is wrong with line %d:\n%s", command, line, stderr)
			}
		}
	}
	if _, stderr, code := gatehouse(t, "serve"); code != 2 || !strings.Contains(stderr, "--config") {
		t.Errorf("without a config: exit code %d: %s", code, stderr)
	}
	if _, stderr, code := gatehouse(t, "serve", "--config", path+".none"); code != 1 || !strings.Contains(stderr, path+".none") {
		t.Errorf("with a config that is not there: exit code %d: %s", code, stderr)
	}
}

// TestServeDrains ends a gateway as an init system does: what is under way
// finishes, a WebSocket is told to come back, and nothing new begins.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.Tenants["acme"]
	client := signedIn(t, h.Info, "acme", member)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// coder/websocket closes the answer's body itself.
	socket, _, err := websocket.Dial(ctx, strings.Replace(acme.URL, "https", "wss", 1)+"ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.CloseNow() }()
	if err := socket.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := socket.Read(ctx); err != nil || string(message) != "hello" {
		t.Fatalf("the echo: %q, %v", message, err)
	}
	slow := make(chan string, 1)
	go func() {
		resp, err := client.Do(request(t, http.MethodGet, acme.URL+"slow?ms=1500", ""))
		if err != nil {
			slow <- err.Error()
			return
		}
		_ = resp.Body.Close()
		slow <- resp.Status
	}()
	for arrived := false; !arrived && ctx.Err() == nil; {
		for _, a := range h.seen(t) {
			arrived = arrived || a.Path == "/slow"
		}
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, _, err := socket.Read(ctx); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the WebSocket ended with %v", err)
	}
	if got := <-slow; got != "200 OK" {
		t.Errorf("the request under way ended with %s", got)
	}
	<-h.read
	if err := h.cmd.Wait(); err != nil {
		t.Errorf("%v:\n%s", err, h.stderr)
	}
	journal := h.journal(t, "platform")
	if last := journal[len(journal)-1]; last.Type != "gateway.stopped" {
		t.Errorf("the platform's journal ends with %+v", last)
	}
	h.start(t)
	client.CloseIdleConnections()
	h.serves(t, client) // the session is still there
}

// TestServeFollowsItsConfig changes the file under a running gateway: routes
// take effect by themselves and by SIGHUP, with their record; a broken file
// changes nothing and is told; what needs a restart is told as well, and so is
// that nothing changed.
func TestServeFollowsItsConfig(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	client := signedIn(t, h.Info, "acme", member)
	page := h.Tenants["acme"].URL + "api/whoami"
	answers := func(status int) bool { resp, _ := get(t, client, page); return resp.StatusCode == status }
	says := func(text string) func() bool { return func() bool { return strings.Contains(h.stderr.String(), text) } }

	const closed = "    - { path: /api/whoami, permission: billing }\n"
	h.write(t, closed)
	soon(t, "the new route", func() bool { return answers(http.StatusForbidden) })
	h.write(t, closed+"    - { path: /x, acess: public }\nlimits: { requests: 7 }\n")
	soon(t, "the complaint", says("acess"))
	if !answers(http.StatusForbidden) {
		t.Error("a broken file changed something")
	}
	h.write(t, "  headers: { user: X-Person }\nlimits: { requests: 7 }\n")
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	soon(t, "the old route", func() bool { return answers(http.StatusOK) })
	soon(t, "the word on the limits", says(`"keys":["app.routes","limits.requests"]`))
	soon(t, "the word on the headers", says(`"keys":["app.headers.user"]`))
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	soon(t, "the answer to SIGHUP", says("nothing changed"))
	reloads := 0
	for _, e := range h.journal(t, "platform") {
		if e.Type == "gateway.reloaded" {
			reloads++
		}
	}
	if reloads != 2 {
		t.Errorf("%d reloads are in the journal:\n%s", reloads, h.stderr)
	}
}

// soon waits for what must come without being asked for again.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !holds() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s did not come", what)
		}
	}
}

// TestServeOnceOnly starts a second gateway on the same data.
func TestServeOnceOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, stderr, code := gatehouse(t, "serve", "--config", h.config)
	if code != 1 || !strings.Contains(stderr, "another gateway runs on this data folder") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestDemoComesBack ends the demo and starts it again on its data: whoever was
// signed in still is.
func TestDemoComesBack(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := startProcess(t, data)
	client := signedIn(t, p.Info, "globex", "viewer@globex.example")
	p.stop(t)
	client.CloseIdleConnections()
	again := startProcess(t, data)
	if resp, body := get(t, client, again.Tenants["globex"].URL+"api/whoami"); resp.StatusCode != http.StatusOK {
		t.Errorf("after the restart: %s: %s", resp.Status, body)
	}
}
