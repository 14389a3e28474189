package shared_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/sessions"
)

func TestOnPostgres(t *testing.T) {
	t.Parallel()
	postgrestest.Again(t, []func(*testing.T){
		TestP2_EveryNode, TestP2_NoRequestAnywhereAfterTheReturn, TestP2_CutOffNode, TestP7_LostNode,
		TestP8_RedisLosesItsMind, TestP8_RedisGoneAndBack, TestP8_CopiesThatCouldNotBeRemoved, TestSQLLost, TestSeenElsewhere,
		TestP9_CrashAfterDeactivation, TestP2_DeadNode,
		TestP8_CopiesAreFilledAnew, TestP2_RevokedWhileCopiesAreFilled, TestP2_RevokedAllTheTime, TestP8_PausedWhileCopiesAreFilled,
		TestP8_FailoverWhileCopiesAreFilled, TestTheNextGoesOn, TestP2_OneCallEndsThousands,
	}, "TestP8_RevokedWithoutSQL", "TestP10_RedisTellsNothingOfPeople") // one has a server of its own, the other is about Redis
}

// TestP2_EveryNode: what is open anywhere is closed when the revocation returns.
func TestP2_EveryNode(t *testing.T) {
	t.Parallel()
	byIDP := func(s sessions.Session) sessions.Selector {
		return sessions.Selector{Connection: s.Connection, IDPSubject: s.IDPSubject, IDPSessions: []string{s.IDPSession}}
	}
	for _, c := range []struct {
		nodes int
		which func(sessions.Session) sessions.Selector
	}{
		{2, func(s sessions.Session) sessions.Selector { return sessions.Selector{Session: s.ID} }}, {4, byIDP},
	} {
		n := c.nodes
		t.Run(fmt.Sprint("nodes=", n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			nodes := w.nodes(n)
			calm(t, nodes, func() (wrong []string) {
				made, other := w.signIn(nodes[0]), w.signIn(nodes[0])
				var theirs, others []*stream
				for _, n := range nodes {
					mine, also := n.open(made.Token), n.open(other.Token)
					if mine == nil || also == nil {
						return append(wrong, "a live session was not entered")
					}
					theirs, others = append(theirs, mine), append(others, also)
				}
				done := nodes[1].revoke(c.which(made.Session))
				if done.Sessions != 1 || done.Connections != n || len(done.Nodes) != n {
					wrong = append(wrong, fmt.Sprintf("%+v, want 1 session, %d connections and nodes", done, n))
				}
				for i, n := range nodes {
					if n.serves(made.Token) {
						t.Errorf("node %d: served after the return", i)
					}
					if !theirs[i].closed() || others[i].closed() {
						wrong = append(wrong, fmt.Sprintf("node %d: closed %t, another's %t", i, theirs[i].closed(), others[i].closed()))
					}
					if !n.refuses(made.Token) || !n.serves(other.Token) {
						wrong = append(wrong, fmt.Sprintf("node %d: refuses %t, serves another %t", i, n.refuses(made.Token), n.serves(other.Token)))
					}
				}
				for _, node := range done.Nodes {
					if !node.Confirmed || node.LeaseExpired {
						wrong = append(wrong, fmt.Sprintf("%+v", node))
					}
				}
				return wrong
			})
		})
	}
}

// TestP2_NoRequestAnywhereAfterTheReturn hammers one node while others revoke.
func TestP2_NoRequestAnywhereAfterTheReturn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := w.nodes(3)
	for round := range 50 {
		made := w.signIn(nodes[round%3])
		var over atomic.Bool
		var late atomic.Int32
		var hammer sync.WaitGroup
		for _, n := range nodes {
			hammer.Go(func() {
				for wasOver := false; !wasOver; {
					wasOver = over.Load()
					if n.serves(made.Token) && wasOver {
						late.Add(1)
					}
				}
			})
		}
		nodes[(round+1)%3].revoke(sessions.Selector{Session: made.Session.ID})
		over.Store(true)
		hammer.Wait()
		if late.Load() > 0 {
			t.Fatalf("round %d: %d requests after the return", round, late.Load())
		}
	}
}

