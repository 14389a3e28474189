package feed_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func TestEveryChangeIsToldInItsOrder(t *testing.T) {
	h := newHouse(t, 0)
	n := h.a
	from := n.begin()
	ada, bob := n.person("ada"), n.person("bob")
	change := func(edit func(*directory.User)) {
		t.Helper()
		_, err := n.UpdateUser(t.Context(), admin, n.tenant, ada.ID, 0, func(u *directory.User) error { edit(u); return nil })
		must(t, err)
	}
	change(func(u *directory.User) { u.DisplayName = "Ada" })
	change(func(u *directory.User) { u.DisplayName = "Ada" }) // nothing
	change(func(u *directory.User) { u.Active = false })
	change(func(u *directory.User) { u.Active, u.ExternalID = true, "x-ada" })
	g, err := n.CreateGroup(t.Context(), admin, n.tenant, directory.Group{DisplayName: "ops", ExternalID: "x-ops", Source: directory.SourceSCIM, Members: []directory.Member{{User: ada.ID}}})
	must(t, err)
	inner, err := n.CreateGroup(t.Context(), admin, n.tenant, directory.Group{DisplayName: "inner", Source: directory.SourceSCIM})
	must(t, err)
	_, err = n.UpdateGroup(t.Context(), admin, n.tenant, g.ID, 0, func(g *directory.Group, m *directory.MemberChange) error {
		g.DisplayName = "operations"
		m.Add(directory.PersonMember, string(bob.ID))
		m.Add(directory.GroupMember, string(inner.ID))
		m.Remove(directory.PersonMember, string(ada.ID))
		return nil
	})
	must(t, err)
	must(t, n.RemoveMembers(t.Context(), admin, n.tenant, g.ID, []identity.UserID{bob.ID}))
	must(t, n.RemoveMembers(t.Context(), admin, n.tenant, g.ID, []identity.UserID{bob.ID})) // nothing
	must(t, n.DeleteGroup(t.Context(), admin, n.tenant, g.ID, 0))
	must(t, n.DeleteUser(t.Context(), admin, n.tenant, ada.ID, 0))
	if err := n.DeleteUser(t.Context(), admin, n.tenant, ada.ID, 0); err == nil {
		t.Error("somebody is deleted twice")
	}

	all, _ := n.since(from)
	if got := types(all); got != "user.created user.created user.updated user.deactivated user.reactivated group.created group.created group.updated group.updated group.deleted user.deleted" {
		t.Fatal(got)
	}
	records := n.records()
	for i, e := range all {
		if i > 0 && e.Sequence <= all[i-1].Sequence {
			t.Errorf("%d stands behind %d", e.Sequence, all[i-1].Sequence)
		}
		if records[e.EventID] == "" || !strings.HasPrefix(string(records[e.EventID]), strings.Split(string(e.Type), ".")[0]) {
			t.Errorf("%s has the record %q of %q", e.Type, e.EventID, records[e.EventID])
		}
	}
	if e := all[1]; e.ID != string(bob.ID) || e.Version != 1 || e.User == nil || e.User.UserName != "bob" || e.Members != nil || e.Deleted != nil || e.Group != nil {
		t.Errorf("bob is %s", text(t, e))
	}
	if e := all[2]; e.Version != 2 || e.User != nil {
		t.Errorf("who is gone by now is told of as %s", text(t, e))
	}
	if m := all[7].Members; m == nil || !slices.Equal(sorted(m.Added...), sorted(string(bob.ID), string(inner.ID))) || !slices.Equal(m.Removed, []string{string(ada.ID)}) || all[7].Version != 2 {
		t.Errorf("the change of a group is %s", text(t, all[7]))
	}
	if m := all[8].Members; m == nil || len(m.Added) != 0 || !slices.Equal(m.Removed, []string{string(bob.ID)}) || all[8].Version != 3 {
		t.Errorf("the change of its members is %s", text(t, all[8]))
	}
	if d := all[9].Deleted; d == nil || d.Name != "operations" || d.ExternalID != "x-ops" || all[9].Version != 0 {
		t.Errorf("what is left of a group is %s", text(t, all[9]))
	}
	if d := all[10].Deleted; d == nil || d.Name != "ada" || d.ExternalID != "x-ada" {
		t.Errorf("what is left of a person is %s", text(t, all[10]))
	}
}

