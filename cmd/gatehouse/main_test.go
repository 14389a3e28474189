package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/demo"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": main})
}

// TestScripts runs the commands as people do; testdata/*.txtar say what they
// print and with which code they end.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GATEHOUSE_DATA", filepath.Join(e.WorkDir, "data"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"await":   await,
			"capture": capture,
			"flip":    flip,
			"signin":  signIn,
			"answer":  answerDevice,
		},
	})
}

// exits runs gatehouse and wants this exit code: exits CODE ARGS...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	err := ts.Exec("gatehouse", args[1:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// patience bounds how long a gateway may take to serve on a busy machine.
const patience = 2 * time.Minute

// await waits until a background command listens on a socket, or has written
// to a file, this text if it is given: await FILE [TEXT].
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: await FILE [TEXT]")
	}
	text := strings.Join(args[1:], "")
	path := ts.MkAbs(args[0])
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		if content, err := os.ReadFile(path); err == nil && len(content) > 0 && strings.Contains(string(content), text) {
			return
		}
		if conn, err := net.Dial("unix", path); err == nil {
			ts.Check(conn.Close())
			return
		}
	}
	ts.Fatalf("%s does not come", args[0])
}

// signIn signs somebody of the demo in, by what the demo has printed, and lets
// commands reach the tenant by $SERVER and the operators by $OPERATOR: signin
// INFO TENANT EMAIL.
func signIn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: signin INFO TENANT EMAIL")
	}
	var info demo.Info
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &info))
	client, err := info.Client()
	ts.Check(err)
	ts.Check(info.SignIn(context.Background(), client, args[1], args[2]))
	ts.Setenv("SSL_CERT_FILE", info.CA)
	server, err := url.Parse(info.Tenants[args[1]].URL)
	ts.Check(err)
	ts.Setenv("SERVER", server.String())
	ts.Setenv("PORT", server.Port())
	ts.Setenv("OPERATOR", info.Operator.URL)
	ts.Setenv("OPERATOR_TOKEN", info.Operator.Token)
	ts.Setenv("GATEHOUSE_TOKEN", info.Tenants[args[1]].APIToken)
}

// capture keeps what a pattern's group matches in the last stdout: capture
// NAME PATTERN.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	match := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(match) != 2 {
		ts.Fatalf("%s does not match stdout", args[1])
	}
	ts.Setenv(args[0], match[1])
}

// flip changes one byte in the middle of the newest file of a folder: flip DIR.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip DIR")
	}
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*", "*"))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("%s is empty", args[0])
	}
	content, err := os.ReadFile(files[0])
	ts.Check(err)
	changed := bytes.Clone(content)
	changed[len(changed)/2] ^= 1
	ts.Check(os.WriteFile(files[0], changed, 0o600))
}
