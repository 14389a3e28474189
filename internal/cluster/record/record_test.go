package record_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/record"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

func TestOnPostgres(t *testing.T) {
	postgrestest.Again(t, []func(*testing.T){
		TestArbiter, TestMessagesAreKeptForAnHour, TestAGreatOutboxIsGivenInParts, TestANodeIsApartForAWhile, TestALostEpochIsAnError,
	})
}

func TestArbiter(t *testing.T) {
	clustertest.Arbiter(t, func(t *testing.T) func() cluster.Arbiter {
		nodes, next := nodes(t), 0
		return func() cluster.Arbiter {
			next++
			return arbiter(t, nodes[next%len(nodes)].System())
		}
	})
}

func TestMessagesAreKeptForAnHour(t *testing.T) {
	system := nodes(t)[0].System()
	arbiter := arbiter(t, system)
	for _, id := range []string{"1", "2", "3"} {
		appendMessage(t, arbiter, id)
	}
	change(t, system, `UPDATE cluster_outbox SET at = at - $1 WHERE id <> '3'`, cluster.OutboxFor.Milliseconds()+1)
	change(t, system, `UPDATE cluster_outbox SET at = at - $1 WHERE id = '3'`, cluster.OutboxFor.Milliseconds()-60_000)
	appendMessage(t, arbiter, "4")
	if got, last := outbox(t, arbiter, 0); !slices.Equal(got, []string{"3", "4"}) || last != 4 {
		t.Errorf("left are %q up to %d", got, last)
	}
	change(t, system, `UPDATE cluster_outbox SET at = at - $1`, 2*cluster.OutboxFor.Milliseconds())
	appendMessage(t, arbiter, "5")
	if got, last := outbox(t, arbiter, 0); !slices.Equal(got, []string{"5"}) || last != 5 {
		t.Errorf("in the end are left %q up to %d", got, last)
	}
}

func TestAGreatOutboxIsGivenInParts(t *testing.T) {
	arbiter := arbiter(t, nodes(t)[0].System())
	const all = 300
	for range all {
		appendMessage(t, arbiter, "m")
	}
	first, last := outbox(t, arbiter, 0)
	if len(first) >= all || last != uint64(len(first)) {
		t.Fatalf("%d messages at once, up to %d", len(first), last)
	}
	if rest, end := outbox(t, arbiter, last); len(first)+len(rest) != all || end != all {
		t.Errorf("then %d, up to %d", len(rest), end)
	}
}

func TestANodeIsApartForAWhile(t *testing.T) {
	system := nodes(t)[0].System()
	arbiter := arbiter(t, system)
	say := func(node string) {
		t.Helper()
		if err := arbiter.Apart(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want ...string) {
		t.Helper()
		if e, err := arbiter.Epoch(t.Context()); err != nil || !slices.Equal(e.Apart, want) {
			t.Fatalf("apart are %q, want %q: %v", e.Apart, want, err)
		}
	}
	say("a")
	say("b")
	// A minute is left of b's time, if the test is slow, and nothing of a's.
	change(t, system, `UPDATE cluster_apart SET until = until - $1 WHERE node = 'a'`, cluster.ApartFor.Milliseconds())
	change(t, system, `UPDATE cluster_apart SET until = until + $1 WHERE node = 'b'`, 60_000)
	is("b")
	change(t, system, `UPDATE cluster_apart SET until = until + $1`, 60_000)
	is("a", "b")
	change(t, system, `UPDATE cluster_apart SET until = until - $1`, 200_000)
	is()
	say("a")
	is("a")
	if n := count(t, system, `SELECT count(*) FROM cluster_apart`); n != 1 {
		t.Errorf("%d rows are kept for one node", n)
	}
}

// An epoch that is not there must not be taken for the first.
func TestALostEpochIsAnError(t *testing.T) {
	system := nodes(t)[0].System()
	arbiter := arbiter(t, system)
	change(t, system, `DELETE FROM cluster_epoch`)
	if e, err := arbiter.Epoch(t.Context()); err == nil {
		t.Errorf("the epoch is %+v", e)
	}
	if err := arbiter.Append(t.Context(), cluster.Message{ID: "1", Topic: "test"}); err == nil {
		t.Error("a message has got a position from nowhere")
	}
}

// nodes open one database: on PostgreSQL several do.
func nodes(t *testing.T) (nodes []*store.DB) {
	t.Helper()
	url, several := postgrestest.Or(t, "sqlite://"+t.TempDir()), 1
	if strings.HasPrefix(url, "postgres") {
		several = 3
	}
	for range several {
		db, err := store.Open(t.Context(), url, store.Options{Keys: fixedKey{}, Environment: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, db)
	}
	return nodes
}

func arbiter(t *testing.T, system store.System) *record.Arbiter {
	t.Helper()
	a, err := record.New(t.Context(), system)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

type fixedKey struct{}

func (fixedKey) Derive(_ context.Context, _ identity.TenantID, _ string, size int) ([]byte, error) {
	return make([]byte, size), nil
}

func appendMessage(t *testing.T, a *record.Arbiter, id string) {
	t.Helper()
	if err := a.Append(t.Context(), cluster.Message{ID: id, Topic: "test"}); err != nil {
		t.Fatal(err)
	}
}

func outbox(t *testing.T, a *record.Arbiter, after uint64) (ids []string, last uint64) {
	t.Helper()
	messages, last, err := a.Outbox(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		ids = append(ids, m.ID)
	}
	return ids, last
}

// change stands in for time that goes by, and for what goes missing.
func change(t *testing.T, system store.System, query string, args ...any) {
	t.Helper()
	if err := system.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), query, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, system store.System, query string) (n int64) {
	t.Helper()
	if err := system.Read(t.Context(), func(tx *store.Tx) (err error) {
		n, err = store.One(t.Context(), tx, store.Scalar[int64], query)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}
