package shared_test

import (
	"os"
	"testing"

	"gatehouse/sessions"
)

// TestP2_OneCallEndsThousands: more than one statement ends, on all nodes and with
// what they have open; the answer counts them.
func TestP2_OneCallEndsThousands(t *testing.T) {
	t.Parallel()
	n := 6_000
	if os.Getenv("GATEHOUSE_CLUSTER") == "full" {
		n = 100_000
	}
	w := newWorld(t)
	w.crowd(0, n)
	nodes := w.nodes(2)
	whole(t, nodes...)
	stays := w.signIn(nodes[0])
	var open []*stream
	for i := range 200 {
		open = append(open, nodes[i%2].mustOpen(tokenOf(i)))
	}
	done := nodes[1].revoke(sessions.Selector{All: true, Except: stays.Session.ID})
	if done.Sessions != n || done.Devices != n || done.Connections != len(open) {
		t.Errorf("%d sessions, %d devices, %d connections; want %d, %d, %d", done.Sessions, done.Devices, done.Connections, n, n, len(open))
	}
	for i, s := range open {
		if !s.closed() {
			t.Errorf("stream %d is open", i)
		}
	}
	for i := range n {
		if i%37 == 0 && nodes[i%2].serves(tokenOf(i)) {
			t.Errorf("session %d is served", i)
		}
	}
	if !nodes[0].serves(stays.Token) {
		t.Error("the one that was excepted is not served")
	}
	if again := nodes[0].revoke(sessions.Selector{All: true, Except: stays.Session.ID}); again.Sessions != 0 {
		t.Errorf("%d sessions were left", again.Sessions)
	}
}
