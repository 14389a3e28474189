package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/demo"
	"gatehouse/internal/telemetry"
)

// The people of the demo.
const (
	owner  = "owner@acme.example"
	member = "member@acme.example"
	viewer = "viewer@acme.example"
)

// patience bounds how long a test waits for what must happen at once, on a
// machine that is busy with other tests.
const patience = 2 * time.Minute

// beats counts the time in which this program got to run: ticks that nobody had time
// for are left out, so that a machine that stands still is given the time it has not.
var beats atomic.Int64

const beat = 10 * time.Millisecond

// within says, later, whether no more than so much of that time has passed since.
func within(d time.Duration) func() bool {
	end := beats.Load() + int64(d/beat)
	return func() bool { return beats.Load() <= end }
}

// inProcess runs the demo in this process until the test ends.
func inProcess(t *testing.T) *demo.Demo {
	t.Helper()
	d, err := demo.Start(t.Context(), demo.Options{Data: t.TempDir(), Log: telemetry.NewLogger(t.Output(), telemetry.Text, slog.LevelWarn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// builds is where the binary is put; it goes when all tests are done.
var builds string

var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(builds, "gatehouse")
	out, err := exec.Command("go", "build", "-o", path, "gatehouse/cmd/gatehouse").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-e2e-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	builds = dir
	over := make(chan struct{})
	var counting sync.WaitGroup
	defer func() { close(over); counting.Wait() }()
	counting.Go(func() {
		ticker := time.NewTicker(beat)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				beats.Add(1)
			case <-over:
				return
			}
		}
	})
	return m.Run()
}

// process is the built binary's demo, as its own process.
type process struct {
	demo.Info

	data   string
	cmd    *exec.Cmd
	stderr *lockedBuffer
}

// startProcess runs `gatehouse demo` on a data folder and waits until it serves.
func startProcess(t *testing.T, data string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{data: data, stderr: &lockedBuffer{}}
	p.cmd = exec.Command(path, "demo", "--json", "--addr", "127.0.0.1:0", "--data", data)
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the demo did not become ready: %v\n%s", err, p.stderr)
	}
	if err := json.Unmarshal(line, &p.Info); err != nil {
		t.Fatalf("the demo's first line: %v: %s", err, line)
	}
	return p
}

// kill ends the process as kill -9 does, and waits for it.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// stop asks the process to end, as an init system does, and waits for it.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the gateway did not end cleanly: %v\n%s", err, p.stderr)
	}
}

// gatehouse runs a command of the binary and returns its output and exit code.
func gatehouse(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// signedIn is a browser in which somebody has signed in at the tenant's IdP.
func signedIn(t *testing.T, info demo.Info, tenant, email string) *http.Client {
	t.Helper()
	client, err := info.Client()
	if err != nil {
		t.Fatal(err)
	}
	if err := info.SignIn(t.Context(), client, tenant, email); err != nil {
		t.Fatalf("sign in %s at %s: %v", email, tenant, err)
	}
	return client
}

// do sends a request and reads the whole answer.
func do(t *testing.T, client *http.Client, req *http.Request) (*http.Response, []byte) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return resp, body
}

// get fetches a URL; headers come as name, value pairs.
func get(t *testing.T, client *http.Client, url string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	return do(t, client, request(t, http.MethodGet, url, "", headers...))
}

// request makes a request; a body is JSON unless a header says otherwise.
func request(t *testing.T, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// events is an open stream of server-sent events.
type events struct {
	*bufio.Reader

	body io.Closer
}

// openEvents opens a stream until the test ends.
func openEvents(t *testing.T, client *http.Client, url string) *events {
	t.Helper()
	endless := *client
	endless.Timeout = 0
	resp, err := endless.Do(request(t, http.MethodGet, url, "", "Accept", "text/event-stream"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	return &events{bufio.NewReader(resp.Body), resp.Body}
}

// await reads the stream until a line holds a text.
func (e *events) await(t *testing.T, text string) {
	t.Helper()
	defer time.AfterFunc(patience, func() { _ = e.body.Close() }).Stop()
	for {
		line, err := e.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// ends reads the stream until the gate ends it.
func (e *events) ends(t *testing.T) {
	t.Helper()
	open := time.AfterFunc(patience, func() { _ = e.body.Close() })
	_, _ = io.Copy(io.Discard, e) // how a stream ends when it is cut differs
	if !open.Stop() {
		t.Error("the event stream is still open")
	}
}

// decode reads JSON that must be there.
func decode[T any](t *testing.T, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

// lockedBuffer is a buffer that a process writes while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
