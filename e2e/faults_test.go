package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fault takes one part of a running gateway away.
type fault struct {
	name   string
	take   func(*testing.T, *house) (mend func())
	code   string // of the answer's problem
	reason string // in its sentence
	spared bool   // globex goes on being served, and so does the platform
}

const (
	noJournal  = "The audit journal cannot be written right now"
	noDatabase = "The database cannot be reached right now"
	noKeys     = "The encryption keys cannot be reached right now"
)

// faults are all the ways in which a journal, a store or a key is lost. ACME in
// a path stands for acme's id.
var faults = []fault{
	{"journal read-only", chmod("journal/ACME", 0o555), "journal-unavailable", noJournal, true},
	{"all journals read-only", chmod("journal", 0o555), "journal-unavailable", noJournal, false},
	{"journal moved away", move("journal/ACME"), "journal-unavailable", noJournal, true},
	{"all journals moved away", move("journal"), "journal-unavailable", noJournal, false},
	{"database unreadable", chmod("store/tenants/ACME/tenant.db", 0), "store-unavailable", noDatabase, true},
	{"database moved away", move("store/tenants/ACME/tenant.db"), "store-unavailable", noDatabase, true},
	{"system database moved away", move("store/system.db"), "store-unavailable", noDatabase, false},
	{"tenant's key moved away", move("keys/ACME.key"), "keys-unavailable", noKeys, true},
	{"key-encryption key moved away", move("kek.key"), "keys-unavailable", noKeys, false},
	{"key-encryption key open to all", chmod("kek.key", 0o644), "keys-unavailable", noKeys, false},
}

func move(path string) func(*testing.T, *house) func() {
	return func(t *testing.T, h *house) func() {
		from := h.path(t, path)
		rename(t, from, from+".away")
		return func() { rename(t, from+".away", from) }
	}
}

// chmod takes rights away. The tests may run as root, to whom a mode is no
// obstacle: the gateway minds it all the same.
func chmod(path string, mode os.FileMode) func(*testing.T, *house) func() {
	return func(t *testing.T, h *house) func() {
		file := h.path(t, path)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		change := func(mode os.FileMode) {
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
		}
		change(mode)
		return func() { change(info.Mode().Perm()) }
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// path is a place in the data folder.
func (h *house) path(t *testing.T, path string) string {
	t.Helper()
	return filepath.Join(h.data, strings.ReplaceAll(path, "ACME", h.acme))
}

// TestP7_FailsClosedAndComesBack takes the parts of a running gateway away, one
// after the other. Each time there is 503 with the reason within a second and
// nothing reaches the app, other tenants are not concerned by what is one
// tenant's (P3), and service is back by itself once the part is.
func TestP7_FailsClosedAndComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	client := signedIn(t, h.Info, "acme", member)
	opened := time.Now()
	stream := openEvents(t, client, h.Tenants["acme"].URL+"events")
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			h.serves(t, client)
			mend := f.take(t, h)
			mended := false
			t.Cleanup(func() {
				if !mended {
					mend()
				}
			})
			f.shows(t, h, client)
			mend()
			mended = true
			h.serves(t, client)
		})
	}
	// A stream that was let through before goes on: it was authorised and
	// recorded, and its session can still be ended by this gateway's memory.
	// The app ticks once a second, so it cannot have sent this number yet.
	stream.await(t, fmt.Sprintf("id: %d\n", int(time.Since(opened).Seconds())+2))
	recorded := map[string]bool{}
	for _, e := range append(h.journal(t, "acme"), h.journal(t, "globex")...) {
		recorded[e.RequestID] = true
	}
	for _, a := range h.seen(t) {
		if !recorded[a.RequestID] {
			t.Errorf("the app saw %+v, of which there is no record", a)
		}
	}
	if out := h.run(t, "audit", "verify"); strings.Contains(out, "BROKEN") {
		t.Error(out)
	}
}

// serves waits until acme is served.
func (h *house) serves(t *testing.T, client *http.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		resp, body := get(t, client, h.Tenants["acme"].URL+"api/whoami")
		if resp.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("acme is not served: %s: %s", resp.Status, body)
		}
	}
}

