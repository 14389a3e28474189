package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/fault"
)

// waitedOut checks that a node that cannot confirm is told of as one whose lease
// ran out, and is not fresh at this instant.
func waitedOut(t *testing.T, w *world, from, out *peer) {
	t.Helper()
	all := w.mustRevoke(from)
	fresh := out.Fresh()
	if ok, known := confirms(all, out.name); ok || !known || fresh {
		t.Fatalf("told is %+v, and %s is fresh: %v", all, out.name, fresh)
	}
}

func TestP2_ANodeThatIsStuckIsWaitedOut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a, b, c := w.node("a", server.URL()), w.node("b", server.URL()), w.node("c", server.URL())
	w.start(a, b, c)
	w.untilAllConfirm(a, a, b, c)

	free := make(chan struct{})
	c.setStuck(free)
	waitedOut(t, w, a, c)
	// Once others have noticed, it costs them nothing any more, though SQL has it
	// on its list and it is waited for as one that lives by SQL.
	clustertest.Until(t, "c is no member any more", func() bool { return !slices.Contains(a.State().Members, "c") })
	w.mustRevoke(b)
	before := len(c.has())
	c.setStuck(nil)
	close(free)
	clustertest.Until(t, "c is fresh", c.Fresh)
	if got := c.has(); len(got) < before+2 {
		t.Errorf("c has applied %d messages, then %d", before, len(got))
	}
	if c.verified() < 2 {
		t.Error("c has not made sure of its cache")
	}
	w.untilAllConfirm(a, a, b, c)
}

func TestP2_ANodeThatIsCutOffIsWaitedOut(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(*redistest.Proxy){
		"nothing comes through":  (*redistest.Proxy).Mend,
		"and all is closed then": func(p *redistest.Proxy) { p.Reset(); p.Mend() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			w := newWorld(t)
			a, c := w.node("a", server.URL()), w.nodeThrough("c", server)
			w.start(a, c)
			w.untilAllConfirm(a, a, c)
			verified := c.verified()
			c.proxy.Cut()
			waitedOut(t, w, a, c)
			clustertest.Until(t, "c lives by SQL", func() bool { return c.Apart() && c.State().Mode == cluster.ModeSQLOnly })
			waitedOut(t, w, a, c) // told of, because its answers from SQL were waited for
			// It publishes through SQL, and those who are fresh have applied it.
			all := w.mustRevoke(c)
			if ok, known := confirms(all, "a"); ok || !known {
				t.Errorf("told is %+v", all)
			}
			mend(c.proxy)
			clustertest.Until(t, "c is fresh", c.Fresh)
			w.untilAllConfirm(a, a, c)
			w.untilAllConfirm(c, a, c)
			if c.verified() == verified {
				t.Error("c has not made sure of its cache")
			}
			w.untilNobodyIsApart()
			// A connection that is closed is made again, and nobody notices.
			c.proxy.Reset()
			w.untilAllConfirm(a, a, c)
		})
	}
}

