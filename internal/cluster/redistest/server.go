// Package redistest runs real Redis for tests: servers, replicas and Sentinel on
// free loopback ports, and a proxy in between, all of which can be made to fail.
//
// It exists because what must hold when Redis is flushed, killed, paused or cut
// off can only be shown with a Redis to which that happens. It uses the installed
// binaries, and it must not be imported by anything but tests.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// patience is how long anything here may take on a busy machine.
const patience = 2 * time.Minute

// Server is a running redis-server, ended with the test.
type Server struct {
	t        testing.TB
	dir      string
	port     int
	args     []string
	sentinel bool
	process  *process
}

// Start starts an empty server that keeps nothing on disk unless it is told to
// (SAVE). The arguments are redis-server's.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, false, func(*Server) []string { return args })
}

// Replica starts a replica of a server.
func Replica(t testing.TB, of *Server, args ...string) *Server {
	t.Helper()
	s := Start(t, args...)
	s.Follow(of)
	return s
}

// Follow makes the server a replica of another, until it is told otherwise or
// is started again, and returns when it is in step.
func (s *Server) Follow(of *Server) {
	s.t.Helper()
	s.Do("REPLICAOF", "127.0.0.1", of.port)
	s.until("the replica is in step", func(ctx context.Context, c *redis.Client) bool {
		info, err := c.InfoMap(ctx, "replication").Result()
		return err == nil && info["Replication"]["master_link_status"] == "up"
	})
}

// Sentinel starts a Redis Sentinel that watches a server under the name of main
// and fails over to its replicas within a second or two.
func Sentinel(t testing.TB, of *Server) *Server {
	t.Helper()
	s := start(t, true, func(s *Server) []string {
		conf := filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 10000\n", of.port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{conf}
	})
	s.until("Sentinel has found the replicas", func(ctx context.Context, c *redis.Client) bool {
		info, err := c.Do(ctx, "SENTINEL", "replicas", "main").Slice()
		return err == nil && len(info) > 0
	})
	return s
}

func start(t testing.TB, sentinel bool, args func(*Server) []string) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs redis-server")
	}
	s := &Server{t: t, dir: t.TempDir(), sentinel: sentinel}
	t.Cleanup(s.Kill)
	for range 5 { // another process may take the port first
		s.port = freePort(t)
		s.args = args(s)
		if s.launch() {
			return s
		}
	}
	t.Fatalf("redis-server does not start:\n%s", s.process.output())
	return nil
}

func freePort(t testing.TB) int {
	l := listen(t)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func listen(t testing.TB) net.Listener {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// process is one run of the binary.
type process struct {
	command *exec.Cmd
	log     *bytes.Buffer
	ended   chan struct{}
}

func (p *process) output() string {
	if p == nil {
		return ""
	}
	<-p.ended
	return p.log.String()
}

// launch runs the binary and waits for its answer; false if it ended first.
func (s *Server) launch() bool {
	s.t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is not installed: make test installs it, or apt-get install redis-server")
	}
	args := append(append([]string{}, s.args...), "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir)
	if s.sentinel {
		args = append(args, "--sentinel")
	} else {
		args = append(args, "--save", "", "--enable-debug-command", "local", "--repl-diskless-sync-delay", "0")
	}
	p := &process{command: exec.CommandContext(context.Background(), binary, args...), log: &bytes.Buffer{}, ended: make(chan struct{})} // #nosec G204 -- arguments of a test
	p.command.Stdout, p.command.Stderr = p.log, p.log
	if err := p.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	leash := Leash(s.t, p.command.Process)
	go func() { _ = p.command.Wait(); leash(); close(p.ended) }()
	s.process = p
	return s.answers()
}

// Leash ends a process when the test's own process ends without having done so.
// It must be released as soon as the process has ended, whose id may then be
// another's.
func Leash(t testing.TB, p *os.Process) (release func()) {
	t.Helper()
	c := exec.CommandContext(context.Background(), "/bin/sh", "-c", `trap "" HUP INT TERM; read -r _; kill -KILL "$0"`, strconv.Itoa(p.Pid)) // #nosec G204 -- the process' id
	in, err := c.StdinPipe()                                                                                                                 // which the end of this process closes
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = in.Close()
	}
}

func (s *Server) answers() bool {
	client := s.client()
	defer func() { _ = client.Close() }()
	deadline := time.After(patience)
	for {
		if client.Ping(context.Background()).Err() == nil {
			return true
		}
		select {
		case <-s.process.ended:
			return false
		case <-deadline:
			s.Kill()
			s.t.Fatalf("redis-server does not answer:\n%s", s.process.output())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) client() *redis.Client {
	logging.Disable() // of what cannot be reached
	return redis.NewClient(&redis.Options{Addr: s.Addr(), Protocol: 2, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true})
}

func (s *Server) until(what string, ok func(context.Context, *redis.Client) bool) {
	s.t.Helper()
	client := s.client()
	defer func() { _ = client.Close() }()
	for deadline := time.Now().Add(patience); !ok(context.Background(), client); {
		if time.Now().After(deadline) {
			s.t.Fatalf("not so in time: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is the server's, or the one by which Sentinel leads to the master.
func (s *Server) URL() string {
	if s.sentinel {
		return "redis+sentinel://" + s.Addr() + "/main"
	}
	return "redis://" + s.Addr()
}

// Do runs a command, and fails the test if the server refuses it.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	client := s.client()
	defer func() { _ = client.Close() }()
	answer, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// Master is the address to which Sentinel leads.
func (s *Server) Master(ctx context.Context) (string, error) {
	client := s.client()
	defer func() { _ = client.Close() }()
	at, err := client.Do(ctx, "SENTINEL", "get-master-addr-by-name", "main").StringSlice()
	if err != nil || len(at) != 2 {
		return "", fmt.Errorf("redistest: ask Sentinel for the master: %v, %w", at, err)
	}
	return net.JoinHostPort(at[0], at[1]), nil
}

// Pause stops the process as it is; its connections stay open.
func (s *Server) Pause() { s.t.Helper(); Stop(s.t, s.process.command.Process) }

// Continue lets a paused process go on.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

// Kill ends the process at once, as kill -9 does.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	select {
	case <-s.process.ended:
		return
	default:
	}
	s.signal(syscall.SIGKILL)
	<-s.process.ended
}

// Restart starts a killed server again under its address, with what it saved.
func (s *Server) Restart() {
	s.t.Helper()
	if !s.launch() {
		s.t.Fatalf("redis-server does not start again:\n%s", s.process.output())
	}
}

// Empty takes away what a killed server saved.
func (s *Server) Empty() {
	if err := os.Remove(filepath.Join(s.dir, "dump.rdb")); err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
}

// Stop stops a process, and returns when every thread of it stands still. (Where
// there is no /proc it returns a moment before.)
func Stop(t testing.TB, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		running, err := runningThreads(p.Pid)
		if err != nil || running == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d threads still run", running)
		}
	}
}

// runningThreads counts by the state that proc(5) shows behind the name.
func runningThreads(pid int) (running int, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			return 0, err
		}
		if _, state, _ := bytes.Cut(text, []byte(") ")); !bytes.HasPrefix(state, []byte("T")) {
			running++
		}
	}
	return running, err
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.command.Process.Signal(sig); err != nil {
		s.t.Fatalf("%v: %v", sig, err)
	}
}
