package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
)

// The test binary runs itself as a node where the real thing is needed: a
// process that is stopped as a whole.
func TestMain(m *testing.M) {
	if os.Getenv("CLUSTER_TEST_NODE") != "" {
		if err := runNode(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	clustertest.Together(12)
	os.Exit(m.Run())
}

// TestP2_AProcessThatIsStopped stops a node's whole process: it cannot know that
// time has passed, and the first thing that it does afterwards is to answer.
func TestP2_AProcessThatIsStopped(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a, b := w.node("a", server.URL()), w.node("b", server.URL())
	w.start(a, b)
	c := w.process("c", server.URL())
	clustertest.Until(t, "c is fresh", func() bool { return c.ask("fresh") })
	for round := range 6 {
		clustertest.Until(t, "c is fresh and a member", func() bool {
			all, err := w.revoke(a)
			ok, _ := confirms(all, "c")
			return err == nil && ok && c.ask("fresh")
		})
		next := fmt.Sprint("key-", w.count)
		if !c.ask(next) {
			t.Fatalf("c does not answer for %s before it is revoked", next)
		}
		redistest.Stop(t, c.command.Process)
		if round%2 == 1 { // goes on while it is waited for
			go func() {
				pause(t.Context(), cluster.Lease*3/4)
				c.signal(syscall.SIGCONT)
			}()
			w.mustRevoke(a)
		} else {
			all := w.mustRevoke(a)
			if ok, known := confirms(all, "c"); ok || !known {
				t.Errorf("round %d: a process that stands still confirms, or is not told of: %+v", round, all)
			}
			c.say(next)
			c.signal(syscall.SIGCONT)
			if c.hear() {
				t.Errorf("round %d: c answers for %s as the first thing that it does", round, next)
			}
		}
		if c.ask(next) {
			t.Errorf("round %d: c answers for %s", round, next)
		}
	}
}

// TestP2_ANodeThatDiesBeforeItPublishes commits a revocation, and is killed. The
// others find it by themselves, and go on meanwhile.
func TestP2_ANodeThatDiesBeforeItPublishes(t *testing.T) {
	t.Parallel()
	untilCalm(t, func(t *testing.T) (calm bool) {
		server := redistest.Start(t)
		w := newWorld(t)
		a, b := w.node("a", server.URL()), w.node("b", server.URL())
		w.start(a, b)
		c := w.process("c", server.URL())
		clustertest.Until(t, "c is a member", func() bool { return slices.Contains(a.State().Members, "c") && slices.Contains(b.State().Members, "c") })
		before := []uint64{a.State().Gaps, b.State().Gaps}
		const key = "key-4999"
		if !c.ask("commit " + key) {
			t.Fatal("not committed")
		}
		c.kill()
		for _, p := range w.peers {
			clustertest.Until(t, p.name+" has found it", func() bool { return !p.holds(key) })
		}
		return slices.Equal(before, []uint64{a.State().Gaps, b.State().Gaps})
	})
}

// process is a node in a process of its own. It is asked for keys, and answers
// whether it would serve them from memory, or told to commit the end of one.
type process struct {
	t       *testing.T
	command *exec.Cmd
	in      io.Writer
	out     *bufio.Reader
	killed  bool
}

func (w *world) process(name, url string) *process {
	w.t.Helper()
	socket := filepath.Join(w.t.TempDir(), "sql")
	l, err := net.Listen("unix", socket)
	if err != nil {
		w.t.Fatal(err)
	}
	sql := rpc.NewServer()
	if err := sql.RegisterName("SQL", &sqlServer{world: w, way: w.memory.Way()}); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go sql.ServeConn(c)
		}
	}()
	p := &process{t: w.t, command: exec.Command(os.Args[0])}
	p.command.Env = append(os.Environ(), "CLUSTER_TEST_NODE="+name, "CLUSTER_TEST_REDIS="+url, "CLUSTER_TEST_SQL="+socket, "CLUSTER_TEST_ENVIRONMENT="+w.t.Name())
	p.command.Stderr = os.Stderr
	in, err := p.command.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := p.command.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		w.t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	w.t.Cleanup(func() {
		defer func() { _ = l.Close() }()
		if p.killed {
			return
		}
		p.signal(syscall.SIGCONT)
		_ = in.Close()
		if err := p.command.Wait(); err != nil {
			w.t.Errorf("the node's process: %v", err)
		}
	})
	return p
}

// kill ends the process at once, as kill -9 does.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	_ = p.command.Wait()
	p.killed = true
}

func (p *process) signal(s syscall.Signal) {
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

func (p *process) say(key string) {
	if _, err := fmt.Fprintln(p.in, key); err != nil {
		p.t.Error(err)
	}
}

func (p *process) hear() bool {
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Error(err)
	}
	return strings.TrimSpace(line) == "true"
}

