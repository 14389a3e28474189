package clustertest

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/fault"
)

// Patience is how long a test waits for what must happen, on a busy machine.
const Patience = 2 * time.Minute

// Together lets up to n tests run at a time unless -parallel says how many: they
// wait for leases to run out, and need little of the machine. TestMain calls it.
func Together(n int) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if f := flag.Lookup("test.parallel"); f != nil && !said {
		_ = f.Value.Set(strconv.Itoa(n))
	}
}

// Until waits until it is so.
func Until(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so in time: %s", what)
		}
	}
}

// Start runs buses until the test ends, and waits until all are fresh.
func Start(t testing.TB, buses ...cluster.Bus) {
	t.Helper()
	for _, b := range buses {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			err := b.Close()
			if err := errors.Join(<-ended, err); err != nil {
				t.Errorf("the end of a bus: %v", err)
			}
			if b.Fresh() || b.Apart() {
				t.Error("a bus that is closed still answers")
			}
		})
	}
	for _, b := range buses {
		Until(t, "fresh", b.Fresh)
	}
}

// Bus puts buses through the suite. open is called once per test and makes the
// nodes of a new cluster, not yet running; the suite runs and closes them.
func Bus(t *testing.T, open func(t *testing.T) []cluster.Bus) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, nodes []*node)
	}{
		{"P2 Publish returns when every node has applied", everywhere},
		{"P2 Publish returns when every wait is over, with the reports", reports},
		{"P2 a wait that fails is owned up to", failedWait},
		{"P2 who gives up is told that it is not done", givenUp},
		{"messages come to all in one order, each once", oneOrder},
		{"a slow wait holds up nobody", slowWait},
		{"a topic nobody applies is confirmed", unknownTopic},
		{"what is too large is refused", tooLarge},
		{"Close waits for the waits, and then nothing answers", closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var nodes []*node
			for _, b := range open(t) {
				n := &node{Bus: b}
				b.Subscribe("test", n.apply)
				nodes = append(nodes, n)
			}
			for _, n := range nodes {
				Start(t, n.Bus)
			}
			c.test(t, nodes)
		})
	}
}

// node is a bus with what was applied there.
type node struct {
	cluster.Bus
	mu      sync.Mutex
	applied []string
	wait    func(ctx context.Context, body string) ([]byte, error) // nil: none
}

func (n *node) apply(_ context.Context, m cluster.Message) func(context.Context) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.applied = append(n.applied, string(m.Body))
	if n.wait == nil {
		return nil
	}
	wait, body := n.wait, string(m.Body)
	return func(ctx context.Context) ([]byte, error) { return wait(ctx, body) }
}

func (n *node) waitWith(wait func(context.Context, string) ([]byte, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wait = wait
}

func (n *node) has() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.applied)
}

func text(body string) cluster.Message {
	return cluster.Message{Topic: "test", Tenant: "ten_acme", Body: []byte(body)}
}

func publish(t *testing.T, n *node, body string) []cluster.Confirmation {
	t.Helper()
	all, err := n.Publish(t.Context(), text(body))
	if err != nil {
		t.Fatalf("publish: %v (%+v)", err, all)
	}
	return all
}

func everywhere(t *testing.T, nodes []*node) {
	for round := range 20 {
		body := fmt.Sprint(round)
		publish(t, nodes[round%len(nodes)], body)
		for i, n := range nodes {
			if got := n.has(); !slices.Contains(got, body) && n.Fresh() {
				t.Fatalf("node %d is fresh and has not applied message %d", i, round)
			}
		}
	}
}

// calm repeats what a test does until no lease has run out meanwhile. On a
// machine that is busy for seconds that happens, and is right.
func calm(t *testing.T, nodes []*node, do func() []cluster.Confirmation) {
	t.Helper()
	for range 20 {
		for _, n := range nodes {
			n.mu.Lock()
			n.applied = nil
			n.mu.Unlock()
			Until(t, "fresh", n.Fresh)
		}
		all := do()
		if t.Failed() || !slices.ContainsFunc(all, func(c cluster.Confirmation) bool { return !c.Confirmed && c.Problem == "" }) {
			return
		}
	}
	t.Fatal("the machine is too busy: leases run out all the time")
}

func reports(t *testing.T, nodes []*node) {
	var over atomic.Int32
	for i, n := range nodes {
		n.waitWith(func(context.Context, string) ([]byte, error) {
			over.Add(1)
			return json.Marshal(map[string]int{"closed": i})
		})
	}
	var waits int
	var all []cluster.Confirmation
	calm(t, nodes, func() []cluster.Confirmation {
		over.Store(0)
		all = publish(t, nodes[0], "x")
		waits = int(over.Load())
		return all
	})
	if waits != len(nodes) {
		t.Errorf("%d of %d waits were over when Publish returned", waits, len(nodes))
	}
	var told []string
	for _, c := range all {
		if !c.Confirmed || c.Problem != "" || c.Node == "" {
			t.Errorf("not confirmed: %+v", c)
		}
		told = append(told, string(c.Report))
	}
	slices.Sort(told)
	for i := range nodes {
		if want := fmt.Sprintf(`{"closed":%d}`, i); i >= len(told) || told[i] != want {
			t.Fatalf("the reports are %q, wanted %q among them", told, want)
		}
	}
}

