package e2e

import (
	"net/http"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/redistest"
)

// TestP2_AStoppedNodeForwardsNothing stops a node in the midst of everything, for
// longer than its lease, and signs the session out by another. Whatever anybody
// has sent since the node stood still gets nowhere when it goes on, and once the
// call has returned nothing of the session reaches the app at all.
func TestP2_AStoppedNodeForwardsNothing(t *testing.T) {
	rounds := of(2, 20)
	still := of(3*cluster.Lease/2, 10*time.Second)
	f := newFleet(t, rounds+1)
	guests := f.sit(t, 0, rounds+1)
	stays := guests[0]
	var calls tally
	for _, g := range guests[1:] {
		n := f.any()
		g.everything(t, n)
		for turn := range 4 {
			<-g.hammer(t, n, f.client(turn))
		}
		redistest.Stop(t, n.cmd.Process)
		stopped := time.Now()
		g.leave()
		for turn := range 4 {
			g.hammer(t, n, f.client(turn))
		}
		for _, c := range g.open {
			if c.say != nil {
				if err := c.say(late); err != nil {
					t.Errorf("%s: %v", c.kind, err)
				}
			}
		}
		answer := g.insist(t, &calls, n)
		f.app.gone.Store(g.session, true)
		for _, said := range answer.Nodes {
			if said.ID == n.name(t) && said.Confirmed == true {
				t.Errorf("the node that was stopped is said to have confirmed: %v", answer.Nodes)
			}
		}
		if t.Failed() {
			t.FailNow()
		}
		<-time.After(time.Until(stopped.Add(still)))
		n.goOn(t)
		g.left(t)
		f.well(t)
		f.tight(t)
		for _, n := range f.nodes {
			g.out(t, n)
		}
		if got := stays.ask(t, n); got != http.StatusOK {
			t.Errorf("who was not signed out is answered %d", got)
		}
	}
	t.Log(&calls)
}

// everything opens one connection of each kind at a node.
func (g *guest) everything(t *testing.T, n *node) {
	t.Helper()
	at := g.at(n)()
	g.open = append(g.open, at.webSocket(t, g.h1))
	for turn, version := range []string{" h1", " h2"} {
		client, before := g.client(turn), g.app.polls.Load()
		g.open = append(g.open,
			at.stream(t, client, "events"+version, "/events"), at.stream(t, client, "download"+version, "/download"),
			at.upload(t, client, "upload"+version), at.poll(t, client, "poll"+version, func() bool { return g.app.polls.Load() > before }))
	}
}