func TestSignInsAreToldOf(t *testing.T) {
	h := newHouse(t, 0)
	n := h.a
	from := n.begin()
	in := directory.SignIn{Connection: "con_1", Subject: "s1", By: directory.Namer{Issuer: "https://idp.example"}, Email: "eve@acme.example", EmailVerified: true, CreateMissing: true, Groups: []string{"staff", "ops"}}
	eve, _, err := n.SignIn(t.Context(), admin, n.tenant, in)
	must(t, err)
	in.Groups = []string{"staff", "dev"}
	_, _, err = n.SignIn(t.Context(), admin, n.tenant, in)
	must(t, err)
	_, _, err = n.SignIn(t.Context(), admin, n.tenant, in) // nothing but that she was seen
	must(t, err)
	_, err = n.Unlink(t.Context(), admin, n.tenant, eve.ID, "con_1", "s1")
	must(t, err)
	in.Subject, in.Email = "s2", "fay@acme.example"
	_, _, err = n.SignIn(t.Context(), admin, n.tenant, in)
	must(t, err)
	must(t, n.DropConnection(t.Context(), admin, n.tenant, "con_1"))

	// A receiver that goes by the members alone knows who is in which group.
	all, _ := n.since(from)
	in1, many := map[string]map[string]bool{}, map[string]bool{}
	for _, e := range all {
		if e.Group == nil {
			continue
		}
		if in1[e.Group.Name] == nil {
			in1[e.Group.Name] = map[string]bool{}
		}
		if e.Members == nil {
			t.Fatalf("a group without its members: %s", text(t, e))
		}
		many[e.Group.Name] = e.Members.Many
		for _, id := range e.Members.Added {
			in1[e.Group.Name][id] = true
		}
		for _, id := range e.Members.Removed {
			delete(in1[e.Group.Name], id)
		}
		if e.Type == directory.GroupUpdated && e.Group.Name == "ops" && in1["ops"][string(eve.ID)] {
			t.Error("she is still in ops")
		}
	}
	if got := types(all[:3]); got != "user.created group.created group.created" {
		t.Errorf("a first sign-in is %s", types(all))
	}
	if in1["staff"][string(eve.ID)] || in1["dev"][string(eve.ID)] || !many["staff"] || !many["dev"] || many["ops"] {
		t.Errorf("in groups: %v, %v", in1, many)
	}
}

func TestWhoIsNotThereAfterAllIsNotToldOf(t *testing.T) {
	h := newHouse(t, 0)
	h.a.person("ada")
	from := h.a.begin()
	made := h.a.CreateUsers(t.Context(), admin, h.tenant, []directory.User{{UserName: "bob"}, {UserName: "ADA"}, {UserName: "cy"}}, 0)
	if made[1].Err == nil {
		t.Fatal("a name twice")
	}
	all, _ := h.a.since(from)
	if types(all) != "user.created user.created" || all[0].ID != string(made[0].User.ID) || all[1].ID != string(made[2].User.ID) {
		t.Error(text(t, all))
	}
}

