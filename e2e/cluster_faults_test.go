package e2e

import (
	"context"
	"fmt"
	"io"
	random "math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/redistest"
)

// clusterFault takes a part of a running fleet away.
type clusterFault struct {
	name string
	// take begins it, and mend ends it, some time later. The node is one by chance.
	take func(t *testing.T, f *fleet, n *node) (mend func())
	// mute: the node answers nothing meanwhile, so it is not asked to sign anybody
	// out.
	mute bool
}

var clusterFaults = []clusterFault{
	{"node stopped", func(t *testing.T, _ *fleet, n *node) func() {
		redistest.Stop(t, n.cmd.Process)
		return func() { n.goOn(t) }
	}, true},
	{"node killed", func(t *testing.T, f *fleet, n *node) func() {
		n.kill()
		return func() { f.start(t, n) }
	}, false},
	{"Redis killed", func(t *testing.T, f *fleet, _ *node) func() {
		master, _ := f.master(t)
		master.Kill()
		return master.Restart // the sentinel may have chosen the other by now
	}, false},
	{"Redis paused", func(t *testing.T, f *fleet, _ *node) func() {
		master, _ := f.master(t)
		master.Pause()
		return master.Continue
	}, false},
	{"failover to a replica that lags", failOver, false},
	{"Redis flushed", func(t *testing.T, f *fleet, _ *node) func() {
		master, _ := f.master(t)
		master.Do("FLUSHALL")
		return func() {}
	}, false},
	{"PostgreSQL restarted", func(t *testing.T, f *fleet, _ *node) func() {
		if heads() {
			f.sql.Pause(t)
			return func() { f.sql.Continue(t) }
		}
		f.sql.Kill(t)
		return func() { f.sql.Restart(t) }
	}, false},
	{"node cut off from Redis", func(_ *testing.T, f *fleet, _ *node) func() {
		f.way.Cut()
		return func() {
			if heads() {
				f.way.Reset()
			}
			f.way.Mend()
		}
	}, false},
}

// failOver has the sentinel choose a replica that has missed what was written
// last. The master is dead, or comes back and believes that it still is one.
func failOver(t *testing.T, f *fleet, _ *node) func() {
	master, replica := f.master(t)
	replica.Pause()
	master.Do("CLIENT", "KILL", "TYPE", "replica") // what it has not read by now it never will
	atSomeMoment(t.Context(), time.Second)
	stop, back := master.Pause, master.Continue
	if heads() {
		stop, back = master.Kill, master.Restart
	}
	stop()
	replica.Continue()
	return func() {
		soon(t, "the failover", func() bool { now, _ := f.master(t); return now == replica })
		back()
	}
}

func heads() bool { return random.IntN(2) == 0 } // #nosec G404 -- a choice, not a secret

// atSomeMoment waits, for some time up to that.
func atSomeMoment(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(random.N(most)): // #nosec G404 -- a moment, not a secret
	case <-ctx.Done():
	}
}