// TestP2_WhateverBecomesOfRedis does to Redis what can be done to it, while keys
// are revoked all the time, and then expects service to be back by itself.
func TestP2_WhateverBecomesOfRedis(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, s *redistest.Server){
		"flushed": func(_ *testing.T, s *redistest.Server) { s.Do("FLUSHALL") },
		"flushed repeatedly": func(_ *testing.T, s *redistest.Server) {
			s.Do("FLUSHALL")
			s.Do("FLUSHALL")
			time.Sleep(time.Second)
			s.Do("FLUSHALL")
		},
		"killed and empty": func(_ *testing.T, s *redistest.Server) { s.Kill(); s.Empty(); s.Restart() },
		"killed and back with old data": func(t *testing.T, s *redistest.Server) {
			s.Do("SAVE")
			time.Sleep(cluster.Lease / 2) // while keys are revoked
			s.Kill()
			s.Restart()
			if n, ok := s.Do("DBSIZE").(int64); !ok || n == 0 {
				t.Error("it is not back with old data")
			}
		},
		"away for longer than a lease": func(_ *testing.T, s *redistest.Server) { s.Kill(); time.Sleep(2 * cluster.Lease); s.Restart() },
		"paused for longer than a lease": func(_ *testing.T, s *redistest.Server) {
			s.Pause()
			time.Sleep(2 * cluster.Lease)
			s.Continue()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			w := newWorld(t)
			a, b, c := w.node("a", server.URL()), w.node("b", server.URL()), w.node("c", server.URL())
			w.start(a, b, c)
			w.untilAllConfirm(a, a, b, c)
			var verified []int
			for _, p := range w.peers {
				verified = append(verified, p.verified())
			}
			stop := w.keepRevoking(a, b)
			harm(t, server)
			for i, p := range w.peers {
				clustertest.Until(t, p.name+" has made sure of its cache and is fresh", func() bool { return p.verified() > verified[i] && p.Fresh() })
			}
			done, failed := stop()
			t.Logf("%d revoked, %d failed", done, failed)
			if done == 0 {
				t.Error("nothing could be revoked")
			}
			w.untilAllConfirm(a, a, b, c)
			w.untilAllConfirm(c, a, b, c)
		})
	}
}

func TestP2_AFailoverToAReplicaThatLags(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	replica := redistest.Replica(t, master)
	sentinel := redistest.Sentinel(t, master)
	w := newWorld(t)
	a, b := w.node("a", sentinel.URL()), w.node("b", sentinel.URL())
	w.start(a, b)
	w.untilAllConfirm(a, a, b)
	verified, epoch := b.verified(), b.State().Epoch
	replica.Pause() // from here on it lags
	for range 20 {
		w.mustRevoke(a)
	}
	stop := w.keepRevoking(a, b)
	master.Kill()
	replica.Continue()
	clustertest.Until(t, "b is fresh with the new master", func() bool { return b.verified() > verified && b.State().Epoch > epoch && b.Fresh() })
	clustertest.Until(t, "a is fresh", a.Fresh)
	done, failed := stop()
	t.Logf("%d revoked, %d failed", done, failed)
	w.untilAllConfirm(a, a, b)
	w.untilAllConfirm(b, a, b)
}

// TestP2_TwoSidesOfASplit has two nodes that see two different Redis, each the
// true one in its eyes. They take the epoch from each other, and never both
// answer from memory.
func TestP2_TwoSidesOfASplit(t *testing.T) {
	t.Parallel()
	one, other := redistest.Start(t), redistest.Start(t)
	w := newWorld(t)
	a, b := w.node("a", one.URL()), w.node("b", other.URL())
	w.start(a)
	w.start(b)
	stop := w.keepRevoking(a, b)
	seen := map[string]uint64{}
	clustertest.Until(t, "each has had the epoch three times", func() bool {
		aFresh, bFresh := a.Fresh(), b.Fresh()
		if aFresh && bFresh && a.State().Epoch == b.State().Epoch && a.Fresh() && b.Fresh() {
			t.Fatal("both are fresh in one epoch with two histories")
		}
		for _, p := range w.peers {
			seen[p.name] = p.State().Gaps
		}
		return seen["a"] >= 3 && seen["b"] >= 3
	})
	done, failed := stop()
	t.Logf("%d revoked, %d failed", done, failed)
	if done == 0 {
		t.Error("nothing could be revoked")
	}
}

// untilCalm goes through a scenario until no lease ran out by itself, which the
// scenario then says. On a machine that is busy for seconds that happens, is
// right, and takes away what the scenario is about.
func untilCalm(t *testing.T, scenario func(t *testing.T) (calm bool)) {
	t.Helper()
	for range 5 {
		if scenario(t) || t.Failed() {
			return
		}
	}
	t.Fatal("leases run out by themselves all the time")
}

func TestP2_SQLLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*clustertest.Way){"it refuses": (*clustertest.Way).Down, "it hangs": (*clustertest.Way).Cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			untilCalm(t, func(t *testing.T) bool { return sqlLost(t, lose) })
		})
	}
}

