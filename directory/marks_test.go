package directory_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// mortal is a journal whose process dies once it has made some more records.
type mortal struct {
	*audit.Journal
	lives int // how many records it makes before that; -1: it does not die
}

func (m *mortal) Commit(ctx context.Context, e audit.Event) (audit.Receipt, error) {
	all := []audit.Event{e}
	return audit.Receipt{}, m.CommitAll(ctx, all)
}

func (m *mortal) CommitAll(ctx context.Context, events []audit.Event) error {
	for i := range events {
		if m.lives == 0 {
			runtime.Goexit()
		}
		if err := m.Journal.CommitAll(ctx, events[i:i+1]); err != nil {
			return err
		}
		if m.lives > 0 {
			m.lives--
		}
	}
	if m.lives == 0 {
		runtime.Goexit() // before anything else is done
	}
	return nil
}

// grave is a directory whose process can die and be started again.
type grave struct {
	*bench
	journal *audit.Journal
	life    *mortal
}

func newGrave(t *testing.T) *grave {
	t.Helper()
	b := newBench(t)
	journal, err := audit.Open(audit.Options{Dir: t.TempDir(), Node: "one", Keys: b.ring})
	must(t, err)
	t.Cleanup(func() { must(t, journal.Close()) })
	g := &grave{bench: b, journal: journal}
	g.start()
	return g
}

// start is the next process.
func (g *grave) start() {
	g.life = &mortal{g.journal, -1}
	g.Service = directory.New(directory.Config{Store: g.db, Journal: g.life, Past: g.life, Sessions: g.bench, Withdraw: authz.Withdraw})
}

// dies does something in a process that dies after so many records.
func (g *grave) dies(t *testing.T, records int, do func()) {
	t.Helper()
	g.life.lives = records
	over := make(chan bool)
	go func() {
		survived := false
		defer func() { over <- survived }()
		do()
		survived = true
	}()
	if <-over {
		t.Error("the process did not die")
	}
}

// records are what the journal has of the directory: type, name and outcome.
func (g *grave) records(t *testing.T) (all []string) {
	t.Helper()
	for e, err := range g.journal.Read(t.Context(), g.tenant, 0) {
		must(t, err)
		if e.Type != audit.JournalRecovered {
			all = append(all, fmt.Sprint(e.Type, " ", e.Target.Name, " ", e.Outcome))
		}
	}
	return all
}

func (g *grave) reconcile(t *testing.T) {
	t.Helper()
	must(t, g.Reconcile(t.Context(), g.tenant))
}

func TestP1_WhatWasRecordedAndNotMadeIsSaidNotToBe(t *testing.T) {
	g := newGrave(t)
	ann, bob := g.create(t, directory.User{UserName: "ann", Active: true}), g.create(t, directory.User{UserName: "bob", Active: true})
	staff, err := g.CreateGroup(t.Context(), cause, g.tenant, directory.Group{DisplayName: "staff", Members: []directory.Member{{User: ann.ID}}})
	must(t, err)
	ctx := t.Context()
	for name, try := range map[string]struct {
		do   func()
		want []string // what is recorded of it
	}{
		"a deactivation": {func() {
			_, _ = g.UpdateUser(ctx, cause, g.tenant, ann.ID, 0, func(u *directory.User) error { u.Active = false; return nil })
		}, []string{"user.deactivated ann"}},
		"a deletion":         {func() { _ = g.DeleteUser(ctx, cause, g.tenant, bob.ID, 0) }, []string{"user.deleted bob"}},
		"the first creation": {func() { g.createAll(t, 0, "cy") }, []string{"user.created cy"}},
		"many creations":     {func() { g.createAll(t, 0, "cy", "dan", "eve") }, []string{"user.created cy", "user.created dan", "user.created eve"}},
		"members": {func() { _ = g.RemoveMembers(ctx, cause, g.tenant, staff.ID, []identity.UserID{ann.ID}) },
			[]string{"group.changed staff"}},
		"a group's end": {func() { _ = g.DeleteGroup(ctx, cause, g.tenant, staff.ID, 0) }, []string{"group.deleted staff"}},
		"a sign-in that makes somebody": {func() {
			_, _, _ = g.SignIn(ctx, cause, g.tenant, directory.SignIn{Connection: "con_1", Subject: "s", Name: "New", Groups: []string{"ops"}, CreateMissing: true})
		}, []string{"user.created s", "group.created ops"}},
		"a link": {func() { _ = g.Link(ctx, cause, g.tenant, ann.ID, directory.Namer{}, "con_1", "t") }, []string{"identity.linked ann"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.records(t)
			g.dies(t, len(try.want), try.do)
			// The next process dies as well, as soon as it has said a part of it.
			g.start()
			if len(try.want) > 1 {
				g.dies(t, 1, func() { _ = g.Reconcile(ctx, g.tenant) })
				g.start()
			}
			g.reconcile(t)
			g.reconcile(t)
			g.start()
			g.reconcile(t)
			var want []string
			for _, outcome := range []audit.Outcome{audit.Success, audit.Failed} {
				for _, record := range try.want {
					want = append(want, record+" "+string(outcome))
				}
			}
			got := g.records(t)[len(before):]
			// A process that dies on the way says what is left, in its own order.
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("recorded %q, want %q", got, want)
			}
		})
	}
}

