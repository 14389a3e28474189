package feed_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Who puts a hundred people into a group and takes them out again, without end, fills
// no more than so many bytes, long before the hour is over.
func TestWhatIsKeptIsBoundedByItsSize(t *testing.T) {
	h := newHouse(t, 0)
	n := *h.a
	const most = 32 << 10
	n.feed = feed.New(feed.Config{Store: n.db, Journal: n.journal, Log: slog.New(slog.DiscardHandler), Now: h.now, KeepBytes: most,
		Tenants: func() []identity.TenantID { return nil }})
	n.Service = directory.New(directory.Config{Store: n.db, Journal: n.journal, Sessions: noSessions{}, Withdraw: authz.Withdraw, Feed: n.feed})
	n.feed.Join(n.Service)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.feed.Run(ctx) }()
	defer func() {
		cancel()
		must(t, <-ended)
	}()
	var ids []identity.UserID
	for i := range 100 {
		ids = append(ids, n.person(fmt.Sprintf("u%d", i)).ID)
	}
	begin := n.begin()
	g, err := n.CreateGroup(t.Context(), admin, n.tenant, directory.Group{DisplayName: "all", Source: directory.SourceSCIM})
	must(t, err)
	for range 10 {
		must(t, n.AddMembers(t.Context(), admin, n.tenant, g.ID, ids))
		must(t, n.RemoveMembers(t.Context(), admin, n.tenant, g.ID, ids))
	}
	end, tick := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for gone := false; !gone; {
		select {
		case <-tick.C:
			_, err := n.feed.After(t.Context(), n.tenant, begin, 1)
			gone = fault.Is(err, fault.Gone)
		case <-end:
			t.Fatal("all of it is kept")
		}
	}
	must(t, n.feed.Sweep(t.Context(), n.tenant))
	must(t, n.db.Tenant(n.tenant).Read(t.Context(), func(tx *store.Tx) error {
		size, err := store.One(t.Context(), tx, store.Scalar[int], `SELECT sum(length(members)) FROM feed_changes`)
		if size > most || size < most/2 {
			t.Errorf("%d bytes are kept", size)
		}
		return err
	}))
}

// A page is read by its bytes, not loaded whole and cut then; and nothing is lost at its end.
func TestAPageIsReadByItsSize(t *testing.T) {
	h := newHouse(t, 0)
	n := h.a
	begin := n.begin()
	var changes []directory.Change
	for i := range 120 {
		c := directory.Change{Type: directory.GroupUpdated, ID: "grp_x"}
		for j := range 600 {
			c.Members.Added = append(c.Members.Added, fmt.Sprintf("usr_%012d%012d", i, j))
		}
		changes = append(changes, c)
	}
	must(t, n.db.Tenant(n.tenant).Write(t.Context(), func(tx *store.Tx) error {
		return n.feed.Note(t.Context(), tx, n.tenant, h.now(), changes)
	}))
	if read, err := n.feed.Loaded(t.Context(), n.tenant, 500, 100_000); err != nil || read != 6 {
		t.Errorf("%d are read, %v", read, err)
	}
	if read, err := n.feed.Loaded(t.Context(), n.tenant, 500, 1); err != nil || read != 1 {
		t.Errorf("%d are read, %v", read, err)
	}
	seen, cursor := 0, begin
	for more := true; more; {
		p, err := n.feed.After(t.Context(), n.tenant, cursor, 500)
		must(t, err)
		for _, e := range p.Events {
			if seen++; e.Sequence != uint64(seen) {
				t.Fatalf("%d comes as number %d", e.Sequence, seen)
			}
		}
		cursor, more = p.Cursor, p.More
	}
	if seen != len(changes) {
		t.Errorf("%d of %d come", seen, len(changes))
	}
}