func sqlLost(t *testing.T, lose func(*clustertest.Way)) (calm bool) {
	server := redistest.Start(t)
	w := newWorld(t)
	a, b := w.node("a", server.URL()), w.node("b", server.URL())
	w.start(a, b)
	w.untilAllConfirm(a, a, b)
	for _, p := range w.peers {
		lose(p.way)
	}
	for end := time.Now().Add(3 * cluster.Lease); time.Now().Before(end); {
		all, err := w.revoke(a)
		if ok, _ := confirms(all, "b"); err != nil || !ok {
			t.Logf("told is %+v, %v", all, err)
			return false
		}
	}
	if s := b.State(); s.SQLReached || s.Mode != cluster.ModeFresh {
		t.Logf("without SQL the state is %+v", s)
		return false
	}
	for _, p := range w.peers {
		p.way.Mend()
	}
	clustertest.Until(t, "SQL is back", func() bool { return a.State().SQLReached && b.State().SQLReached })
	w.untilAllConfirm(b, a, b)
	return true
}

func TestP2_RedisLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a, b := w.node("a", server.URL()), w.node("b", server.URL())
	w.start(a, b)
	w.untilAllConfirm(a, a, b)
	server.Kill()
	for range 2 {
		all := w.mustRevoke(a)
		fresh := b.Fresh()
		if ok, known := confirms(all, "b"); ok || !known || fresh {
			t.Errorf("told is %+v, b is fresh: %v", all, fresh)
		}
		if ok, _ := confirms(all, "a"); !ok {
			t.Errorf("the publisher itself does not confirm: %+v", all)
		}
	}
	clustertest.Until(t, "both live by SQL", func() bool { return a.Apart() && b.Apart() })
	if s := b.State(); s.Mode != cluster.ModeSQLOnly || s.RedisReached {
		t.Errorf("without Redis the state is %+v", s)
	}
	clustertest.Until(t, "b has read the outbox", func() bool { return slices.Contains(b.has(), w.revoked[len(w.revoked)-1]) })

	// Both lost: nothing is answered, nothing is promised.
	for _, p := range w.peers {
		p.way.Down()
	}
	clustertest.Until(t, "both are lost", func() bool { return a.State().Mode == cluster.ModeLost && b.State().Mode == cluster.ModeLost })
	if all, err := w.revoke(a); !fault.Is(err, fault.Unavailable) {
		t.Errorf("with neither Redis nor SQL, told is %+v, %v", all, err)
	}
	server.Restart()
	for range 10 { // Redis alone is not trusted
		pause(t.Context(), 100*time.Millisecond)
		if a.Fresh() || b.Fresh() {
			t.Fatal("fresh with a Redis that SQL has not named")
		}
	}
	for _, p := range w.peers {
		p.way.Mend()
	}
	clustertest.Until(t, "both are fresh", func() bool { return a.Fresh() && b.Fresh() })
	w.untilAllConfirm(a, a, b)
	seen := map[string]int{}
	for _, key := range b.has() {
		if seen[key]++; seen[key] > 1 {
			t.Errorf("%s was applied twice", key)
		}
	}
}

// TestP2_OneNodeLosesRedis has a publisher that reaches the others by SQL alone.
func TestP2_OneNodeLosesRedis(t *testing.T) {
	t.Parallel()
	untilCalm(t, func(t *testing.T) (calm bool) {
		server := redistest.Start(t)
		w := newWorld(t)
		a, b := w.nodeThrough("a", server), w.node("b", server.URL())
		w.start(a, b)
		w.untilAllConfirm(a, a, b)
		a.proxy.Cut()
		for range 3 {
			w.mustRevoke(a)
			if !b.Fresh() {
				return false
			}
			if key := w.revoked[len(w.revoked)-1]; !slices.Contains(b.has(), key) {
				t.Errorf("b is fresh, and has not applied %s", key)
			}
		}
		a.proxy.Mend()
		w.untilAllConfirm(a, a, b)
		return true
	})
}