// Writers on two nodes, and readers who go on from wherever they are: nobody misses
// anything, or sees it out of order.
func TestNothingIsSkippedWhileManyWrite(t *testing.T) {
	h := newHouse(t, 0)
	from := h.a.begin()
	const writers, each = 6, 25
	var writing, reading sync.WaitGroup
	stop := make(chan struct{})
	got := make([][]uint64, 4)
	for i := range got {
		n := []*node{h.a, h.b}[i%2]
		reading.Go(func() {
			cursor := from
			for last := false; ; {
				p, err := n.feed.After(t.Context(), h.tenant, cursor, 3+i)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range p.Events {
					got[i] = append(got[i], e.Sequence)
				}
				if p.More && len(p.Events) == 0 {
					t.Errorf("reader %d is told that there is more, and nothing comes", i)
					return
				}
				if cursor = p.Cursor; p.More {
					continue
				}
				if last {
					return
				}
				select {
				case <-stop:
					last = true
				default:
				}
			}
		})
	}
	group, err := h.a.CreateGroup(t.Context(), admin, h.tenant, directory.Group{DisplayName: "all", Source: directory.SourceSCIM})
	must(t, err)
	for w := range writers {
		n := []*node{h.a, h.b}[w%2]
		writing.Go(func() {
			for i := range each {
				u, err := n.CreateUser(t.Context(), admin, h.tenant, directory.User{UserName: fmt.Sprintf("u%d-%d", w, i), Active: true})
				if err == nil {
					err = n.AddMembers(t.Context(), admin, h.tenant, group.ID, []identity.UserID{u.ID})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	reading.Wait()
	all, _ := h.a.since(from)
	if len(all) != 1+2*writers*each {
		t.Fatalf("%d changes", len(all))
	}
	for i, seen := range got {
		if len(seen) != len(all) {
			t.Errorf("reader %d saw %d of %d changes", i, len(seen), len(all))
		}
		if !slices.IsSorted(seen) {
			t.Errorf("reader %d saw them out of order", i)
		}
	}
	// In the order of the commits: the versions of one group go up.
	version := uint64(0)
	for _, e := range all {
		if e.ID == string(group.ID) && e.Version <= version {
			t.Errorf("version %d stands behind %d", e.Version, version)
		} else if e.ID == string(group.ID) {
			version = e.Version
		}
	}
}

// A change of one member of a large group is told by that member alone.
func TestALargeGroupIsToldOfByWhatChanges(t *testing.T) {
	h := newHouse(t, 0)
	n := h.a
	var people []directory.User
	for i := range 300 {
		people = append(people, directory.User{UserName: fmt.Sprintf("u%d", i)})
	}
	var ids []identity.UserID
	for _, made := range n.CreateUsers(t.Context(), admin, n.tenant, people, 0) {
		must(t, made.Err)
		ids = append(ids, made.User.ID)
	}
	from := n.begin()
	g, err := n.CreateGroup(t.Context(), admin, n.tenant, directory.Group{DisplayName: "large", Source: directory.SourceSCIM})
	must(t, err)
	must(t, n.AddMembers(t.Context(), admin, n.tenant, g.ID, ids[:101]))
	must(t, n.AddMembers(t.Context(), admin, n.tenant, g.ID, ids[101:102]))
	must(t, n.RemoveMembers(t.Context(), admin, n.tenant, g.ID, ids[:100]))
	all, _ := n.since(from)
	if len(all) != 4 {
		t.Fatal(types(all))
	}
	if m := all[1].Members; !m.Many || len(m.Added) != 0 {
		t.Errorf("%d are named", len(m.Added))
	}
	if m := all[2].Members; m.Many || !slices.Equal(m.Added, []string{string(ids[101])}) {
		t.Error(text(t, m))
	}
	if m := all[3].Members; m.Many || len(m.Removed) != 100 {
		t.Errorf("%d are named", len(m.Removed))
	}
}

func TestWhatIsNotCommittedIsNotTold(t *testing.T) {
	h := newHouse(t, 0)
	ada := h.a.person("ada")
	from := h.a.begin()
	// The other node is faster between the plan and the write.
	_, err := h.a.UpdateUser(t.Context(), admin, h.tenant, ada.ID, ada.Version, func(u *directory.User) error {
		u.DisplayName = "A"
		if h.a.db == h.b.db {
			return errOther
		}
		_, err := h.b.UpdateUser(t.Context(), admin, h.tenant, ada.ID, 0, func(u *directory.User) error { u.DisplayName = "B"; return nil })
		return err
	})
	if err == nil {
		t.Fatal("both have changed her")
	}
	all, _ := h.a.since(from)
	want := "user.updated"
	if h.a.db == h.b.db {
		want = ""
	}
	if types(all) != want {
		t.Error(types(all))
	}
}

var errOther = fault.New(fault.Invalid, "other", "Not now.")

func TestAnOldCursorIsGone(t *testing.T) {
	h := newHouse(t, 10)
	n := h.a
	begin := n.begin()
	n.person("u0")
	_, first := n.since(begin)
	for i := range 20 {
		n.person(fmt.Sprintf("p%d", i))
	}
	_, last := n.since(first)
	must(t, n.feed.Sweep(t.Context(), n.tenant))
	for _, old := range []string{begin, first} {
		_, err := n.feed.After(t.Context(), n.tenant, old, 10)
		wantFault(t, err, fault.Gone, "cursor-expired")
	}
	n.person("later")
	if all, _ := n.since(last); types(all) != "user.created" {
		t.Error(types(all))
	}
	h.passes(8 * 24 * time.Hour)
	must(t, n.feed.Sweep(t.Context(), n.tenant))
	_, err := n.feed.After(t.Context(), n.tenant, last, 10)
	wantFault(t, err, fault.Gone, "cursor-expired")
	// Who has seen everything goes on, though nothing of it is kept.
	now := n.begin()
	must(t, n.feed.Sweep(t.Context(), n.tenant))
	n.person("last")
	if all, _ := n.since(now); types(all) != "user.created" {
		t.Error(types(all))
	}
	for _, no := range []string{"", "x", "MS4x", "MS54LjE", strings.Repeat("A", 500)} {
		_, err := n.feed.After(t.Context(), n.tenant, no, 10)
		wantFault(t, err, fault.Invalid, "bad-cursor")
	}
}

// A database that comes from a backup has other changes under the same numbers.
func TestACursorFromAnotherTimelineIsGone(t *testing.T) {
	h := newHouse(t, 0)
	n := h.a
	from := n.begin()
	n.person("ada")
	_, cursor := n.since(from)
	h.restore(t)
	_, err := n.feed.After(t.Context(), n.tenant, cursor, 10)
	wantFault(t, err, fault.Gone, "cursor-expired") // ahead of all that there is
	n.person("bob")
	must(t, n.db.Tenant(n.tenant).Write(t.Context(), func(tx *store.Tx) error { // at another time than she
		_, err := tx.Exec(t.Context(), `UPDATE feed_changes SET changed_at = changed_at + 1`)
		return err
	}))
	_, err = n.feed.After(t.Context(), n.tenant, cursor, 10)
	wantFault(t, err, fault.Gone, "cursor-expired")
}

// restore has the feed as it was before anything was in it.
func (h *house) restore(t *testing.T) {
	t.Helper()
	must(t, h.a.db.Tenant(h.tenant).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM feed_changes`)
		if err == nil {
			_, err = tx.Exec(t.Context(), `DELETE FROM feed_floor`)
		}
		return err
	}))
}

func TestP3_ChangesAreTheirTenants(t *testing.T) {
	h := newHouse(t, 0)
	from := h.a.begin()
	there, err := h.a.feed.Now(t.Context(), h.other)
	must(t, err)
	h.a.person("ada")
	p, err := h.a.feed.After(t.Context(), h.other, there.Cursor, 10)
	if must(t, err); len(p.Events) != 0 {
		t.Error(text(t, p))
	}
	_, cursor := h.a.since(from)
	_, err = h.a.feed.After(t.Context(), h.other, cursor, 10)
	wantFault(t, err, fault.Gone, "cursor-expired")
	_, _, err = h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: "hr", URL: "https://hr.example", Enabled: true})
	must(t, err)
	if _, err := h.a.feed.Webhook(t.Context(), h.other, "hr"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	if all, some, err := h.a.feed.Pending(t.Context(), h.other); err != nil || some || len(all) > 0 {
		t.Error(all, some, err)
	}
}

func TestP1_NothingIsToldWithoutItsRecord(t *testing.T) {
	h := newHouse(t, 0)
	from := h.a.begin()
	must(t, h.a.journal.Close())
	if _, err := h.a.CreateUser(t.Context(), admin, h.tenant, directory.User{UserName: "ada"}); err == nil {
		t.Fatal("somebody without a record")
	}
	if _, _, err := h.a.feed.Put(t.Context(), admin, h.tenant, feed.Webhook{Name: "hr", URL: "https://hr.example"}); err == nil {
		t.Fatal("a webhook without a record")
	}
	if all, _ := h.b.since(from); len(all) > 0 {
		t.Error(types(all))
	}
	if all, err := h.b.feed.Webhooks(t.Context(), h.tenant); err != nil || len(all) > 0 {
		t.Error(all, err)
	}
}

func TestWhoWaitsIsToldOnceAndEndsWithTheGateway(t *testing.T) {
	h := newHouse(t, 0)
	f := h.a.feed
	changed, done := f.Await(h.tenant)
	defer done()
	elsewhere, done2 := f.Await(h.other)
	defer done2()
	f.Wake(h.tenant)
	<-changed
	select {
	case <-elsewhere:
		t.Error("another tenant's")
	default:
	}
	for range 15 {
		_, done := f.Await(h.other)
		defer done()
	}
	if one, _ := f.Await(h.other); one != nil {
		t.Error("as many wait as like to")
	}
	f.Dismiss()
	<-elsewhere
	if one, _ := f.Await(h.tenant); one != nil {
		t.Error("somebody waits though the gateway stops")
	}
}