// shows expects the fault to be told everywhere within a second, and nothing to
// reach the app from then on.
func (f fault) shows(t *testing.T, h *house, client *http.Client) {
	t.Helper()
	acme, globex := h.Tenants["acme"], h.Tenants["globex"]
	aSecond := within(time.Second)
	soon(t, "the reason", func() bool {
		late := !aSecond()
		resp, body := get(t, client, acme.URL+"api/whoami")
		if late && resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("a request that was sent after a second got %s: %s", resp.Status, body)
		}
		return strings.Contains(string(body), f.reason)
	})
	before := len(h.seen(t))
	for _, call := range []struct{ method, address, token string }{
		{http.MethodGet, acme.URL + "api/whoami", ""},
		{http.MethodGet, acme.URL + "public/ping", ""},
		{http.MethodPost, acme.URL + "echo", acme.APIToken},
		{http.MethodGet, acme.SCIM + "/Users", acme.SCIMToken},
		{http.MethodGet, acme.URL + ".gatehouse/api/v1/sessions", acme.APIToken},
		{http.MethodGet, acme.URL + ".gatehouse/login?connection=oidc", ""},
		{http.MethodPost, acme.URL + ".gatehouse/logout", ""},
	} {
		var headers []string
		if call.token != "" {
			headers = []string{"Authorization", "Bearer " + call.token}
		}
		resp, body := ask(t, client, call.method, call.address, headers...)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %s, Retry-After %q", call.method, call.address, resp.Status, resp.Header.Get("Retry-After"))
			continue
		}
		problem := decode[struct{ Type, Detail string }](t, body) // SCIM's own form has no type (RFC 7644 §3.12)
		if problem.Type != "" && problem.Type != "urn:gatehouse:problem:"+f.code || !strings.Contains(problem.Detail, f.reason) {
			t.Errorf("%s %s: %s", call.method, call.address, body)
		}
	}
	resp, body := ask(t, client, http.MethodGet, acme.URL+"api/whoami", "Accept", "text/html")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
		!strings.Contains(string(body), "<h1>") || !strings.Contains(string(body), f.reason) || strings.Contains(string(body), h.data) {
		t.Errorf("the page: %s: %s", resp.Status, body)
	}
	if n := len(h.seen(t)); n != before {
		t.Errorf("%d requests reached the app", n-before)
	}
	want := http.StatusServiceUnavailable
	if f.spared {
		want = http.StatusOK
	}
	if resp, body = ask(t, client, http.MethodGet, h.Ops+"/readyz"); resp.StatusCode != want || !f.spared && !strings.Contains(string(body), f.reason) {
		t.Errorf("/readyz: %s: %s", resp.Status, body)
	}
	if resp, body = ask(t, client, http.MethodGet, globex.URL+"api/whoami", "Authorization", "Bearer "+globex.APIToken); f.spared && resp.StatusCode != want {
		t.Errorf("globex: %s: %s", resp.Status, body)
	}
}

// ask sends a request again while the gateway has not looked at its stores for
// too long to say anything of them: then the machine stands still.
func ask(t *testing.T, client *http.Client, method, address string, headers ...string) (resp *http.Response, body []byte) {
	t.Helper()
	soon(t, "an answer of "+address, func() bool {
		resp, body = do(t, client, request(t, method, address, "", headers...))
		return !strings.Contains(string(body), "cannot look after its own stores")
	})
	return resp, body
}

// onSmallDisk runs a command with half a megabyte for all journals, in a mount
// namespace of its own, so that nothing of it is left whatever happens.
var onSmallDisk = []string{"unshare", "--mount", "--map-root-user", "sh", "-ec",
	`mkdir -p "$DATA/journal" && mount -t tmpfs -o size=512k,mode=0700 tmpfs "$DATA/journal" && exec "$@"`, "sh"}

// TestP7_FullDisk fills the disk that the journals are on.
func TestP7_FullDisk(t *testing.T) {
	t.Parallel()
	h := newHouse(t, onSmallDisk...)
	// The gateway's own view of the file system, in which that disk is.
	h.data = fmt.Sprintf("/proc/%d/root%s", h.cmd.Process.Pid, h.data)
	client := signedIn(t, h.Info, "acme", member)
	filler, err := os.Create(h.path(t, "journal/filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = filler.Close() }()
	for err == nil {
		_, err = filler.Write(make([]byte, 4<<10))
	}
	// What is left is the rest of the journal's last page.
	acme := h.Tenants["acme"]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	refused := map[string]bool{}
	for len(refused) < 50 && ctx.Err() == nil {
		resp, body := get(t, client, acme.URL+"api/whoami")
		if resp.StatusCode == http.StatusOK && len(refused) == 0 {
			continue
		}
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), noJournal) {
			t.Fatalf("on a full disk: %s: %s", resp.Status, body)
		}
		refused[resp.Header.Get("X-Gatehouse-Request-Id")] = true
	}
	if len(refused) == 0 {
		t.Fatal("a full disk was not noticed")
	}
	resp, body := do(t, client, request(t, http.MethodPost, acme.SCIM+"/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"late@acme.example"}`, "Authorization", "Bearer "+acme.SCIMToken))
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("SCIM on a full disk: %s: %s", resp.Status, body)
	}
	if err := filler.Truncate(0); err != nil {
		t.Fatal(err)
	}
	h.serves(t, client)
	recorded := map[string]bool{}
	for _, e := range h.journal(t, "acme") {
		recorded[e.RequestID] = true
	}
	for _, a := range h.seen(t) {
		if refused[a.RequestID] || !recorded[a.RequestID] {
			t.Errorf("the app saw %+v: refused %v, recorded %v", a, refused[a.RequestID], recorded[a.RequestID])
		}
	}
	if out := h.run(t, "audit", "verify"); strings.Contains(out, "BROKEN") {
		t.Error(out)
	}
}

// TestP7_NoNewKeyForOldData starts a gateway whose key-encryption key is lost.
func TestP7_NoNewKeyForOldData(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.kill()
	rename(t, h.path(t, "kek.key"), h.path(t, "kek.away"))
	_, stderr, code := gatehouse(t, "serve", "--config", h.config)
	if code != 1 || !strings.Contains(stderr, "kek.key") || !strings.Contains(stderr, "put its copy back") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, err := os.Stat(h.path(t, "kek.key")); err == nil {
		t.Error("a new key was made for old data")
	}
	rename(t, h.path(t, "kek.away"), h.path(t, "kek.key"))
	h.start(t)
	if resp, body := get(t, http.DefaultClient, h.Ops+"/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", resp.Status, body)
	}
}
