package shared_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// whole waits until some node has found that all of the tenant's sessions are in
// Redis.
func whole(t testing.TB, nodes ...*node) {
	t.Helper()
	clustertest.Until(t, "all sessions are in Redis", func() bool {
		for _, n := range nodes {
			if n.copies().Whole == 1 && n.bus.Fresh() {
				return true
			}
		}
		return false
	})
}

// revokeAtLast ends sessions on a machine that may be too busy for it at first. It
// is for goroutines that are not the test's.
func (n *node) revokeAtLast(sel sessions.Selector) {
	for began := time.Now(); time.Since(began) < clustertest.Patience; {
		if _, err := n.Revoke(context.Background(), audit.SystemCause(), acme, sel, "admin"); err == nil {
			return
		}
	}
	n.t.Error("not revoked")
}

// lose makes Redis forget everything, and waits until the nodes have noticed.
func (w *world) lose(nodes ...*node) {
	w.t.Helper()
	var before []uint64
	for _, n := range nodes {
		clustertest.Until(w.t, "fresh", n.bus.Fresh)
		before = append(before, n.bus.State().Epoch)
	}
	w.server.Do("FLUSHALL")
	clustertest.Until(w.t, "another epoch", func() bool {
		for i, n := range nodes {
			if n.bus.State().Epoch <= before[i] {
				return false
			}
		}
		return true
	})
}

// during has something happen once, while a node has a batch from SQL in its hands.
func (n *node) during(do func()) {
	var once sync.Once
	while := func() { once.Do(do) }
	n.record.while.Store(&while)
}

// withoutSQL tells which of the sessions of a crowd Redis alone can answer for, on
// a node that has seen none of them. For those that are not over it waits: a node that
// could not tell Redis of an end drops the copies once more, and they are filled anew.
func (w *world) withoutSQL(n int, over func(i int) bool) (served map[int]bool) {
	w.t.Helper()
	served = map[int]bool{}
	late := w.node("late")
	late.record.lost.Store(true)
	clustertest.Start(w.t, late.bus)
	w.t.Cleanup(func() { _ = late.Close() })
	if err := late.know(); err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		// On a busy machine a step in Redis may take too long, or a lease run out: that
		// is no answer.
		clustertest.Until(w.t, fmt.Sprintf("session %d is there or not", i), func() bool {
			if !late.bus.Fresh() { // who joins anew needs SQL once more
				late.record.lost.Store(false)
				clustertest.Until(w.t, "fresh", late.bus.Fresh)
				late.record.lost.Store(true)
			}
			served[i] = late.serves(tokenOf(i))
			_, err := late.Find(context.Background(), acme, tokenOf(i))
			return served[i] || over(i) && noCopy(err) || fault.Is(err, fault.Unauthenticated)
		})
		if late.refuses(tokenOf(i)) {
			w.t.Errorf("session %d is told to be over by a node that cannot ask SQL", i)
		}
	}
	return served
}

// none and only say which of a crowd are over.
func none(int) bool                  { return false }
func only(dead int) func(i int) bool { return func(i int) bool { return i == dead } }

// noCopy reports whether a session was not found because SQL is lost and Redis has
// no copy, and for nothing else: errors that something else has part in are joined.
func noCopy(err error) bool {
	for err != nil && err != errLost { //nolint:errorlint // see above
		err = errors.Unwrap(err)
	}
	return err != nil
}

// TestP8_CopiesAreFilledAnew: who was not looked up since Redis lost its data is
// served all the same when SQL goes away.
func TestP8_CopiesAreFilledAnew(t *testing.T) {
	t.Parallel()
	const n = 1500
	w := newWorld(t)
	w.crowd(0, n)
	nodes := w.nodes(2)
	whole(t, nodes...)
	w.lose(nodes...)
	clustertest.Until(t, "fresh", nodes[1].bus.Fresh)
	made := w.signIn(nodes[1]) // meanwhile
	whole(t, nodes...)
	served := w.withoutSQL(n, none)
	for i := range n {
		if !served[i] {
			t.Fatalf("session %d is not in Redis", i)
		}
	}
	nodes[0].record.lost.Store(true)
	if !nodes[0].serves(made.Token) {
		t.Error("a session that was made while the copies were filled is not in Redis")
	}
}

// TestP2_RevokedWhileCopiesAreFilled: SQL still called it live when it was asked,
// for the batch that Redis gets next, or for the one after that.
func TestP2_RevokedWhileCopiesAreFilled(t *testing.T) {
	t.Parallel()
	const n = 1200
	for batch, dead := range []int{999, 5} { // in the order of their creation
		t.Run(fmt.Sprint("batch ", batch+1), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			nodes := w.nodes(2)
			whole(t, nodes...)
			w.crowd(0, n)
			for _, each := range nodes {
				var batches atomic.Int64
				while := func() {
					if batches.Add(1) == int64(batch+1) {
						nodes[1].revokeAtLast(sessions.Selector{Session: sessionOf(dead)})
					}
				}
				each.record.while.Store(&while)
			}
			w.lose(nodes...)
			whole(t, nodes...)
			for i, served := range w.withoutSQL(n, only(dead)) {
				if served != (i != dead) {
					t.Errorf("session %d: served %t", i, served)
				}
			}
		})
	}
}