func (p *process) ask(key string) bool { p.say(key); return p.hear() }

// runNode is the process: a node with a cache, until its input ends.
func runNode() error {
	client, err := rpc.Dial("unix", os.Getenv("CLUSTER_TEST_SQL"))
	if err != nil {
		return err
	}
	sql := &sqlClient{client}
	b, err := cluster.NewRedis(cluster.Options{URL: os.Getenv("CLUSTER_TEST_REDIS"), Node: os.Getenv("CLUSTER_TEST_NODE"),
		Environment: os.Getenv("CLUSTER_TEST_ENVIRONMENT"), Arbiter: sql, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	cache := map[string]bool{}
	keys, err := call[[]string](context.Background(), client, "Truth", 0)
	if err != nil {
		return err
	}
	for _, key := range keys {
		cache[key] = true
	}
	b.Subscribe("revoke", func(_ context.Context, m cluster.Message) func(context.Context) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		delete(cache, string(m.Body))
		return nil
	})
	b.OnGap(func(ctx context.Context) error {
		keys, err := call[[]string](ctx, client, "Truth", 0)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		maps.DeleteFunc(cache, func(key string, _ bool) bool { return !slices.Contains(keys, key) })
		return nil
	})
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = b.Run(ctx) })
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if key, ok := strings.CutPrefix(lines.Text(), "commit "); ok {
			_, err := call[int](ctx, client, "Commit", key)
			fmt.Println(err == nil)
			continue
		}
		fresh := b.Fresh()
		mu.Lock()
		fmt.Println(fresh && (lines.Text() == "fresh" || cache[lines.Text()]))
		mu.Unlock()
	}
	stop()
	group.Wait()
	return b.Close()
}

// sqlServer is the Arbiter and the truth, for another process.
type sqlServer struct {
	world *world
	way   *clustertest.Way
}

type advance struct {
	From   cluster.Epoch
	Server string
}
type outbox struct {
	Messages []cluster.Message
	Last     uint64
}

func (s *sqlServer) Truth(_ int, keys *[]string) error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	*keys = slices.Collect(maps.Keys(s.world.truth))
	return nil
}

func (s *sqlServer) Commit(key string, _ *int) error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	delete(s.world.truth, key)
	return nil
}

func (s *sqlServer) Epoch(_ int, e *cluster.Epoch) (err error) {
	*e, err = s.way.Epoch(context.Background())
	return err
}

func (s *sqlServer) Advance(a advance, e *cluster.Epoch) (err error) {
	*e, err = s.way.Advance(context.Background(), a.From, a.Server)
	return err
}

func (s *sqlServer) Append(m cluster.Message, _ *int) error {
	return s.way.Append(context.Background(), m)
}

func (s *sqlServer) Outbox(after uint64, o *outbox) (err error) {
	o.Messages, o.Last, err = s.way.Outbox(context.Background(), after)
	return err
}

func (s *sqlServer) Apart(node string, _ *int) error {
	return s.way.Apart(context.Background(), node)
}

// sqlClient is the Arbiter in the other process.
type sqlClient struct{ *rpc.Client }

func call[Answer any](ctx context.Context, c *rpc.Client, method string, args any) (Answer, error) {
	answer := new(Answer)
	done := c.Go("SQL."+method, args, answer, make(chan *rpc.Call, 1)).Done
	select {
	case d := <-done:
		if d.Error != nil && d.Error.Error() == cluster.ErrOvertaken.Error() {
			return *answer, cluster.ErrOvertaken
		}
		return *answer, d.Error
	case <-ctx.Done():
		return *new(Answer), ctx.Err()
	}
}

func (c *sqlClient) Epoch(ctx context.Context) (cluster.Epoch, error) {
	return call[cluster.Epoch](ctx, c.Client, "Epoch", 0)
}

func (c *sqlClient) Advance(ctx context.Context, from cluster.Epoch, server string) (cluster.Epoch, error) {
	return call[cluster.Epoch](ctx, c.Client, "Advance", advance{from, server})
}

func (c *sqlClient) Append(ctx context.Context, m cluster.Message) error {
	_, err := call[int](ctx, c.Client, "Append", m)
	return err
}

func (c *sqlClient) Outbox(ctx context.Context, after uint64) ([]cluster.Message, uint64, error) {
	o, err := call[outbox](ctx, c.Client, "Outbox", after)
	return o.Messages, o.Last, err
}

func (c *sqlClient) Apart(ctx context.Context, node string) error {
	_, err := call[int](ctx, c.Client, "Apart", node)
	return err
}
