package sessions_test

import (
	"net/netip"
	"slices"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

func TestListPagesAndFilters(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	var all []identity.SessionID
	for i := range 7 {
		n := signIn(ann)
		if i%2 == 0 {
			n.User, n.IP = bob, netip.MustParseAddr("::ffff:198.51.100.9")
		}
		all = append(all, w.signIn(acme, n).Session.ID)
	}
	w.revoke(acme, sessions.Selector{Session: all[0]})
	slices.SortFunc(all, func(a, b identity.SessionID) int { return -compareIDs(t, w, a, b) })
	var got []identity.SessionID
	for cursor, pages := "", 0; ; pages++ {
		items, next, err := w.List(t.Context(), acme, sessions.Filter{Limit: 3, Cursor: cursor})
		if err != nil || len(items) > 3 || pages > 3 {
			t.Fatalf("page %d: %d items, %v", pages, len(items), err)
		}
		for _, s := range items {
			got = append(got, s.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, all) {
		t.Errorf("pages give %v, want %v", got, all)
	}
	for _, c := range []struct {
		filter sessions.Filter
		want   int
	}{
		{sessions.Filter{User: bob}, 4},
		{sessions.Filter{User: bob, State: sessions.StateLive}, 3},
		{sessions.Filter{State: sessions.StateEnded}, 1},
		{sessions.Filter{IP: "198.51.100.9"}, 4},
		{sessions.Filter{IP: "192.0.2.7", User: ann}, 3},
		{sessions.Filter{Device: "dev_none"}, 0},
		{sessions.Filter{Limit: 1 << 30}, 7},
	} {
		items, next, err := w.List(t.Context(), acme, c.filter)
		if err != nil || len(items) != c.want || next != "" {
			t.Errorf("%+v: %d items, next %q, %v; want %d", c.filter, len(items), next, err, c.want)
		}
	}
	for _, f := range []sessions.Filter{{State: "asleep"}, {IP: "here"}, {Cursor: "!"}, {Cursor: "AAAA"}} {
		if _, _, err := w.List(t.Context(), acme, f); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v, want Invalid", f, err)
		}
	}
	if items, _, err := w.List(t.Context(), globex, sessions.Filter{}); err != nil || len(items) != 0 {
		t.Errorf("P3: globex lists %d sessions of acme, %v", len(items), err)
	}
}

func compareIDs(t *testing.T, w *world, a, b identity.SessionID) int {
	t.Helper()
	x, err := w.Get(t.Context(), acme, a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := w.Get(t.Context(), acme, b)
	if err != nil {
		t.Fatal(err)
	}
	if c := x.CreatedAt.Compare(y.CreatedAt); c != 0 {
		return c
	}
	if a < b {
		return -1
	}
	return 1
}

func TestDevicesPages(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user(acme, "ann"), w.user(acme, "bob")
	want := map[identity.DeviceID]bool{}
	for range 5 {
		want[w.signIn(acme, signIn(ann)).Device.ID] = true
	}
	w.signIn(acme, signIn(bob))
	cursor, pages := "", 0
	for {
		items, next, err := w.Devices(t.Context(), acme, sessions.DeviceFilter{User: ann, Limit: 2, Cursor: cursor})
		if err != nil || len(items) > 2 {
			t.Fatalf("%d items, %v", len(items), err)
		}
		for _, d := range items {
			if !want[d.ID] {
				t.Errorf("device %s is not ann's, or came twice", d.ID)
			}
			delete(want, d.ID)
		}
		pages++
		if cursor = next; cursor == "" {
			break
		}
	}
	if len(want) != 0 || pages != 3 {
		t.Errorf("%d devices missing after %d pages", len(want), pages)
	}
}
