package directory_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// crowd makes people at once, without the journal.
func (b *bench) crowd(t *testing.T, n int) []string {
	t.Helper()
	ids := make([]string, n)
	must(t, b.db.Tenant(b.tenant).Write(t.Context(), func(tx *store.Tx) error {
		for i := range ids {
			ids[i] = fmt.Sprintf("usr_%05d", i)
			if _, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
				VALUES ($1, $1, $1, '', '', $1, $1, TRUE, 'scim', '{}', 1, 0, 0)`, ids[i]); err != nil {
				return err
			}
		}
		return nil
	}))
	return ids
}

// grouped makes a group of people by their ids.
func (b *bench) grouped(t *testing.T, name string, ids ...string) directory.Group {
	t.Helper()
	var members directory.MemberChange
	members.Add(directory.AnyMember, ids...)
	g, err := b.CreateGroupWith(t.Context(), cause, b.tenant, directory.Group{DisplayName: name}, members)
	must(t, err)
	return g
}

// edit changes the members of a group.
func (b *bench) edit(ctx context.Context, s *directory.Service, id identity.GroupID, do func(*directory.MemberChange)) (directory.Group, error) {
	return s.UpdateGroup(ctx, cause, b.tenant, id, 0, func(_ *directory.Group, members *directory.MemberChange) error {
		do(members)
		return nil
	})
}

// in gives the ids of who is in a group.
func (b *bench) in(t *testing.T, id identity.GroupID) []string {
	t.Helper()
	g, err := b.Group(t.Context(), b.tenant, id, true)
	must(t, err)
	var ids []string
	for _, m := range g.Members {
		ids = append(ids, string(m.User)+string(m.Group))
	}
	return ids
}

// moved is what an event says of added and removed members.
func moved(e audit.Event) string { return e.Details["added"] + " in, " + e.Details["removed"] + " out" }

// TestMembersAreChangedStepByStep: in the order of the steps, with a record of what has
// really changed, and none where nothing has.
func TestMembersAreChangedStepByStep(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 6)
	inner := b.grouped(t, "inner")
	g := b.grouped(t, "g", ids[0], ids[1])
	const either, people, groups = directory.AnyMember, directory.PersonMember, directory.GroupMember
	for i, c := range []struct {
		do    func(*directory.MemberChange)
		in    []string
		moved string // empty: nothing changes
	}{
		{func(m *directory.MemberChange) { m.Add(either, ids[0]); m.Remove(either, ids[5]) }, []string{ids[0], ids[1]}, ""},
		{func(m *directory.MemberChange) { m.Add(people, ids[2], ids[2], ids[1]) }, []string{ids[0], ids[1], ids[2]}, "1 in, 0 out"},
		{func(m *directory.MemberChange) {
			m.Add(either, ids[3])
			m.Remove(either, ids[3], ids[0])
			m.Add(either, ids[0])
		}, []string{ids[0], ids[1], ids[2]}, ""},
		{func(m *directory.MemberChange) { m.RemoveAll(either); m.Add(either, ids[0], ids[1], ids[2]) }, []string{ids[0], ids[1], ids[2]}, ""},
		{func(m *directory.MemberChange) {
			m.RemoveAll(either)
			m.Add(either, ids[2], ids[4], ids[5])
			m.Remove(either, ids[5])
		}, []string{ids[2], ids[4]}, "1 in, 2 out"},
		{func(m *directory.MemberChange) { m.Add(either, string(inner.ID), ids[0]) }, []string{ids[0], ids[2], ids[4], string(inner.ID)}, "2 in, 0 out"},
		{func(m *directory.MemberChange) { m.Remove(people, string(inner.ID)); m.Remove(groups, ids[0]) }, []string{ids[0], ids[2], ids[4], string(inner.ID)}, ""},
		{func(m *directory.MemberChange) { m.RemoveAll(people); m.Add(either, ids[2]) }, []string{ids[2], string(inner.ID)}, "0 in, 2 out"},
		{func(m *directory.MemberChange) { m.RemoveAll(groups) }, []string{ids[2]}, "0 in, 1 out"},
		{func(m *directory.MemberChange) { m.RemoveAll(either) }, nil, "0 in, 1 out"},
	} {
		b.took()
		before, err := b.Group(t.Context(), b.tenant, g.ID, false)
		must(t, err)
		after, err := b.edit(t.Context(), b.Service, g.ID, c.do)
		must(t, err)
		if got := b.in(t, g.ID); !slices.Equal(got, c.in) {
			t.Errorf("%d: %v are in it, want %v", i, got, c.in)
		}
		if steps := b.took(); c.moved == "" {
			if len(steps) != 0 || after.Version != before.Version {
				t.Errorf("%d: nothing changed, but %v, version %d to %d", i, steps, before.Version, after.Version)
			}
		} else if got := moved(b.lastEvent()); len(steps) != 1 || got != c.moved || after.Version != before.Version+1 {
			t.Errorf("%d: %v, %s, version %d to %d; want %s", i, steps, got, before.Version, after.Version, c.moved)
		}
	}
	before, err := b.Group(t.Context(), b.tenant, g.ID, false)
	must(t, err)
	for _, unknown := range []func(*directory.MemberChange){
		func(m *directory.MemberChange) { m.Add(either, ids[0], "usr_nobody") },
		func(m *directory.MemberChange) { m.Add(people, ids[0], string(inner.ID)) },
		func(m *directory.MemberChange) { m.Add(groups, string(inner.ID), ids[0]) },
	} {
		_, err := b.edit(t.Context(), b.Service, g.ID, unknown)
		wantFault(t, err, fault.Invalid, "unknown-member")
	}
	_, err = b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) { m.Add(either, ids[0], string(g.ID)) })
	wantFault(t, err, fault.Invalid, "group-in-itself")
	if after, err := b.Group(t.Context(), b.tenant, g.ID, true); err != nil || after.Version != before.Version || after.Members != nil {
		t.Errorf("a refused change left its mark: %+v, %v", after, err)
	}
}

// TestManyMembersAreReplaced: more than are listed by name leave, and who stays has
// never left.
func TestManyMembersAreReplaced(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 2600)
	g := b.grouped(t, "g", ids[:2500]...)
	stay := append(slices.Clone(ids[10:15]), ids[1200:1700]...)
	after, err := b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) {
		m.RemoveAll(directory.AnyMember)
		m.Add(directory.AnyMember, append(slices.Clone(stay), ids[2599])...)
	})
	must(t, err)
	if got := b.in(t, g.ID); !slices.Equal(got, append(stay, ids[2599])) {
		t.Errorf("%d are in it", len(got))
	}
	if got := moved(b.lastEvent()); got != "1 in, 1995 out" || after.Version != 2 {
		t.Errorf("%s, version %d", got, after.Version)
	}
	_, err = b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) { m.Add(directory.PersonMember, ids...) })
	must(t, err)
	_, err = b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) { m.RemoveAll(directory.PersonMember) })
	must(t, err)
	if got := moved(b.lastEvent()); got != "0 in, 2600 out" || b.in(t, g.ID) != nil {
		t.Error(got)
	}
}

// TestAGroupHoldsNoMoreThanItMay: whether or not it is known beforehand how many it has.
func TestAGroupHoldsNoMoreThanItMay(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 12)
	b.Service = directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw, MaxMembers: 5})
	var six directory.MemberChange
	six.Add(directory.AnyMember, ids[:6]...)
	_, err := b.CreateGroupWith(t.Context(), cause, b.tenant, directory.Group{DisplayName: "six"}, six)
	wantFault(t, err, fault.Invalid, "too-many-members")
	inner, g := b.grouped(t, "inner"), b.grouped(t, "g", ids[0])
	add := func(ids ...string) error {
		_, err := b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) { m.Add(directory.AnyMember, ids...) })
		return err
	}
	must(t, add(ids[1:4]...))
	must(t, add(string(inner.ID)))
	wantFault(t, add(ids[5]), fault.Invalid, "too-many-members")
	must(t, b.RemoveMembers(t.Context(), cause, b.tenant, g.ID, []identity.UserID{identity.UserID(ids[0])}))
	must(t, b.DeleteUser(t.Context(), cause, b.tenant, identity.UserID(ids[1]), 0)) // the group is not told of it
	must(t, add(ids[6:8]...))
	wantFault(t, add(ids[8]), fault.Invalid, "too-many-members")
	_, err = b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) {
		m.RemoveAll(directory.AnyMember)
		m.Add(directory.AnyMember, ids[7:12]...)
	})
	must(t, err)
	wantFault(t, add(ids[0]), fault.Invalid, "too-many-members")
}

// TestNodesThatChangeOneGroupLoseNothing: two nodes know nothing of each other's turns,
// and each has its clients add and remove others, and some the same.
func TestNodesThatChangeOneGroupLoseNothing(t *testing.T) {
	b := newBench(t)
	const clients = 10
	ids := b.crowd(t, 3*clients)
	g := b.grouped(t, "g", ids[:clients]...)
	b.took()
	other := directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: authz.Withdraw})
	var all sync.WaitGroup
	for i := range clients {
		for node, s := range []*directory.Service{b.Service, other} {
			all.Go(func() {
				for { // a node that has others before it for too long says so, and is asked again
					_, err := b.edit(t.Context(), s, g.ID, func(m *directory.MemberChange) {
						m.Remove(directory.AnyMember, ids[i])
						m.Add(directory.AnyMember, ids[clients+i], ids[2*clients+(i+5*node)%clients])
					})
					if fault.Is(err, fault.Unavailable) {
						continue
					}
					if err != nil {
						t.Error(err)
					}
					return
				}
			})
		}
	}
	all.Wait()
	if got := b.in(t, g.ID); !slices.Equal(got, ids[clients:]) {
		t.Errorf("%v are in it", got)
	}
	added, removed := 0, 0
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Type != audit.GroupChanged {
			continue
		}
		sign := 1
		if e.Outcome == audit.Failed {
			sign = -1
		}
		in, errIn := strconv.Atoi(e.Details["added"])
		out, errOut := strconv.Atoi(e.Details["removed"])
		must(t, errIn)
		must(t, errOut)
		added, removed = added+sign*in, removed+sign*out
	}
	if added != 2*clients || removed != clients {
		t.Errorf("the journal counts %d added and %d removed, want %d and %d", added, removed, 2*clients, clients)
	}
}

// TestMembersAgainstAModel: whatever is done to a group, in it are those whom a simple
// set of them holds, and the journal counts what changes.
func TestMembersAgainstAModel(t *testing.T) {
	b := newBench(t)
	ids := b.crowd(t, 8)
	for i := range 3 {
		ids = append(ids, string(b.grouped(t, fmt.Sprint("inner-", i)).ID))
	}
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		g := b.grouped(t, fmt.Sprint("g-", round))
		model := map[string]bool{}
		some := rapid.SliceOfN(rapid.SampledFrom(ids), 0, 6)
		for range rapid.IntRange(1, 8).Draw(r, "changes") {
			before := maps.Clone(model)
			var steps []func(*directory.MemberChange)
			for range rapid.IntRange(1, 4).Draw(r, "steps") {
				named := some.Draw(r, "named")
				switch rapid.IntRange(0, 4).Draw(r, "what") {
				case 0, 1:
					steps = append(steps, func(m *directory.MemberChange) { m.Add(directory.AnyMember, named...) })
					for _, id := range named {
						model[id] = true
					}
				case 2:
					steps = append(steps, func(m *directory.MemberChange) { m.Remove(directory.AnyMember, named...) })
					for _, id := range named {
						delete(model, id)
					}
				case 3:
					steps = append(steps, func(m *directory.MemberChange) {
						m.RemoveAll(directory.AnyMember)
						m.Add(directory.AnyMember, named...)
					})
					clear(model)
					for _, id := range named {
						model[id] = true
					}
				case 4:
					steps = append(steps, func(m *directory.MemberChange) { m.RemoveAll(directory.GroupMember) })
					maps.DeleteFunc(model, func(id string, _ bool) bool { return strings.HasPrefix(id, "grp_") })
				}
			}
			was, err := b.Group(t.Context(), b.tenant, g.ID, false)
			must(t, err)
			b.took()
			is, err := b.edit(t.Context(), b.Service, g.ID, func(m *directory.MemberChange) {
				for _, step := range steps {
					step(m)
				}
			})
			must(t, err)
			in, out := 0, 0
			for id := range model {
				if !before[id] {
					in++
				}
			}
			for id := range before {
				if !model[id] {
					out++
				}
			}
			switch records := b.took(); {
			case in+out == 0 && (len(records) != 0 || is.Version != was.Version):
				r.Fatalf("nothing changed, but %v, version %d to %d", records, was.Version, is.Version)
			case in+out > 0 && (moved(b.lastEvent()) != fmt.Sprint(in, " in, ", out, " out") || is.Version != was.Version+1):
				r.Fatalf("%s, want %d in, %d out; version %d to %d", moved(b.lastEvent()), in, out, was.Version, is.Version)
			}
			got := b.in(t, g.ID)
			slices.Sort(got)
			if want := slices.Sorted(maps.Keys(model)); !slices.Equal(got, want) {
				r.Fatalf("%v are in it, want %v", got, want)
			}
		}
	})
}
