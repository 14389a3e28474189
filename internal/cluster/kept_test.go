package cluster_test

import (
	"slices"
	"testing"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
)

// TestP8_WhatIsKeptReachesWhoJoins: what SQL cannot tell of, a node that joins is
// told of before it answers, until it is not kept any more.
func TestP8_WhatIsKeptReachesWhoJoins(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := newWorld(t)
	a := w.node("a", server.URL())
	w.start(a)
	for _, name := range []string{"one", "two"} {
		if _, err := a.Publish(t.Context(), cluster.Message{Topic: "revoke", Tenant: "ten_acme", Body: []byte("key-\n" + name), Keep: name}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(name string) bool {
		is, err := a.Kept(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if err := a.Unkeep(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	if !kept("one") || kept("two") || kept("three") {
		t.Errorf("kept: %t, %t, %t", kept("one"), kept("two"), kept("three"))
	}
	b := w.node("b", server.URL())
	w.start(b)
	if got := b.has(); !slices.Equal(got, []string{"key-\none"}) {
		t.Errorf("who joined has applied %q", got)
	}

	server.Do("HSET", "TestP8_WhatIsKeptReachesWhoJoins:{gatehouse}:bus", "k:bad", "nonsense")
	c := w.node("c", server.URL())
	go func() { _ = c.Run(t.Context()) }()
	t.Cleanup(func() { _ = c.Close() })
	clustertest.Until(t, "c has tried", func() bool { return c.State().Gaps > 1 })
	if c.Fresh() {
		t.Error("fresh, though what is kept cannot be read")
	}
	if err := a.Unkeep(t.Context(), "bad"); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "c is fresh", c.Fresh)

	server.Do("FLUSHALL")
	clustertest.Until(t, "another epoch", func() bool { return a.State().Epoch > 1 && a.Fresh() })
	if kept("one") {
		t.Error("kept beyond the epoch")
	}
}
