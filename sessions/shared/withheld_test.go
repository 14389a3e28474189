package shared_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
	"gatehouse/sessions"
)

// run has a node's service do what it does by itself.
func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Error(err)
		}
	})
}

func (w *world) over(id identity.SessionID) (over bool) {
	err := w.db.Tenant(acme).Read(context.Background(), func(tx *store.Tx) (err error) {
		over, err = store.One(context.Background(), tx, store.Scalar[bool], `SELECT ended_at IS NOT NULL FROM sessions WHERE id = $1`, id)
		return err
	})
	return err == nil && over
}

// TestP8_RevokedWithoutSQL: while SQL is away a revocation holds on every node, on
// one that joins before SQL has got it as well; and whoever has heard of it tells
// SQL, should the node that made it be gone by then.
func TestP8_RevokedWithoutSQL(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	server := postgrestest.Start(t)
	w := newWorldAt(t, server.Database(t).Application)
	nodes := w.nodes(2)
	dead, live := w.signIn(nodes[0]), w.signIn(nodes[0])
	theirs := nodes[1].mustOpen(dead.Token)
	clustertest.Until(t, "both are served", func() bool { return nodes[1].serves(live.Token) && nodes[0].serves(dead.Token) })

	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.way.Cut()
	}
	done := nodes[0].revoke(sessions.Selector{Session: dead.Session.ID})
	if !done.Deferred || !done.Confirmed() || len(done.Nodes) != 2 {
		t.Errorf("%+v", done)
	}
	for i, n := range nodes {
		clustertest.Until(t, "who is signed in goes on without SQL", func() bool { return n.serves(live.Token) })
		// The copy in Redis is there still, and counts for nothing.
		clustertest.Until(t, "it is refused, not just unknown", func() bool { return n.refuses(dead.Token) })
		if n.serves(dead.Token) || n.Unsettled() != 1 {
			t.Errorf("node %d: serves %t, %d unsettled", i, n.serves(dead.Token), n.Unsettled())
		}
	}
	if !theirs.closed() {
		t.Error("the stream goes on")
	}

	server.Restart(t)
	for _, n := range nodes {
		n.way.Mend()
	}
	var late *node
	clustertest.Until(t, "SQL is back", func() bool { return w.db.Check(t.Context(), acme) == nil })
	late = w.nodes(1)[0]
	clustertest.Until(t, "a new node serves", func() bool { return late.bus.Fresh() && late.serves(live.Token) })
	if w.over(dead.Session.ID) {
		t.Fatal("SQL has got it already: the test shows nothing")
	}
	if late.serves(dead.Token) || !late.refuses(dead.Token) {
		t.Error("a node that joined later serves it")
	}

	nodes[1].run() // not the one that was asked
	clustertest.Until(t, "SQL has got it", func() bool { return w.over(dead.Session.ID) })
	clustertest.Until(t, "nobody waits for it any more", func() bool {
		return nodes[1].Unsettled() == 0 && !strings.Contains(fmt.Sprint(w.server.Do("HKEYS", "test:{gatehouse}:bus")), "k:")
	})
	if n := w.server.Do("HLEN", "test:{ten_acme}:sessions"); n.(int64) < 4 { //nolint:errcheck,forcetypeassert // a number
		t.Errorf("the copies of others are gone: %d fields", n)
	}
	late.run()
	nodes[0].run()
	clustertest.Until(t, "nor do the others", func() bool { return nodes[0].Unsettled()+late.Unsettled() == 0 })
	for i, n := range append(nodes, late) {
		if n.serves(dead.Token) || !n.serves(live.Token) {
			t.Errorf("node %d at last: serves %t, another %t", i, n.serves(dead.Token), n.serves(live.Token))
		}
	}
	later := w.signIn(nodes[0])
	if !nodes[0].serves(later.Token) || later.Session.CreatedAt.After(time.Now()) {
		t.Error("a later sign-in is over")
	}
}

// TestP2_NotDeferredWhileSQLAnswers: a revocation that SQL does not take, though it
// answers, has not succeeded: a node that hears of nothing but SQL may serve by it.
func TestP2_NotDeferredWhileSQLAnswers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	w := newWorldAt(t, postgrestest.Start(t).Database(t).Application)
	n := w.nodes(1)[0]
	dead := w.signIn(n)

	held, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { // a transaction of a node that stands still
		defer close(done)
		_ = w.db.Tenant(acme).Write(context.Background(), func(*store.Tx) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	revoked, err := n.Revoke(t.Context(), audit.SystemCause(), acme, sessions.Selector{Session: dead.Session.ID}, "admin")

	late := w.node("late")
	late.proxy.Cut()
	go func() { _ = late.bus.Run(context.Background()) }()
	t.Cleanup(func() { _ = errors.Join(late.Close(), late.bus.Close()) })
	clustertest.Until(t, "it lives by SQL", late.bus.Apart)
	clustertest.Until(t, "it answers", func() bool { return late.serves(dead.Token) || late.refuses(dead.Token) })
	if served := late.serves(dead.Token); err == nil && served {
		t.Errorf("served after the call has returned: %+v", revoked)
	}
	if !fault.Is(err, fault.Unavailable) || revoked.Deferred {
		t.Errorf("%+v, %v", revoked, err)
	}
	if !n.refuses(dead.Token) || n.Unsettled() != 1 {
		t.Error("it does not hold where it was heard of")
	}
	close(release)
	<-done // SQL may have ended it
	n.run()
	clustertest.Until(t, "SQL has got it", func() bool { return w.over(dead.Session.ID) && n.Unsettled() == 0 })
}