// TestP2_SQLLostWhileANodeLivesByIt: what that node was told just before still
// holds for a lease, and who publishes with Redis alone waits for it.
func TestP2_SQLLostWhileANodeLivesByIt(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a, c := w.node("a", server.URL()), w.nodeThrough("c", server)
	w.start(a, c)
	w.untilAllConfirm(a, a, c)
	c.proxy.Cut()
	clustertest.Until(t, "c lives by SQL", func() bool { return !c.Fresh() && c.Apart() && c.serves([]string{"key-4999"}) != "" })
	clustertest.Until(t, "c is no member any more", func() bool { return !slices.Contains(a.State().Members, "c") })
	for _, p := range w.peers {
		p.way.Down()
	}
	w.mustRevoke(a)
	for _, p := range w.peers {
		p.way.Mend()
	}
	c.proxy.Mend()
	w.untilAllConfirm(a, a, c)
}

// TestP2_SQLLostBehindTheOutbox: a message stands in the outbox, and SQL is lost
// before the others have seen it. They go on with Redis, so it is not published.
func TestP2_SQLLostBehindTheOutbox(t *testing.T) {
	t.Parallel()
	untilCalm(t, sqlLostBehindTheOutbox)
}

func sqlLostBehindTheOutbox(t *testing.T) (calm bool) {
	server := redistest.Start(t)
	w := newWorld(t)
	a, b := w.nodeThrough("a", server), w.node("b", server.URL())
	w.start(a, b)
	w.untilAllConfirm(a, a, b)
	a.proxy.Cut()
	clustertest.Until(t, "a lives by SQL", func() bool { return !a.Fresh() && a.Apart() })
	outbox := func() uint64 {
		e, err := w.memory.Way().Epoch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return e.Outbox
	}
	before := outbox()
	b.way.Down()
	done := make(chan error, 1)
	go func() { _, err := w.revoke(a); done <- err }()
	clustertest.Until(t, "the message stands in the outbox", func() bool { return outbox() > before })
	a.way.Down()
	for end := time.Now().Add(2 * cluster.Lease); time.Now().Before(end); pause(t.Context(), 10*time.Millisecond) {
		select {
		case err := <-done:
			t.Fatalf("published, though SQL is lost and b has not seen it: %v", err)
		default:
		}
	}
	calm = b.Fresh() // goes on with Redis alone
	a.way.Mend()
	b.way.Mend()
	if err := <-done; err != nil {
		t.Error(err)
	}
	a.proxy.Mend()
	w.untilAllConfirm(a, a, b)
	return calm
}

// TestP2_SQLLostBehindAnEpoch: a node begins an epoch, and SQL is lost before the
// others have heard of it. They go on in the old one, so nobody is fresh in the
// new one.
func TestP2_SQLLostBehindAnEpoch(t *testing.T) {
	t.Parallel()
	untilCalm(t, sqlLostBehindAnEpoch)
}

func sqlLostBehindAnEpoch(t *testing.T) (calm bool) {
	one, other := redistest.Start(t), redistest.Start(t)
	w := newWorld(t)
	a, b := w.node("a", one.URL()), w.node("b", other.URL())
	w.start(a)
	w.untilAllConfirm(a, a)
	a.way.Down()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	defer func() {
		stop()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	}()
	clustertest.Until(t, "b has joined its own epoch", func() bool { return b.State().Epoch == 2 })
	b.way.Down()
	for end := time.Now().Add(2 * cluster.Lease); time.Now().Before(end); pause(t.Context(), 10*time.Millisecond) {
		if _, err := w.revoke(a); err != nil {
			t.Log(err)
			return false
		}
		if b.Fresh() {
			t.Fatal("b is fresh while a may be")
		}
	}
	calm = a.Fresh() // goes on with Redis alone
	a.way.Mend()
	b.way.Mend()
	clustertest.Until(t, "b is fresh", b.Fresh)
	if a.Fresh() && b.Fresh() {
		t.Error("both are fresh")
	}
	return calm
}

