package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/demo"
)

var (
	linkShown = regexp.MustCompile(`or open +(\S+)`)
	stepShown = regexp.MustCompile(`name="step" value="([^"]+)"`)
)

// answerDevice has somebody of the demo follow the link that a login has shown, and
// say to it allow or deny: answer INFO TENANT EMAIL SHOWN DECISION.
func answerDevice(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: answer INFO TENANT EMAIL SHOWN DECISION")
	}
	var info demo.Info
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &info))
	client, err := info.Client()
	ts.Check(err)
	ts.Check(info.SignIn(context.Background(), client, args[1], args[2]))
	shown := linkShown.FindStringSubmatch(ts.ReadFile(args[3]))
	if shown == nil {
		ts.Fatalf("no link is shown")
	}
	link, err := url.Parse(shown[1])
	ts.Check(err)
	page := func(resp *http.Response, err error) string {
		ts.Check(err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		ts.Check(err)
		if resp.StatusCode != http.StatusOK {
			ts.Fatalf("%s: %s\n%s", resp.Request.URL, resp.Status, body)
		}
		return string(body)
	}
	code := link.Query().Get("user_code")
	if !strings.Contains(page(client.Get(link.String())), code) {
		ts.Fatalf("the page does not show the code")
	}
	link.RawQuery = ""
	form := url.Values{"user_code": {code}}
	form.Set("step", stepShown.FindStringSubmatch(page(client.PostForm(link.String(), form)))[1])
	form.Set("decision", args[4])
	page(client.PostForm(link.String(), form))
}

func TestServerOrigins(t *testing.T) {
	for server, want := range map[string]string{
		"https://acme.example.com": "https://acme.example.com", "https://Acme.example.com:443/": "https://acme.example.com",
		"https://acme.example.com:8443": "https://acme.example.com:8443", "https://[2001:DB8::1]:8443": "https://[2001:db8::1]:8443",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "http://acme.localhost:1": "http://acme.localhost:1", "http://[::1]": "http://[::1]",
		"http://acme.example.com": "", "http://192.0.2.1": "", "http://localhost.example.com": "", "ftp://acme.example.com": "", "acme.example.com": "",
		"": "", "https://": "", "https://u:p@acme.example.com": "", "https://acme.example.com/x": "", "https://acme.example.com?x=1": "", "https://acme.example.com#x": "",
	} {
		got, err := serverOrigin(server)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", server, got, err)
		}
	}
}

// The file is for its owner alone, and never half written.
func TestCredentialsAreKept(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("HOME", home)
	t.Setenv("AppData", home)
	const one, two = "https://one.example.com", "https://two.example.com"
	put := func(server, token string) {
		t.Helper()
		if err := changeCredentials(t.Context(), func(c *credentials) { c.Servers[server] = credential{Token: token} }); err != nil {
			t.Fatal(err)
		}
	}
	want := func(server, token string) {
		t.Helper()
		if kept, _, err := storedCredential(server); err != nil || kept.Token != token {
			t.Errorf("%s: %+v, %v", server, kept, err)
		}
	}
	want(one, "")
	put(one, "a")
	put(two, "b")
	want("https://ONE.example.com:443/", "a")
	want(two, "b")
	path, err := credentialFile()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".credentials-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for text, mode := range map[string]os.FileMode{"{": 0o600, strings.Repeat(" ", maxCredentials+1): 0o600, `{"servers":{}}`: 0o644} {
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := storedCredential(one); err == nil {
			t.Errorf("%.10q of mode %v was read", text, mode)
		}
		if err := changeCredentials(t.Context(), func(*credentials) {}); err == nil {
			t.Errorf("%.10q of mode %v was written over", text, mode)
		}
	}
}

// writesCredentials is what the test does as another process.
func writesCredentials() bool {
	name := os.Getenv("GATEHOUSE_TEST_WRITES")
	if name == "" {
		return false
	}
	for i := range 20 {
		server := fmt.Sprintf("https://%s-%d.example.com", name, i)
		if err := changeCredentials(context.Background(), func(c *credentials) { c.Servers[server] = credential{Token: name} }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	return true
}

// Commands that write at once, of one process or of several, lose nothing of each
// other's.
func TestCredentialsOfCommandsAtOnceAreAllKept(t *testing.T) {
	if writesCredentials() {
		return
	}
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("HOME", home)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for p := range 4 {
		work.Go(func() {
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestCredentialsOfCommandsAtOnceAreAllKept$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("GATEHOUSE_TEST_WRITES=p%d", p))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for i := range 20 {
		work.Go(func() {
			if err := changeCredentials(t.Context(), func(c *credentials) { c.Devices[fmt.Sprintf("https://here-%d.example.com", i)] = "d" }); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	path, err := credentialFile()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := readCredentials(path)
	if err != nil || len(kept.Servers) != 80 || len(kept.Devices) != 20 {
		t.Errorf("%d sign-ins and %d devices are kept, %v", len(kept.Servers), len(kept.Devices), err)
	}
	// Who holds the file without end is not waited for without end.
	release, err := lockFile(t.Context(), path+".lock")
	if err != nil {
		t.Fatal(err)
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if err := changeCredentials(left, func(*credentials) { t.Error("changed while another holds it") }); err == nil || !strings.Contains(err.Error(), "held by another command") {
		t.Errorf("%v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if err := changeCredentials(t.Context(), func(*credentials) {}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path + ".lock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