// TestP2_CutOffNode: a node without Redis is waited out, and asks SQL from then on.
func TestP2_CutOffNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := w.nodes(2)
	made, other := w.signIn(nodes[0]), w.signIn(nodes[0])
	far, idle := nodes[1], w.signIn(nodes[0])
	clustertest.Until(t, "served", func() bool { return far.serves(idle.Token) })
	theirs, others := far.mustOpen(made.Token), far.mustOpen(other.Token)
	began := time.Now()
	clustertest.Until(t, "SQL has been there for a while", func() bool { return time.Since(began) > cluster.Lease })
	far.proxy.Cut()
	done := nodes[0].revoke(sessions.Selector{Session: made.Session.ID})
	if theirs.live.Current() || far.serves(made.Token) {
		t.Error("served after the return")
	}
	if len(done.Nodes) != 2 || !done.Confirmed() {
		t.Errorf("%+v", done.Nodes)
	}
	for _, node := range done.Nodes {
		if node.ID == "n2" && !node.LeaseExpired {
			t.Errorf("a node that is cut off: %+v", node)
		}
	}
	clustertest.Until(t, "the stream is closed", theirs.closed)
	clustertest.Until(t, "SQL answers for who has nothing open", func() bool { return far.serves(idle.Token) })
	first := others.live.Proven()
	clustertest.Until(t, "SQL is asked for what is open", func() bool { return others.live.Proven() > first+2*cluster.Lease })
	clustertest.Until(t, "SQL refuses", func() bool { return far.refuses(made.Token) })
	if others.closed() {
		t.Error("a stream whose session SQL has confirmed all the time was closed")
	}
	far.proxy.Mend()
	far.proxy.Reset()
	clustertest.Until(t, "fresh again", far.bus.Fresh)
	clustertest.Until(t, "served after the way back", func() bool { return far.serves(other.Token) })
	if far.serves(made.Token) {
		t.Error("served after the way back")
	}
}

// TestP2_DeadNode: a node that dies between its commit and telling the others.
func TestP2_DeadNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := w.nodes(2)
	made, other := w.signIn(nodes[0]), w.signIn(nodes[0])
	s := nodes[0].mustOpen(made.Token)
	clustertest.Until(t, "they know each other", func() bool { return len(nodes[0].bus.State().Members) == 2 })
	w.exec(`UPDATE sessions SET ended_at = $1, end_reason = 'admin' WHERE id = $2`, time.Now().UnixMilli(), made.Session.ID)
	nodes[1].proxy.Cut() // so that it cannot say that it leaves
	if err := nodes[1].bus.Close(); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the stream is closed", s.closed)
	if nodes[0].serves(made.Token) {
		t.Error("served")
	}
	clustertest.Until(t, "another is served", func() bool { return nodes[0].serves(other.Token) })
}

// TestP7_LostNode: a node with neither Redis nor SQL serves nothing.
func TestP7_LostNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.nodes(1)[0]
	made := w.signIn(n)
	s := n.mustOpen(made.Token)
	n.record.lost.Store(true)
	n.way.Cut()
	n.proxy.Cut()
	clustertest.Until(t, "nothing is served", func() bool { return !n.serves(made.Token) })
	if s.live.Current() {
		t.Error("the stream may go on")
	}
	clustertest.Until(t, "the stream is cut", s.closed)
	if n.refuses(made.Token) {
		t.Error("the person is told to be signed out")
	}
	n.record.lost.Store(false)
	n.way.Mend()
	n.proxy.Mend()
	n.proxy.Reset()
	clustertest.Until(t, "it is back by itself", func() bool { return n.serves(made.Token) })
}

