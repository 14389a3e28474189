package e2e

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestP2_ClusterUnderLoad signs people out, one session after the other, by nodes
// taken by chance, while every session is used on all of them without a pause and
// has streams open there. Each has signed in at one node only.
func TestP2_ClusterUnderLoad(t *testing.T) {
	revocations := of(100, 1_000)
	const staying, side = fleetSize, 1 // who are not signed out; how many are at one time
	f := newFleet(t, revocations+staying)
	began := time.Now()
	guests := f.sit(t, 0, revocations+staying)
	t.Logf("%d people signed in, in %v", len(guests), time.Since(began).Round(time.Millisecond))
	for i, g := range guests[:staying] {
		g.hold(t, f.nodes[i], f.nodes[(i+1)%fleetSize])
	}
	var mu sync.Mutex
	var calls tally
	var through int64
	leaving := make(chan *guest, revocations)
	for _, g := range guests[staying:] {
		leaving <- g
	}
	close(leaving)
	var all sync.WaitGroup
	for range side {
		all.Go(func() {
			for g := range leaving {
				g.goes(t, &calls)
				mu.Lock()
				through += g.through.Load()
				mu.Unlock()
				if t.Failed() {
					return
				}
			}
		})
	}
	all.Wait()
	f.tight(t)
	if t.Failed() {
		return
	}
	t.Logf("%v; %d requests through before that", &calls, through)
	if through < int64(revocations*fleetSize) {
		t.Errorf("only %d requests got through before: the trials prove little", through)
	}
	for _, g := range guests[:staying] {
		for _, c := range g.open {
			c.stays(t)
		}
	}
	// P8: a node that knows nothing but the record lets none of them in.
	f.nodes[0].kill()
	f.start(t, f.nodes[0])
	for _, g := range guests[staying:] {
		g.out(t, f.nodes[0])
	}
	for _, g := range guests[:staying] {
		if got := g.ask(t, f.nodes[0]); got != http.StatusOK {
			t.Errorf("who was not signed out is answered %d by a node that was started again", got)
		}
	}
	f.tight(t)
}

// goes has the guest use all nodes, and signs them out.
func (g *guest) goes(t *testing.T, calls *tally) {
	g.hold(t, g.any(), g.any())
	for i, n := range g.nodes {
		<-g.hammer(t, n, g.client(i))
	}
	g.insist(t, calls)
	g.leave()
	g.left(t)
}

// stays checks that a connection is alive, or was asked to come back by a node
// whose lease ran out on a machine that stands still.
func (c *connection) stays(t *testing.T) {
	t.Helper()
	select {
	case <-c.ended:
		if websocket.CloseStatus(c.err) == websocket.StatusPolicyViolation || c.err == nil {
			t.Errorf("%s of somebody who was not signed out ended with %v", c.kind, c.err)
		}
	default:
		c.alive(t)
	}
}