// TestP2_MessagesThatAreGoneAreMissed takes messages away behind the bus's back.
func TestP2_MessagesThatAreGoneAreMissed(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(s *redistest.Server, prefix string){
		"trimmed": func(s *redistest.Server, prefix string) { s.Do("XTRIM", prefix+"log:1", "MAXLEN", "1") },
		"deleted": func(s *redistest.Server, prefix string) { s.Do("DEL", prefix+"log:1") },
		"the count went back": func(s *redistest.Server, prefix string) {
			s.Do("DEL", prefix+"log:1")
			s.Do("HSET", prefix+"bus", "seq", "1")
		},
		"a message that cannot be read": func(s *redistest.Server, prefix string) {
			seq, _ := s.Do("HINCRBY", prefix+"bus", "seq", "1").(int64)
			s.Do("XADD", prefix+"log:1", fmt.Sprintf("%d-0", seq), "from", "nobody")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			w := newWorld(t)
			a, c := w.node("a", server.URL()), w.nodeThrough("c", server)
			w.start(a, c)
			w.untilAllConfirm(a, a, c)
			c.proxy.Cut()
			for range 3 {
				w.mustRevoke(a)
			}
			verified := c.verified()
			harm(server, t.Name()+":{gatehouse}:")
			c.proxy.Mend()
			clustertest.Until(t, "c has made sure of its cache", func() bool { return c.verified() > verified && c.Fresh() })
			w.untilAllConfirm(a, a, c)
		})
	}
}

// TestANodeThatStartsInTheMiddle sees every message from some point on, each
// once, and none from before.
func TestANodeThatStartsInTheMiddle(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a := w.node("a", server.URL())
	w.start(a)
	w.untilAllConfirm(a, a)
	stop := w.keepRevoking(a, a, a)
	var late []*peer
	joined := map[*peer]int{}
	for i := range 4 {
		p := w.node(fmt.Sprint("late-", i), server.URL())
		w.start(p)
		late = append(late, p)
		w.untilAllConfirm(p, p)
		joined[p] = p.verified()
	}
	if done, failed := stop(); done == 0 || failed > 0 {
		t.Errorf("%d revoked, %d failed", done, failed)
	}
	w.untilAllConfirm(a, append(late, a)...)
	all := a.has()
	for _, p := range late {
		got := p.has()
		if p.verified() != joined[p] {
			continue // starved beyond its lease, it has made sure of its cache anew, and passed over messages
		}
		if len(got) == 0 || !slices.Equal(got, all[len(all)-len(got):]) {
			t.Errorf("%s has applied %d messages, which are not the last of all %d", p.name, len(got), len(all))
		}
	}
}

// TestP2_OnlyVerifiedIsFresh: a node whose cache cannot be verified stays away.
func TestP2_OnlyVerifiedIsFresh(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a := w.node("a", server.URL())
	w.start(a)
	c := w.node("c", server.URL())
	verify := make(chan error, 100)
	for range 3 {
		verify <- errors.New("never")
	}
	close(verify)
	c.OnGap(func(context.Context) error {
		if c.Fresh() {
			t.Error("fresh while it is verified")
		}
		return <-verify
	})
	w.start(c)
	if c.verified() < 4 {
		t.Errorf("fresh after %d attempts, of which 3 failed", c.verified())
	}
	w.untilAllConfirm(a, a, c)
}

func TestABusRunsOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a := w.node("a", server.URL())
	w.start(a)
	if err := a.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the second Run: %v", err)
	}
}

// TestANodeThatLeavesIsNotWaitedFor is what a rolling restart rests on.
func TestANodeThatLeavesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a, b := w.node("a", server.URL()), w.node("b", server.URL())
	w.start(a, b)
	w.untilAllConfirm(a, a, b)
	w.untilNobodyIsApart()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if all := w.mustRevoke(a); len(all) != 1 {
		t.Errorf("told is %+v", all)
	}
}
