package audit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/audit/segment"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

func openStore(t *testing.T, tenants ...identity.TenantID) *store.DB {
	t.Helper()
	db := must[*store.DB](t)(store.Open(t.Context(), postgrestest.Or(t, "sqlite://"+t.TempDir()), store.Options{Keys: fixedKeys{}, Environment: "test"}))
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, tenant := range tenants {
		if err := db.Create(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// running runs an index until the test ends, or stop is called.
func running(t *testing.T, x *Index) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return stop
}

// indexed waits until the index holds so many events.
func indexed(t *testing.T, x *Index, want int) []Event {
	t.Helper()
	var items []Event
	eventually(t, fmt.Sprintf("there never are %d events in the index", want), func() bool {
		items = must[Page](t)(x.Search(t.Context(), acme, Filter{Limit: maxLimit})).Items
		return len(items) == want
	})
	return items
}

func commit(t *testing.T, j *Journal, e Event) Receipt {
	t.Helper()
	e.Tenant = acme
	return must[Receipt](t)(j.Commit(t.Context(), e))
}

func subscribe(t *testing.T, x *Index, tenant identity.TenantID) (events <-chan Indexed, cancel func()) {
	t.Helper()
	events, cancel, err := x.Subscribe(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	return events, cancel
}

func TestIndexFollowsAndPublishes(t *testing.T) {
	j := open(t, Options{})
	x := NewIndex(j, openStore(t, acme))
	live, cancel := subscribe(t, x, acme)
	stop := running(t, x)
	r := commit(t, j, Event{Type: SignInSucceeded, Outcome: Success})
	e := access("/allowed")
	must[Receipt](t)(j.Write(t.Context(), &e))
	refused := access("/refused")
	refused.Type, refused.Outcome, refused.Reason = AccessRefused, Refused, "no-role"
	must[Receipt](t)(j.Write(t.Context(), &refused))

	if got := <-live; got.ID != r.Event() || got.Type != SignInSucceeded {
		t.Errorf("%+v", got)
	}
	if got := <-live; got.ID != refused.ID {
		t.Errorf("%+v", got)
	}
	if items := indexed(t, x, 2); items[0].ID != refused.ID || items[1].ID != r.Event() || items[0].Reason != "no-role" {
		t.Errorf("not newest first: %+v", items)
	}
	for _, id := range []identity.EventID{r.Event(), e.ID, refused.ID} {
		if found := must[Event](t)(x.ByID(t.Context(), acme, id)); found.ID != id || found.Tenant != acme {
			t.Errorf("%s: %+v", id, found)
		}
	}
	for _, id := range []identity.EventID{"evt_x", identity.NewEventID()} {
		if _, err := x.ByID(t.Context(), acme, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	stop()
	if _, ok := <-live; ok {
		t.Error("the stream outlives the index")
	}
	cancel()
}

// A crash between the rows and the cursor, or a cursor that is behind for any
// reason, leaves each event in the index once.
func TestIndexingTwiceKeepsEachEventOnce(t *testing.T) {
	dir, db := t.TempDir(), openStore(t, acme)
	for run := range 3 {
		j := must[*Journal](t)(Open(Options{Dir: dir, Node: "node-1", Keys: fixedKeys{}, SegmentBytes: 2000}))
		x := NewIndex(j, db)
		stop := running(t, x)
		for range 20 {
			commit(t, j, Event{Type: UserChanged, Outcome: Success})
		}
		indexed(t, x, 20*(run+1))
		stop()
		if err := db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE journal_cursors SET seq = 7`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestP7DeadStoreHoldsUpNothing(t *testing.T) {
	j := open(t, Options{})
	db := openStore(t) // without acme: every use fails
	x := NewIndex(j, db)
	running(t, x)
	for range 200 {
		commit(t, j, Event{Type: UserChanged})
	}
	e := access("/")
	must[Receipt](t)(j.Write(t.Context(), &e))
	if found := must[Event](t)(x.ByID(t.Context(), acme, e.ID)); found.ID != e.ID {
		t.Error("the journal itself is not searched:", found)
	}
	if len(x.queue) > 1 || len(x.state) != 1 {
		t.Error("the index piles up work")
	}
	if err := db.Create(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	indexed(t, x, 200)
}

// What was recorded under another name in the same folder is found as if it
// were under ours.
func TestRecordsOfAnEarlierNameAreFound(t *testing.T) {
	dir, db := t.TempDir(), openStore(t, acme)
	var ids []identity.EventID
	record := func(j *Journal) {
		// Nodes write one after the other, and their ids tell so by the millisecond.
		for begun := time.Now().UnixMilli(); time.Now().UnixMilli() == begun; {
			runtime.Gosched()
		}
		for i := range 5 {
			ids = append(ids, commit(t, j, Event{Type: UserChanged}).Event())
			e := access(fmt.Sprint("/", i))
			ids = append(ids, must[Receipt](t)(j.Write(t.Context(), &e)).Event())
		}
	}
	for _, name := range []string{"z-first", "a-second"} {
		earlier := must[*Journal](t)(Open(Options{Dir: dir, Node: name, Keys: fixedKeys{}, SegmentBytes: 1000}))
		record(earlier)
		if err := earlier.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, Options{Dir: dir, Node: "m-now"})
	record(j)
	for range 2 { // also when all is indexed already
		x := NewIndex(j, db)
		stop := running(t, x)
		indexed(t, x, 15)
		if found := must[Event](t)(x.ByID(t.Context(), acme, ids[1])); found.Node != "z-first" {
			t.Errorf("found %+v", found)
		}
		var decisions []identity.EventID
		for f := (Filter{Limit: 2}); ; {
			page := must[Page](t)(x.Access(t.Context(), acme, f))
			for _, e := range page.Items {
				decisions = append(decisions, e.ID)
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		var newestFirst []identity.EventID
		for i := len(ids) - 1; i > 0; i -= 2 {
			newestFirst = append(newestFirst, ids[i])
		}
		if !slices.Equal(decisions, newestFirst) {
			t.Errorf("access decisions: %v, want %v", decisions, newestFirst)
		}
		stop()
	}
	var all []identity.EventID
	for e, err := range j.All(t.Context(), acme) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.ID)
	}
	if !slices.Equal(all, ids) {
		t.Errorf("all: %v, want %v", all, ids)
	}
	if own := read(t, j, acme); len(own) != 10 || own[0].Node != "m-now" {
		t.Errorf("%d records of this node", len(own))
	}
}

func TestIndexNoticesAShortenedJournal(t *testing.T) {
	dir, db := t.TempDir(), openStore(t, acme)
	first := must[*Journal](t)(Open(Options{Dir: dir, Node: "node-1", Keys: fixedKeys{}, SegmentBytes: 1}))
	x := NewIndex(first, db)
	stop := running(t, x)
	for range 5 {
		commit(t, first, Event{Type: UserChanged})
	}
	indexed(t, x, 5)
	stop()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{4, 5} { // cut off without a trace in the files
		if err := os.Remove(filepath.Join(dir, string(acme), "node-1", segment.Name(seq))); err != nil {
			t.Fatal(err)
		}
	}
	j := open(t, Options{Dir: dir})
	x = NewIndex(j, db)
	found := must[Report](t)(x.Verify(t.Context(), acme)).Problems
	if len(found) != 1 || found[0].Seq != 4 || !strings.Contains(found[0].What, "records 4 to 5 were written and are missing") {
		t.Errorf("before the index runs: %v", found)
	}
	running(t, x)
	items := indexed(t, x, 6)
	if items[0].Type != JournalShortened || items[0].Seq != 4 || items[0].Details["indexed"] != "5" || items[0].Details["found"] != "3" {
		t.Errorf("%+v", items[0])
	}
	// Though the numbers are taken again, what was lost stays known.
	for range 2 {
		commit(t, j, Event{Type: UserChanged})
	}
	found = must[Report](t)(x.Verify(t.Context(), acme)).Problems
	if len(found) != 1 || found[0].Seq != 4 || !strings.Contains(found[0].What, "end with record 3, though record 5") {
		t.Errorf("afterwards: %v", found)
	}
}

func TestSearchFilters(t *testing.T) {
	j := open(t, Options{})
	x := NewIndex(j, openStore(t, acme, "ten_globex"))
	running(t, x)
	ip := netip.MustParseAddr("192.0.2.7")
	commit(t, j, Event{Type: SignInRefused, Outcome: Refused, Reason: "signature-invalid", IP: ip})
	commit(t, j, Event{Type: UserDeactivated, Outcome: Success, Actor: Actor{Kind: identity.KindUser, ID: "usr_1", Name: "Owner@acme.example"},
		Target: Target{Kind: "user", ID: "usr_2", Name: `100% "Ann"_B`}, Session: "ses_1", RequestID: "req_1"})
	commit(t, j, Event{Type: SignedOut, Outcome: Success, Message: "bye, Ärger", Actor: Actor{Name: "Ö\x00X"}})
	all := indexed(t, x, 3)
	for _, c := range []struct {
		name string
		f    Filter
		want []Type
	}{
		{"all", Filter{}, []Type{SignedOut, UserDeactivated, SignInRefused}},
		{"types", Filter{Types: []Type{SignedOut, SignInRefused}}, []Type{SignedOut, SignInRefused}},
		{"outcome", Filter{Outcome: Refused}, []Type{SignInRefused}},
		{"actor by id", Filter{Actor: "usr_1"}, []Type{UserDeactivated}},
		{"actor by name", Filter{Actor: "owner@ACME.example"}, []Type{UserDeactivated}},
		{"target", Filter{Target: "usr_2"}, []Type{UserDeactivated}},
		{"session", Filter{Session: "ses_1"}, []Type{UserDeactivated}},
		{"request", Filter{Request: "req_1"}, []Type{UserDeactivated}},
		{"ip", Filter{IP: "192.0.2.7"}, []Type{SignInRefused}},
		{"text", Filter{Text: "SIGNATURE"}, []Type{SignInRefused}},
		{"text with quotes", Filter{Text: `100% "ann"_b`}, []Type{UserDeactivated}},
		{"text beyond ASCII", Filter{Text: "Bye, ÄRGER"}, []Type{SignedOut}},
		{"text is no pattern", Filter{Text: "%"}, []Type{UserDeactivated}},
		{"from", Filter{From: all[1].Time.Add(time.Hour)}, nil},
		{"to", Filter{To: all[2].Time.Add(-time.Hour)}, nil},
		{"injection", Filter{Actor: "' OR 1=1 --"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []Type
			for _, e := range must[Page](t)(x.Search(t.Context(), acme, c.f)).Items {
				got = append(got, e.Type)
				if !c.f.matches(&e) {
					t.Error("the files' filter disagrees on", e)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if page := must[Page](t)(x.Search(t.Context(), "ten_globex", Filter{})); len(page.Items) != 0 {
		t.Error("P3: another tenant's events:", page)
	}
	for _, bad := range []Filter{{Limit: -1}, {Limit: maxLimit + 1}, {Text: strings.Repeat("x", 300)}, {Cursor: "!"}, {Cursor: "eA"}, {Types: make([]Type, maxTypes+1)}} {
		if _, err := x.Search(t.Context(), acme, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestPagesCoverEverythingOnce(t *testing.T) {
	j := open(t, Options{SegmentBytes: 3000})
	x := NewIndex(j, openStore(t, acme))
	running(t, x)
	var want []identity.EventID
	for i := range 60 {
		want = append(want, commit(t, j, Event{Type: UserChanged}).Event())
		e := access(fmt.Sprint("/", i%3))
		if i%2 == 0 {
			e.Type, e.Outcome = AccessRefused, Refused
		}
		must[Receipt](t)(j.Write(t.Context(), &e))
	}
	indexed(t, x, 90)
	pages := func(list func(context.Context, identity.TenantID, Filter) (Page, error), f Filter) (ids []identity.EventID) {
		for {
			page := must[Page](t)(list(t.Context(), acme, f))
			if len(page.Items) > f.Limit {
				t.Fatal("a page of", len(page.Items))
			}
			for _, e := range page.Items {
				if len(ids) > 0 && e.ID >= ids[len(ids)-1] {
					t.Fatal("not newest first")
				}
				ids = append(ids, e.ID)
			}
			if page.Next == "" {
				return ids
			}
			f.Cursor = page.Next
		}
	}
	if ids := pages(x.Search, Filter{Types: []Type{UserChanged}, Limit: 7}); len(ids) != 60 || ids[59] != want[0] {
		t.Error(len(ids))
	}
	if ids := pages(x.Access, Filter{Limit: 7}); len(ids) != 60 {
		t.Error(len(ids))
	}
	if ids := pages(x.Access, Filter{Limit: 1, Types: []Type{AccessAllowed}, Text: "/2"}); len(ids) != 10 {
		t.Error(len(ids))
	}
	if ids := pages(x.Access, Filter{Limit: 7, From: time.Now().Add(time.Hour)}); len(ids) != 0 {
		t.Error(len(ids))
	}
	for _, bad := range []string{"x", encodeCursor("0.0"), encodeCursor("-1.5")} {
		if _, err := x.Access(t.Context(), acme, Filter{Cursor: bad}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, forged := range []string{"1.1", "1.999999999", "1.150", "77.5"} {
		if page, err := x.Access(t.Context(), acme, Filter{Cursor: encodeCursor(forged)}); err == nil && len(page.Items) > 60 {
			t.Error(forged)
		}
	}
}

func TestForgottenTenantsAreNotFollowed(t *testing.T) {
	j := open(t, Options{})
	x := NewIndex(j, openStore(t, acme))
	live, cancel := subscribe(t, x, acme)
	defer cancel()
	commit(t, j, Event{Type: UserChanged})
	x.Forget(acme)
	if _, ok := <-live; ok {
		t.Error("the stream goes on")
	}
	ctx, cancelRun := context.WithCancel(t.Context())
	cancelRun()
	if _, _, ok := x.take(ctx); ok {
		t.Error("the tenant is still followed")
	}
	if err := errors.Join(x.Run(ctx)); err != nil {
		t.Error(err)
	}
}