// TestP8_RedisLosesItsMind: FLUSHALL brings nothing back and signs nobody out.
func TestP8_RedisLosesItsMind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := w.nodes(2)
	dead, live := w.signIn(nodes[0]), w.signIn(nodes[0])
	nodes[0].revoke(sessions.Selector{Session: dead.Session.ID})
	w.server.Do("FLUSHALL")
	after := w.signIn(nodes[1])
	nodes[1].revoke(sessions.Selector{Session: after.Session.ID})
	for _, n := range nodes {
		if n.serves(dead.Token) || n.serves(after.Token) {
			t.Error("a revoked session is back")
		}
		clustertest.Until(t, "fresh", n.bus.Fresh)
		clustertest.Until(t, "the live one is served", func() bool { return n.serves(live.Token) })
		if n.serves(dead.Token) || n.serves(after.Token) {
			t.Errorf("dead %t, %t", n.serves(dead.Token), n.serves(after.Token))
		}
	}
}

// TestP8_RedisGoneAndBack: without Redis SQL is asked, and revoking works.
func TestP8_RedisGoneAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := w.nodes(2)
	dead, live := w.signIn(nodes[0]), w.signIn(nodes[0])
	nodes[1].mustOpen(dead.Token)
	w.server.Kill()
	nodes[0].revoke(sessions.Selector{Session: dead.Session.ID})
	for _, n := range nodes {
		if n.serves(dead.Token) {
			t.Error("served after the return")
		}
		clustertest.Until(t, "SQL answers", func() bool { return n.serves(live.Token) })
	}
	w.server.Restart()
	for _, n := range nodes {
		clustertest.Until(t, "fresh", n.bus.Fresh)
		clustertest.Until(t, "the live one is served", func() bool { return n.serves(live.Token) })
		if n.serves(dead.Token) {
			t.Error("served again")
		}
	}
}

// TestP8_CopiesThatCouldNotBeRemoved: a copy in Redis that outlived its session,
// because Redis was away then, is not served when SQL is away later.
func TestP8_CopiesThatCouldNotBeRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := w.nodes(2)
	made := w.signIn(nodes[0])
	nodes[0].proxy.Cut()
	nodes[0].revoke(sessions.Selector{Session: made.Session.ID})
	nodes[0].proxy.Mend()
	nodes[0].proxy.Reset()
	for _, n := range slices.Backward(nodes) { // who revoked knows it anyhow
		clustertest.Until(t, "fresh", n.bus.Fresh)
		n.record.lost.Store(true)
		if n.serves(made.Token) {
			t.Error("a revoked session is served from its copy")
		}
	}
}

// TestSQLLost: live sessions go on, on nodes that have not seen them as well.
func TestSQLLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nodes := w.nodes(2)
	calm(t, nodes, func() (wrong []string) {
		made, dead := w.signIn(nodes[0]), w.signIn(nodes[0])
		nodes[0].revoke(sessions.Selector{Session: dead.Session.ID})
		nodes[1].record.lost.Store(true)
		defer nodes[1].record.lost.Store(false)
		if !nodes[1].serves(made.Token) {
			wrong = append(wrong, "a session that Redis knows is not served")
		}
		if nodes[1].serves(dead.Token) || nodes[1].refuses(dead.Token) {
			t.Error("a session that nobody can be asked for")
		}
		return wrong
	})
}

// TestSeenElsewhere: a person who was idle on one node but not on another stays.
func TestSeenElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.idle.Store(int64(time.Hour))
	n := w.nodes(1)[0]
	made := w.signIn(n)
	ago := func(d time.Duration) {
		w.exec(`UPDATE sessions SET seen_at = $1 WHERE id = $2`, time.Now().Add(-d).UnixMilli(), made.Session.ID)
	}
	ago(2 * time.Hour)
	late := w.nodes(1)[0]
	clustertest.Until(t, "idle for 2 h of 1", func() bool { return late.refuses(made.Token) })
	ago(0)
	clustertest.Until(t, "another node has seen the person", func() bool { return late.serves(made.Token) })
}

// TestP9_CrashAfterDeactivation: a node that starts completes what another left
// undone, also where the person is still served.
func TestP9_CrashAfterDeactivation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.nodes(1)[0]
	made := w.signIn(n)
	s := n.mustOpen(made.Token)
	w.exec(`UPDATE users SET active = FALSE WHERE id = $1`, w.user)
	w.nodes(1)
	if !s.closed() {
		t.Error("not closed")
	}
	clustertest.Until(t, "refused", func() bool { return n.refuses(made.Token) })
}