// Nothing that was made is ever said not to be: whatever comes of its process after.
func TestP1_WhatWasMadeIsNotSaidNotToBe(t *testing.T) {
	g := newGrave(t)
	for i := range 5 {
		g.createAll(t, 0, fmt.Sprint("one", i), fmt.Sprint("two", i))
		if i%2 == 0 {
			g.start()
			g.reconcile(t)
		}
	}
	g.start()
	ann := g.create(t, directory.User{UserName: "ann", Active: true}) // before anybody has looked
	g.start()
	g.reconcile(t)
	// Another node, and what was recorded by a gateway that kept no marks.
	other, err := audit.Open(audit.Options{Dir: t.TempDir(), Node: "two", Keys: g.ring})
	must(t, err)
	defer func() { must(t, other.Close()) }()
	second := directory.New(directory.Config{Store: g.db, Journal: other, Sessions: g.bench, Withdraw: authz.Withdraw})
	must(t, second.DeleteUser(t.Context(), cause, g.tenant, ann.ID, 0))
	second = directory.New(directory.Config{Store: g.db, Journal: other, Past: other, Sessions: g.bench, Withdraw: authz.Withdraw})
	must(t, second.Reconcile(t.Context(), g.tenant))
	g.start()
	g.reconcile(t)
	for _, j := range []*audit.Journal{g.journal, other} {
		for e, err := range j.Read(t.Context(), g.tenant, 0) {
			if must(t, err); e.Outcome != audit.Success {
				t.Errorf("recorded %+v", e)
			}
		}
	}
}

// A name is taken by another node between the look at it and the writing, and the
// process dies before it has said who was not made.
func TestP1_WhoFoundNoRoomIsSaidNotToBeMade(t *testing.T) {
	g := newGrave(t)
	g.reconcile(t)
	g.life.lives = 3
	took := &taking{mortal: g.life, take: func() {
		must(t, g.db.Tenant(g.tenant).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO users (id, user_name, user_key, external_id, email, display_name, display_key, active, source, attributes, version, created_at, updated_at)
				VALUES ('usr_x', 'bob', 'bob', '', '', '', '', TRUE, 'scim', '{}', 1, 0, 0)`)
			return err
		}))
	}}
	g.Service = directory.New(directory.Config{Store: g.db, Journal: took, Past: took, Sessions: g.bench, Withdraw: authz.Withdraw})
	over := make(chan struct{})
	go func() { defer close(over); g.createAll(t, 0, "ann", "bob", "cy") }()
	<-over
	if got := g.records(t); len(got) != 3 {
		t.Fatalf("recorded %q", got)
	}
	g.start()
	g.reconcile(t)
	g.start()
	g.reconcile(t)
	if got := g.records(t); len(got) != 4 || got[3] != "user.created bob failed" {
		t.Errorf("recorded %q", got)
	}
	if page, err := g.Users(t.Context(), g.tenant, directory.UserQuery{}); err != nil || page.Total != 3 {
		t.Errorf("%+v, %v", page, err)
	}
}

// taking has something happen behind the first records, and dies at those after them.
type taking struct {
	*mortal
	take func()
}

func (k *taking) CommitAll(ctx context.Context, events []audit.Event) error {
	if k.take == nil {
		runtime.Goexit()
	}
	k.take()
	k.take = nil
	return k.Journal.CommitAll(ctx, events)
}

// A database that was put back to an earlier state lacks what was made since.
func TestP1_AnEarlierStateOfTheDatabaseTellsOfNoFailure(t *testing.T) {
	g := newGrave(t)
	g.create(t, directory.User{UserName: "ann", Active: true})
	g.create(t, directory.User{UserName: "bob", Active: true})
	cause := cause
	cause.RequestID = "req_2"
	_, err := g.CreateUser(t.Context(), cause, g.tenant, directory.User{UserName: "cy", Active: true})
	must(t, err)
	must(t, g.db.Tenant(g.tenant).Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(t.Context(), `DELETE FROM users WHERE user_name <> 'ann'`); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `UPDATE directory_marks SET seq = 1`)
		return err
	}))
	g.start()
	g.reconcile(t)
	if got := g.records(t); len(got) != 3 {
		t.Errorf("recorded %q", got)
	}
}

// Where each start has another name, marks do not become more and more: those of nodes
// that are gone are removed, and what is settled of those that are there stays so.
func TestMarksOfNodesThatAreGoneAreRemoved(t *testing.T) {
	g := newGrave(t)
	marks := func() (nodes []string) {
		t.Helper()
		must(t, g.db.Tenant(g.tenant).Read(t.Context(), func(tx *store.Tx) (err error) {
			nodes, err = store.All(t.Context(), tx, store.Scalar[string], `SELECT node FROM directory_marks ORDER BY node`)
			return err
		}))
		return nodes
	}
	mark := func(name string, moved time.Time) {
		t.Helper()
		must(t, g.db.Tenant(g.tenant).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO directory_marks (node, seq, unmade, moved_at) VALUES ($1, 7, '', $2)`, name, store.Millis(moved))
			return err
		}))
	}
	must(t, g.Reconcile(t.Context(), g.tenant))
	mark("long-gone", time.Now().Add(-91*24*time.Hour))
	mark("two", time.Now().Add(-89*24*time.Hour))
	mark("before", time.Time{}) // from when it was not kept
	g.start()
	must(t, g.Reconcile(t.Context(), g.tenant))
	if got := marks(); !slices.Equal(got, []string{"before", "one", "two"}) {
		t.Errorf("marks of %q", got)
	}
	for i := range 250 {
		mark(fmt.Sprintf("pod-%03d", i), time.Now().Add(time.Duration(i-400)*time.Minute))
	}
	g.start()
	must(t, g.Reconcile(t.Context(), g.tenant))
	got := marks()
	if len(got) != 200 || !slices.Contains(got, "one") || !slices.Contains(got, "pod-249") || slices.Contains(got, "pod-050") || slices.Contains(got, "before") {
		t.Errorf("%d marks: %q", len(got), got)
	}
}
