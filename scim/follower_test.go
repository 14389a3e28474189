package scim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// follower is whoever follows acme's directory by its feed, from before there was anybody.
type follower struct {
	*bench
	cursor string
	users  map[string]followed
	groups map[string]followed
	last   uint64                      // the number of the change that came last
	before map[identity.EventID]bool   // records from before it began
	told   map[identity.EventID]string // of whom each record told
}

type followed struct {
	name    string
	version uint64
	members map[string]bool
}

func (b *bench) follow(t testing.TB) *follower {
	t.Helper()
	now, err := b.feed.Now(t.Context(), b.acme.id)
	must(t, err)
	f := &follower{bench: b, cursor: now.Cursor, users: map[string]followed{}, groups: map[string]followed{},
		before: map[identity.EventID]bool{}, told: map[identity.EventID]string{}}
	for _, e := range b.events(t) {
		f.before[e.ID] = true
	}
	return f
}

// agrees holds to each other what the tenant's parts say of what clients have done by now:
// the directory, its feed, the journal, the marks in it and the recorder.
func (f *follower) agrees(t testing.TB) {
	t.Helper()
	f.catchUp(t)
	users, groups := map[string]followed{}, map[string]followed{}
	for _, u := range f.list(t, "/Users") {
		version, err := strconv.ParseUint(strings.Trim(u.Meta.Version, `W/"`), 10, 64)
		must(t, err)
		users[u.ID] = followed{name: u.UserName, version: version}
	}
	for _, g := range f.list(t, "/Groups") {
		of := followed{name: g.DisplayName, members: map[string]bool{}}
		for _, m := range g.Members {
			of.members[m.Value] = true
		}
		groups[g.ID] = of
	}
	same := func(a, b followed) bool {
		return a.name == b.name && a.version == b.version && maps.Equal(a.members, b.members)
	}
	if !maps.EqualFunc(f.users, users, same) || !maps.EqualFunc(f.groups, groups, same) {
		t.Errorf("by the feed there are\n%v\n%v\nand in the directory\n%v\n%v", f.users, f.groups, users, groups)
	}
	events := f.events(t)
	f.whole(t, events)
	f.recorded(t, events)
	f.restart(t, len(events))
}

func (f *follower) nodes() []*bench { return append([]*bench{f.bench}, f.others...) }

// listed is a person or a group as a client lists them.
type listed struct {
	ID, UserName, DisplayName string
	Meta                      struct{ Version string }
	Members                   []struct{ Value string }
}

func (f *follower) list(t testing.TB, path string) (all []listed) {
	t.Helper()
	for {
		var page struct{ Resources []listed }
		must(t, json.Unmarshal([]byte(f.do(t, "GET", fmt.Sprintf("%s?count=200&startIndex=%d", path, 1+len(all)), "").wants(200).raw), &page))
		if len(page.Resources) == 0 {
			return all
		}
		all = append(all, page.Resources...)
	}
}

// catchUp takes in what the feed tells.
func (f *follower) catchUp(t testing.TB) {
	t.Helper()
	records := map[identity.EventID]bool{}
	for _, e := range f.events(t) {
		records[e.ID] = e.Outcome == audit.Success
	}
	for more := true; more; {
		page, err := f.feed.After(t.Context(), f.acme.id, f.cursor, 100)
		must(t, err)
		if page.More && len(page.Events) == 0 {
			t.Fatal("there is more behind this cursor, and nothing comes of it")
		}
		f.cursor, more = page.Cursor, page.More
		for _, e := range page.Events {
			if !records[e.EventID] {
				t.Errorf("%s of %s has no record", e.Type, e.ID)
			}
			if e.Sequence <= f.last {
				t.Errorf("%s of %s comes with the number %d, behind %d", e.Type, e.ID, e.Sequence, f.last)
			}
			if f.last = e.Sequence; f.told[e.EventID] != "" {
				t.Errorf("%s is told of twice: as %s of %s, and of %s", e.EventID, e.Type, e.ID, f.told[e.EventID])
			}
			f.told[e.EventID] = e.ID
			switch {
			case e.Type.Deletes():
				delete(f.users, e.ID)
				delete(f.groups, e.ID)
				for _, g := range f.groups {
					delete(g.members, e.ID)
				}
			case !e.Type.OfGroup():
				if before := f.users[e.ID].version; e.Version < before {
					t.Errorf("%s of %s goes from version %d to %d", e.Type, e.ID, before, e.Version)
				}
				now := followed{version: e.Version}
				if e.User != nil {
					now.name = e.User.UserName
				}
				f.users[e.ID] = now
			default:
				now := followed{members: f.groups[e.ID].members}
				if e.Type == directory.GroupCreated || now.members == nil {
					now.members = map[string]bool{}
				}
				if e.Group != nil {
					now.name = e.Group.Name
				}
				if e.Members != nil {
					for _, id := range e.Members.Removed {
						delete(now.members, id)
					}
					for _, id := range e.Members.Added {
						now.members[id] = true
					}
				}
				f.groups[e.ID] = now
			}
		}
	}
}

// whole checks that every change that is recorded, and not said to have failed, was told
// of: a later one may hide in the outcome that one before it was left out.
func (f *follower) whole(t testing.TB, events []audit.Event) {
	t.Helper()
	untold := map[string]int{}
	for _, e := range events {
		switch {
		case f.before[e.ID] || !strings.HasPrefix(string(e.Type), "user.") && !strings.HasPrefix(string(e.Type), "group."):
		case e.Outcome == audit.Failed:
			untold[string(e.Type)+" of "+e.Target.ID]--
		case e.Outcome == audit.Success && f.told[e.ID] != e.Target.ID:
			untold[string(e.Type)+" of "+e.Target.ID]++
		}
	}
	for what, n := range untold {
		if n != 0 {
			t.Errorf("%s is recorded, and not told of %d times", what, n)
		}
	}
}

// recorded checks that every request that is in the journal is kept, as far as there was
// room for it.
func (f *follower) recorded(t testing.TB, events []audit.Event) {
	t.Helper()
	var kept []string
	lost := 0
	for _, node := range f.nodes() {
		node.recorder.Flush(t.Context())
	}
	must(t, f.db.Tenant(f.acme.id).Read(t.Context(), func(tx *store.Tx) (err error) {
		kept, err = store.All(t.Context(), tx, store.Scalar[string], `SELECT id FROM scim_requests ORDER BY id`)
		if err == nil {
			lost, err = store.One(t.Context(), tx, store.Scalar[int], `SELECT count(*) FROM scim_requests WHERE lost > 0 AND status <> 401`)
		}
		return err
	}))
	for _, e := range events {
		if _, there := slices.BinarySearch(kept, string(e.RequestID)); !there && lost == 0 && e.RequestID != "" && e.Type != audit.AccessRefused {
			t.Errorf("the request of %s is not kept", e.Type)
		}
	}
}

// restart checks that nothing is left open for a node that starts with each journal.
func (f *follower) restart(t testing.TB, events int) {
	t.Helper()
	for _, node := range f.nodes() {
		again := directory.New(directory.Config{Store: f.db, Journal: node.journal, Past: node.journal})
		must(t, again.Reconcile(t.Context(), f.acme.id))
	}
	if now := len(f.events(t)); now != events {
		t.Errorf("%d changes were recorded and not made", now-events)
	}
}