// TestP2_RevokedAllTheTime: those who end sessions do not keep the copies from
// being filled.
func TestP2_RevokedAllTheTime(t *testing.T) {
	t.Parallel()
	const n = 1200
	w := newWorld(t)
	nodes := w.nodes(2)
	whole(t, nodes...)
	w.crowd(0, n)
	w.lose(nodes...)
	var ended atomic.Int64
	stop, group := make(chan struct{}), sync.WaitGroup{}
	rest := sync.OnceFunc(func() { close(stop); group.Wait() })
	t.Cleanup(rest)
	group.Go(func() {
		for i := range n {
			select {
			case <-stop:
				return
			default:
				nodes[0].revokeAtLast(sessions.Selector{Session: sessionOf(i)})
				ended.Store(int64(i + 1))
			}
		}
	})
	whole(t, nodes...)
	rest()
	over := func(i int) bool { return int64(i) < ended.Load() }
	for i, served := range w.withoutSQL(n, over) {
		if served == over(i) {
			t.Errorf("session %d of which the first %d are over: served %t", i, ended.Load(), served)
		}
	}
}

// TestP8_PausedWhileCopiesAreFilled: a node stands still with a batch in its hands,
// another fills the copies, sessions end, and the node goes on.
func TestP8_PausedWhileCopiesAreFilled(t *testing.T) {
	t.Parallel()
	const n, dead = 1200, 999 // in the first batch
	w := newWorld(t)
	nodes := w.nodes(1)
	whole(t, nodes...)
	w.crowd(0, n)
	paused, goOn, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	nodes[0].during(func() { close(paused); <-goOn; close(over) })
	t.Cleanup(sync.OnceFunc(func() {
		select {
		case <-goOn:
		default:
			close(goOn)
		}
	}))
	w.lose(nodes...)
	<-paused
	other := w.nodes(1)[0]
	whole(t, other)
	other.revoke(sessions.Selector{Session: sessionOf(dead)})
	close(goOn)
	<-over
	clustertest.Until(t, "it has tried", func() bool { return nodes[0].copies().Filling == "" })
	for i, served := range w.withoutSQL(n, only(dead)) {
		if served != (i != dead) {
			t.Errorf("session %d: served %t", i, served)
		}
	}
}

// TestP8_FailoverWhileCopiesAreFilled: a replica that has the first copies, and has
// not heard of the last end, takes over while the next batch is on its way.
func TestP8_FailoverWhileCopiesAreFilled(t *testing.T) {
	t.Parallel()
	const n, dead, part = 2500, 999, "test:{ten_acme}:sessions" // in the first batch
	w := newWorld(t)
	replica := redistest.Replica(t, w.server)
	w.sentinel = redistest.Sentinel(t, w.server)
	nodes := w.nodes(2)
	whole(t, nodes...)
	w.crowd(0, n)
	var batches atomic.Int64
	while := func() {
		if batches.Add(1) != 2 {
			return
		}
		// The second is read while the first is put in.
		clustertest.Until(t, "the first batch is in", func() bool { n, ok := w.server.Do("HLEN", part).(int64); return ok && n >= 1000 })
		copied := w.server.Do("HLEN", part)
		clustertest.Until(t, "the replica has the first batch", func() bool { return replica.Do("HLEN", part) == copied })
		replica.Pause() // from here on it lags
		w.server.Do("CLIENT", "KILL", "TYPE", "replica")
		nodes[1].revokeAtLast(sessions.Selector{Session: sessionOf(dead)})
		w.server.Kill()
		replica.Continue()
	}
	for _, each := range nodes {
		each.record.while.Store(&while)
	}
	w.lose(nodes...)
	clustertest.Until(t, "the replica is the master", func() bool {
		addr, err := w.sentinel.Master(t.Context())
		return err == nil && addr == replica.Addr()
	})
	for _, each := range nodes {
		each.proxy.Reset()
	}
	whole(t, nodes...)
	for i, served := range w.withoutSQL(n, only(dead)) {
		if served != (i != dead) {
			t.Errorf("session %d: served %t", i, served)
		}
	}
}

// TestTheNextGoesOn: a node that dies while it fills the copies is taken over from.
func TestTheNextGoesOn(t *testing.T) {
	t.Parallel()
	const n = 2500
	w := newWorld(t)
	nodes := w.nodes(1)
	whole(t, nodes...)
	w.crowd(0, n)
	batches := 0
	stuck, goOn := make(chan struct{}), make(chan struct{})
	while := func() {
		if batches++; batches == 2 {
			close(stuck)
			<-goOn
		}
	}
	nodes[0].record.while.Store(&while)
	t.Cleanup(func() { close(goOn) }) // before the node is closed
	w.lose(nodes...)
	<-stuck
	next := w.nodes(1)[0]
	whole(t, next)
	if served := w.withoutSQL(n, none); len(served) != n {
		t.Errorf("%d of %d", len(served), n)
	}
}

func sessionOf(i int) identity.SessionID { return identity.SessionID(fmt.Sprintf("ses_%022d", i)) }

// TestP10_RedisTellsNothingOfPeople, nor does a backup of it once the tenant's key is
// gone.
func TestP10_RedisTellsNothingOfPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crowd(0, 10)
	n := w.node("n1")
	clustertest.Start(t, n.bus)
	defer func() { _ = n.Close() }()
	clustertest.Until(t, "served", func() bool { return n.serves(tokenOf(1)) })
	whole(t, n)
	copies, ok := w.server.Do("HGETALL", "test:{ten_acme}:sessions").([]any)
	if !ok || len(copies) < 2*10 {
		t.Fatalf("%d fields", len(copies))
	}
	for _, what := range []string{"usr_", "ses_", "Mozilla", "192.0.2.7", "00u"} {
		if strings.Contains(fmt.Sprint(copies...), what) {
			t.Errorf("%q stands in Redis", what)
		}
	}
}
