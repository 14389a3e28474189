package cluster_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
)

// chaos is for longer runs by hand: go test -run Chaos -chaos 10m.
var chaos = flag.Duration("chaos", 10*time.Second, "how long TestP2_Chaos goes on")

// TestP2_Chaos does one thing after the other to Redis and to the nodes' ways to
// it, in no order and with no pause, or takes SQL away from all while Redis is
// well, and watches P2 all the while. Two faults at once that are not the same
// for all nodes are the protocol's known limit (docs/sessions.md), so they do not
// happen here.
func TestP2_Chaos(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a, b, c := w.nodeThrough("a", server), w.nodeThrough("b", server), w.node("c", server.URL())
	w.start(a, b, c)
	w.untilAllConfirm(a, a, b, c)
	stop := w.keepRevoking(a, b, b, c)

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	wait := func(most time.Duration) { pause(t.Context(), time.Duration(random.Int64N(int64(most)))) }
	faults := []func(){
		func() { server.Do("FLUSHALL") },
		func() { server.Do("CLIENT", "KILL", "TYPE", "normal") },
		func() { server.Kill(); wait(cluster.Lease); server.Empty(); server.Restart() },
		func() { server.Do("SAVE"); wait(time.Second); server.Kill(); server.Restart() },
		func() { server.Pause(); wait(3 * cluster.Lease / 2); server.Continue() },
		func() { a.proxy.Cut(); wait(2 * cluster.Lease); a.proxy.Mend() },
		func() { b.proxy.Cut(); wait(2 * cluster.Lease); b.proxy.Reset(); b.proxy.Mend() },
		func() {
			a.proxy.Cut()
			b.proxy.Cut()
			wait(cluster.Lease)
			b.proxy.Mend()
			wait(cluster.Lease)
			a.proxy.Mend()
		},
		func() {
			free := make(chan struct{})
			c.setStuck(free)
			wait(2 * cluster.Lease)
			c.setStuck(nil)
			close(free)
		},
		func() {
			clustertest.Until(t, "all is well before SQL is lost", func() bool { return a.Fresh() && b.Fresh() && c.Fresh() })
			for _, p := range w.peers {
				p.way.Cut()
			}
			wait(2 * cluster.Lease)
			for _, p := range w.peers {
				p.way.Mend()
			}
		},
	}
	for end := time.Now().Add(*chaos); time.Now().Before(end) && !t.Failed(); wait(cluster.Lease) {
		faults[random.IntN(len(faults))]()
	}
	w.untilAllConfirm(a, a, b, c)
	done, failed := stop()
	t.Logf("%d revoked, %d failed", done, failed)
	w.untilAllConfirm(b, a, b, c)
	if done == 0 {
		t.Error("nothing could be revoked")
	}
}