// goOn ends a stop.
func (n *node) goOn(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// paired makes the Redis that is not the master its replica again, as whoever
// looks after it would.
func (f *fleet) paired(t *testing.T) {
	t.Helper()
	soon(t, "the end of a failover", func() bool {
		told, _ := f.sentinel.Do("SENTINEL", "MASTER", "main").([]any)
		flags := slices.Index(told, any("flags"))
		return flags >= 0 && told[flags+1] == "master"
	})
	master, replica := f.master(t)
	replica.Follow(master)
}

// TestP2_ClusterFaults signs people out, by nodes taken by chance and at moments
// that nobody chose, while a part of the fleet is taken away and comes back.
// Nothing of them passes after the answer, from none of the nodes and however
// often the answer had to be asked for (P2); it stays so (P8); who is not signed
// out is never told so; and service is back by itself.
func TestP2_ClusterFaults(t *testing.T) {
	rounds := of(1, 50)
	const leaving = 3 // in each round
	f := newFleet(t, rounds*leaving*len(clusterFaults)+1)
	stays, next := f.sit(t, 0, 1)[0], 1
	var all []*guest
	for _, fault := range clusterFaults {
		t.Run(strings.ReplaceAll(fault.name, " ", "_"), func(t *testing.T) {
			var calls tally
			for range rounds {
				guests := f.sit(t, next, leaving)
				next += leaving
				f.suffer(t, fault, guests, stays, &calls)
				if all = append(all, guests...); t.Failed() {
					return
				}
			}
			t.Log(&calls)
		})
		if t.Failed() {
			return
		}
	}
	for _, g := range all {
		for _, n := range f.nodes {
			g.out(t, n)
		}
	}
	f.tight(t)
}

// suffer is a round.
func (f *fleet) suffer(t *testing.T, fault clusterFault, guests []*guest, stays *guest, calls *tally) {
	hit := f.any()
	var spared []*node
	if fault.mute {
		spared = append(spared, hit)
	}
	for _, g := range guests {
		g.hold(t, hit, f.any())
		for i, n := range f.nodes {
			<-g.hammer(t, n, f.client(i))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watching, calling sync.WaitGroup
	for i, n := range f.nodes {
		watching.Go(func() { stays.stay(ctx, t, n, f.client(i)) })
	}
	for _, g := range guests {
		calling.Go(func() {
			atSomeMoment(ctx, cluster.Lease)
			g.insist(t, calls, spared...)
			g.leave()
		})
	}
	atSomeMoment(ctx, cluster.Lease/2)
	mend := fault.take(t, f, hit)
	atSomeMoment(ctx, 3*cluster.Lease/2)
	mend()
	calling.Wait()
	for _, g := range guests {
		g.left(t)
	}
	f.well(t)
	cancel()
	watching.Wait()
	f.paired(t)
	f.tight(t)
	for _, n := range f.nodes {
		for _, g := range guests {
			g.out(t, n)
		}
		if got := stays.ask(t, n); got != http.StatusOK {
			t.Errorf("who was not signed out is answered %d by node %d", got, n.number)
		}
	}
}

// tally is what became of calls.
type tally struct {
	mu      sync.Mutex
	refused map[string]int  // by why
	took    []time.Duration // of those that were answered with success
}

// problemCode is the code of an answer that is a problem (RFC 9457).
var problemCode = regexp.MustCompile(`urn:gatehouse:problem:([a-z-]+)`)

func (c *tally) refuse(err error) {
	why := "not answered"
	if code := problemCode.FindStringSubmatch(err.Error()); code != nil {
		why = code[1]
	}
	if c.refused == nil {
		c.refused = map[string]int{}
	}
	c.refused[why]++
}

func (c *tally) String() string {
	slices.Sort(c.took)
	return fmt.Sprintf("%d signed out, calls that had to be repeated: %v; p50 %v, p99 %v, longest %v",
		len(c.took), c.refused, c.took[len(c.took)/2], c.took[len(c.took)*99/100], c.took[len(c.took)-1])
}

// insist signs the guest out, as often as it takes, and gives the answer.
func (g *guest) insist(t *testing.T, calls *tally, spared ...*node) *revocationAnswer {
	for until := time.Now().Add(patience); ; breathe(t.Context()) {
		n := g.any(spared...)
		soonEnough := within(callBound)
		answer, took, err := g.call(t.Context(), n)
		if !soonEnough() {
			t.Errorf("node %d answered after %v: %v", n.number, took, err)
		}
		calls.mu.Lock()
		if err == nil {
			calls.took = append(calls.took, took)
			calls.mu.Unlock()
			return answer
		}
		calls.refuse(err)
		calls.mu.Unlock()
		if t.Context().Err() != nil || time.Now().After(until) {
			t.Errorf("node %d does not sign out: %v", n.number, err)
			return &revocationAnswer{}
		}
	}
}

// stay uses a session that nobody signs out. A node may be gone, or not be sure
// (P7), but it must not say that the session is over.
func (g *guest) stay(ctx context.Context, t *testing.T, n *node, client *http.Client) {
	for ; ctx.Err() == nil; breathe(ctx) {
		resp, err := client.Do(g.at(n)().request(ctx, http.MethodGet, "/", nil))
		if err != nil {
			continue
		}
		said, _ := io.ReadAll(resp.Body) // it may be cut
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("who is not signed out is answered %s by node %d: %s", resp.Status, n.number, said)
			return
		}
	}
}