func failedWait(t *testing.T, nodes []*node) {
	last := nodes[len(nodes)-1]
	last.waitWith(func(context.Context, string) ([]byte, error) { return nil, errors.New("a stream stays") })
	var all []cluster.Confirmation
	var err error
	calm(t, nodes, func() []cluster.Confirmation {
		all, err = nodes[0].Publish(t.Context(), text("x"))
		return all
	})
	if !errors.Is(err, cluster.ErrUnconfirmed) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("the error is %v", err)
	}
	i := slices.IndexFunc(all, func(c cluster.Confirmation) bool { return c.Problem != "" })
	if i < 0 || len(all) != len(nodes) || all[i].Confirmed || all[i].Problem != "a stream stays" {
		t.Errorf("told is %+v", all)
	}
	last.waitWith(func(context.Context, string) ([]byte, error) { return make([]byte, cluster.MaxReport+1), nil })
	calm(t, nodes, func() []cluster.Confirmation {
		all, err = nodes[0].Publish(t.Context(), text("y"))
		return all
	})
	if !errors.Is(err, cluster.ErrUnconfirmed) {
		t.Errorf("a report that is too large gives %v", err)
	}
}

func givenUp(t *testing.T, nodes []*node) {
	last := nodes[len(nodes)-1]
	waiting := make(chan struct{})
	last.waitWith(func(ctx context.Context, _ string) ([]byte, error) {
		close(waiting)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, giveUp := context.WithCancel(t.Context())
	go func() { <-waiting; giveUp() }()
	if all, err := nodes[0].Publish(ctx, text("x")); !errors.Is(err, cluster.ErrUnconfirmed) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("who gave up is told %+v, %v", all, err)
	}
}

func oneOrder(t *testing.T, nodes []*node) {
	const lanes, each = 10, 50
	publishers := nodes[:min(2, len(nodes))]
	calm(t, nodes, func() (told []cluster.Confirmation) {
		var group sync.WaitGroup
		var mu sync.Mutex
		for p, n := range publishers {
			for l := range lanes { // at once, so that they cross each other
				group.Go(func() {
					for i := range each {
						all, err := n.Publish(t.Context(), text(fmt.Sprintf("%d/%d/%d", p, l, i)))
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						told = append(told, all...)
						mu.Unlock()
					}
				})
			}
		}
		group.Wait()
		for _, n := range nodes {
			Until(t, "all has come", func() bool { return len(n.has()) == lanes*each*len(publishers) || t.Failed() })
		}
		return told
	})
	first := nodes[0].has()
	for p := range publishers {
		for l := range lanes {
			last := -1
			for i := range each {
				at := slices.Index(first, fmt.Sprintf("%d/%d/%d", p, l, i))
				if at <= last {
					t.Fatalf("message %d/%d/%d stands at %d, the one before it at %d", p, l, i, at, last)
				}
				last = at
			}
		}
	}
	for i, n := range nodes {
		if !slices.Equal(n.has(), first) {
			t.Errorf("node %d has applied another order than node 0", i)
		}
	}
}

func slowWait(t *testing.T, nodes []*node) {
	release := make(chan struct{})
	last := nodes[len(nodes)-1]
	last.waitWith(func(ctx context.Context, body string) ([]byte, error) {
		if body != "slow" {
			return nil, nil
		}
		select {
		case <-release:
			return []byte(`"released"`), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	slow := make(chan error, 1)
	go func() {
		all, err := nodes[0].Publish(t.Context(), text("slow"))
		if !slices.ContainsFunc(all, func(c cluster.Confirmation) bool { return string(c.Report) == `"released"` }) {
			err = errors.Join(err, fmt.Errorf("told is %+v", all))
		}
		slow <- err
	}()
	Until(t, "the slow message is applied", func() bool { return slices.Contains(last.has(), "slow") })
	// For longer than a lease, others get through and the node stays fresh.
	for i, end := 0, time.Now().Add(cluster.Lease+cluster.Lease/2); time.Now().Before(end); i++ {
		publish(t, nodes[0], fmt.Sprint(i))
		Until(t, "fresh", last.Fresh)
	}
	select {
	case err := <-slow:
		t.Fatalf("Publish has not waited: %v", err)
	default:
	}
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

func unknownTopic(t *testing.T, nodes []*node) {
	calm(t, nodes, func() []cluster.Confirmation {
		all, err := nodes[0].Publish(t.Context(), cluster.Message{Topic: "nobody's"})
		if err != nil {
			t.Errorf("told is %+v, %v", all, err)
		}
		return all
	})
}

func tooLarge(t *testing.T, nodes []*node) {
	publish(t, nodes[0], string(make([]byte, cluster.MaxBody)))
	for name, m := range map[string]cluster.Message{
		"body":     text(string(make([]byte, cluster.MaxBody+1))),
		"topic":    {Topic: string(make([]byte, 65))},
		"no topic": {},
		"tenant":   {Topic: "test", Tenant: "ten_0123456789012345678901234567890123456789012345678901234567890123456789"},
	} {
		if _, err := nodes[0].Publish(t.Context(), m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := nodes[0].has(); len(got) != 1 {
		t.Errorf("%d messages were applied", len(got))
	}
}

func closed(t *testing.T, nodes []*node) {
	last := nodes[len(nodes)-1]
	waiting, over := make(chan struct{}), make(chan struct{})
	last.waitWith(func(ctx context.Context, _ string) ([]byte, error) {
		close(waiting)
		<-ctx.Done()
		close(over)
		return nil, ctx.Err()
	})
	done := make(chan struct{})
	go func() { defer close(done); _, _ = last.Publish(t.Context(), text("x")) }()
	<-waiting
	if err := last.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-over:
	default:
		t.Error("Close has returned before the wait")
	}
	<-done
	if last.Fresh() || last.Apart() || last.State().Mode != cluster.ModeLost {
		t.Errorf("closed, its state is %+v", last.State())
	}
	if _, err := last.Publish(t.Context(), text("y")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("publishing on what is closed gives %v", err)
	}
}
