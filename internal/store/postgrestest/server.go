// Package postgrestest runs a real PostgreSQL for tests: one server per test
// binary, a database per test, or a server of its own for a test that lets it
// fail.
//
// It exists so that what is said of PostgreSQL is tried on it. A test never
// passes without it: where it is not installed, the test fails and says what to
// install. It must not be used outside tests.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Passwords of the roles, of a form that is found again in a log.
const (
	// ApplicationPassword is the password of the role gatehouse_app.
	ApplicationPassword = "app-hunter2"
	ownerPassword       = "owner-hunter2"
	adminPassword       = "admin-hunter2"

	startWait = 2 * time.Minute
)

// Server is a running PostgreSQL. Its default collation is not that of bytes,
// as on most servers.
type Server struct {
	bin, dir string
	port     int
	runner   *exec.Cmd
	lifeline io.Closer // the server ends when this closes, so also when the test binary dies
	identity *syscall.Credential
	fsync    string // "on" or "off"

	mu   sync.Mutex
	made int        // databases
	free []Database // that a test has used and left clean
}

// Start starts a server for one test.
func Start(t testing.TB) *Server {
	t.Helper()
	return startFor(t, "off")
}

// StartDurable is [Start] of a server that waits for its disk, as everywhere but in
// tests: for benchmarks.
func StartDurable(t testing.TB) *Server {
	t.Helper()
	return startFor(t, "on")
}

func startFor(t testing.TB, fsync string) *Server {
	t.Helper()
	s, err := start("", fsync)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(), os.RemoveAll(s.dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start makes a server whose folder is removed by the test, or with its end if
// after is "remove".
func start(after, fsync string) (s *Server, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	for range 3 { // somebody else may take its port in between
		s = &Server{bin: bin, fsync: fsync}
		if err = s.install(); err != nil {
			return nil, err
		}
		if err = s.run(after); err == nil {
			return s, s.prepare()
		}
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return nil, err
}

// install makes the server's folder.
func (s *Server) install() (err error) {
	if s.dir, err = os.MkdirTemp("", "postgrestest-"); err != nil {
		return err
	}
	if os.Geteuid() == 0 { // which it refuses to run as
		if s.identity, err = nobody(s.dir); err != nil {
			return err
		}
	}
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(adminPassword), 0o600); err != nil {
		return err
	}
	if s.identity != nil {
		if err := os.Chown(password, int(s.identity.Uid), int(s.identity.Gid)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	initdb := exec.CommandContext(ctx, // #nosec G204 -- the installed one, on a folder of ours
		filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", "postgres", "--pwfile", password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en", "--wal-segsize=1", "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.identity}
	initdb.Dir = s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	s.port, err = freePort()
	return err
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// script keeps the server running until its input ends. What it has committed
// outlives the server, as everywhere, and not the system under it unless fsync is on: no
// test ends that, and all of them would wait for the disk.
const script = `"$0"/postgres -D "$1"/data -p "$2" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
  -c fsync="$4" </dev/null &
read -r _
kill -INT $!
wait $!
[ "$3" = remove ] && rm -rf "$1"`

func (s *Server) run(after string) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own
	// #nosec G204 -- a script of ours
	s.runner = exec.CommandContext(context.Background(), "/bin/sh", "-c", script, s.bin, s.dir, strconv.Itoa(s.port), after, s.fsync)
	s.runner.Dir = s.dir
	s.runner.Stdout, s.runner.Stderr = log, log
	s.runner.SysProcAttr = &syscall.SysProcAttr{Credential: s.identity, Setpgid: true}
	if s.lifeline, err = s.runner.StdinPipe(); err != nil {
		return err
	}
	if err := s.runner.Start(); err != nil {
		return err
	}
	return s.await(log.Name())
}

// await waits until the server answers.
func (s *Server) await(log string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres", adminPassword, "postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		said, readErr := os.ReadFile(log)
		if readErr != nil {
			return readErr
		}
		if ctx.Err() != nil || bytes.Contains(said, []byte("FATAL:  could not")) {
			return errors.Join(fmt.Errorf("PostgreSQL does not start: %w\n%s", err, said), s.Stop())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Stop ends the server as an operator would; [Server.Restart] brings it back.
func (s *Server) Stop() error {
	_ = s.lifeline.Close()
	_ = s.runner.Wait() // says how the shell ended
	return nil
}

// Restart starts a server that was stopped or killed, on its data and port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.run(""); err != nil {
		t.Fatal(err)
	}
}

// Kill ends every process of the server at once, as a power cut would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
}

// Pause makes the server hang: its connections stay, and nothing answers.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
}

// Continue ends a pause.
func (s *Server) Continue(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
}

// signal reaches the postmaster, and then its children, each of which is in a
// group of its own.
func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	send := func(pid int) {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
	}
	send(postmaster)
	for _, child := range children(t, postmaster) {
		send(child)
	}
}

// children reads who the children of a process are (proc(5), stat, field 4).
func children(t testing.TB, parent int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func (s *Server) url(role, password, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", role, password, s.port, database)
}

// binaries finds the newest installed version.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		if path, err := exec.LookPath("postgres"); err == nil {
			return filepath.Dir(path), nil
		}
		return "", errors.New("this test needs PostgreSQL: run make parts, or install the package postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // a folder of another name is the oldest
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// nobody gives the folder to the system's user for PostgreSQL.
func nobody(dir string) (*syscall.Credential, error) {
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid) // #nosec G115 -- ids of the system
}

func freePort() (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }() // whoever comes next may have it
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
