// Package conformance is the suite that every database behind the store must
// pass: what a repository may rely on, whatever the database is.
//
// It exists so that SQLite and PostgreSQL cannot drift apart. It must use the
// store's exported surface alone.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Open opens the database under test. Within one test every call opens the
// same data, as a restarted gateway would; another test gets other data.
type Open func(t *testing.T) *store.DB

const (
	acme   = identity.TenantID("ten_acme")
	globex = identity.TenantID("ten_globex")
)

// Run runs the suite; fresh is called once per test.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, open Open)
	}{
		{"P3_TenantsNeverMix", tenantsNeverMix},
		{"P3_AHandleNeedsATenant", handleNeedsTenant},
		{"P3_StatementsCannotChangeTheTenant", statements},
		{"P3_UpsertsKeepToTheTenant", upserts},
		{"UnknownTenantsAreNotMade", unknownTenants},
		{"AnErrorLeavesNoTrace", rollback},
		{"APanicLeavesNoTrace", rollbackOnPanic},
		{"ARehearsalLeavesNoTrace", rehearsal},
		{"P8_WhatWasWrittenIsThereAfterARestart", durability},
		{"ReadersCannotWrite", readersCannotWrite},
		{"AReaderSeesOneState", readConsistency},
		{"WritersDoNotLoseUpdates", concurrentWriters},
		{"CollisionsAreRecognised", collisions},
		{"ReferencesAreEnforced", references},
		{"ParametersAreNumbered", parameters},
		{"ValuesSurviveTheRoundTrip", values},
		{"TextsThatCannotBeKeptAreRefused", texts},
		{"TextsAreInTheOrderOfTheirBytes", order},
		{"ACancelledContextEndsTheTransaction", cancellation},
		{"DroppedTenantsAreGone", drop},
		{"TheSystemIsApartFromTenants", system},
		{"ClosedIsUnavailable", closed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

func tenantsNeverMix(t *testing.T, open Open) {
	db := opened(t, open, acme, globex)
	addTeam(t, db.Tenant(acme), "secret-of-acme")
	if got := teams(t, db.Tenant(globex)); len(got) != 0 {
		t.Errorf("globex sees %q", got)
	}
	addTeam(t, db.Tenant(globex), "secret-of-acme") // the same name is free here
	changed := write(t, db.Tenant(globex), `DELETE FROM teams`)
	if changed != 1 {
		t.Errorf("globex deleted %d rows, 1 is its own", changed)
	}
	if got := teams(t, db.Tenant(acme)); len(got) != 1 {
		t.Errorf("acme is left with %q", got)
	}
}

func handleNeedsTenant(t *testing.T, open Open) {
	db := opened(t, open)
	for name, handle := range map[string]store.Tenant{"zero": {}, "without an id": db.Tenant("")} {
		fn := func(*store.Tx) error { t.Errorf("%s: ran", name); return nil }
		if handle.Read(t.Context(), fn) == nil || handle.Write(t.Context(), fn) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var none store.System
	if none.Read(t.Context(), func(*store.Tx) error { return nil }) == nil {
		t.Error("zero system handle: no error")
	}
}

// statements tries what could end the transaction, or bind it to another tenant.
func statements(t *testing.T, open Open) {
	db := opened(t, open, acme, globex)
	addTeam(t, db.Tenant(globex), "secret")
	for _, query := range []string{
		"", ";", "COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT x", "DISCARD ALL", "ABORT; SELECT 1",
		"SET gatehouse.tenant = 'ten_globex'", "SET LOCAL gatehouse.tenant = 'ten_globex'", "RESET gatehouse.tenant", "RESET ALL",
		"SET ROLE gatehouse_owner", "SET SESSION AUTHORIZATION postgres", "SET row_security = off",
		"SELECT set_config('gatehouse.tenant', 'ten_globex', true)", "SELECT pg_catalog.Set_Config('gatehouse.tenant', 'ten_globex', true)",
		"WITH x AS (SELECT set_config('gatehouse.tenant', '', true)) SELECT * FROM x",
		"SELECT enter('ten_globex', false)", "SELECT gatehouse . enter ('', false)",
		"DO $$ BEGIN EXECUTE 'RESET ALL'; END $$", "DELETE FROM teams; RESET ALL", "selection", "TABLE teams",
		"PRAGMA query_only = off", "ATTACH 'x' AS y", "VACUUM", "CREATE TABLE x (y TEXT)", "ALTER TABLE teams DISABLE ROW LEVEL SECURITY",
	} {
		for name, write := range map[string]func(context.Context, func(*store.Tx) error) error{
			"tenant": db.Tenant(acme).Write, "system": db.System().Write,
		} {
			err := write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), query)
				return err
			})
			if err == nil || fault.Is(err, fault.Unavailable) {
				t.Errorf("%s: %s: %v, want a refusal", name, query, err)
			}
		}
	}
	if got := teams(t, db.Tenant(acme)); len(got) != 0 {
		t.Errorf("acme sees %q", got)
	}
}

func upserts(t *testing.T, open Open) {
	db := opened(t, open, acme, globex)
	const upsert = `INSERT INTO journal_cursors (node, seq) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET seq = excluded.seq`
	for seq, id := range []identity.TenantID{acme, globex, acme, acme} {
		write(t, db.Tenant(id), upsert, "n1", seq)
	}
	for id, want := range map[identity.TenantID]int{acme: 3, globex: 1} {
		if got := one[int](t, db.Tenant(id), `SELECT seq FROM journal_cursors`); got != want {
			t.Errorf("%s is at %d, want %d", id, got, want)
		}
	}
	if n := write(t, db.Tenant(globex), `INSERT INTO journal_cursors (node, seq) VALUES ($1, 9) ON CONFLICT DO NOTHING`, "n1"); n != 0 {
		t.Errorf("wrote %d rows where there was one", n)
	}
}

func texts(t *testing.T, open Open) {
	db := opened(t, open, acme)
	type name string
	for _, bad := range []any{"a\x00b", "\xff", name("\xed\xa0\x80")} {
		for what, run := range map[string]func(*store.Tx) error{
			"exec": func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `UPDATE teams SET display_name = $1`, bad)
				return err
			},
			"one": func(tx *store.Tx) error {
				_, err := store.One(t.Context(), tx, store.Scalar[int], `SELECT count(*) FROM teams WHERE name = $1`, bad)
				return err
			},
			"all": func(tx *store.Tx) error {
				_, err := store.All(t.Context(), tx, store.Scalar[int], `SELECT 1 FROM teams WHERE name = $1`, bad)
				return err
			},
		} {
			if err := db.Tenant(acme).Write(t.Context(), run); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s with %q: %v", what, bad, err)
			}
		}
	}
}

func order(t *testing.T, open Open) {
	db := opened(t, open, acme)
	want := []string{"", "-a", "A", "B", "Z-", "_", "a", "a b", "aa", "b", "Ä", "ä", "€"}
	for _, name := range want {
		addTeam(t, db.Tenant(acme), name)
	}
	if got := teams(t, db.Tenant(acme)); !slices.Equal(got, want) {
		t.Errorf("in the order %q, want %q", got, want)
	}
	below := one[int](t, db.Tenant(acme), `SELECT count(*) FROM teams WHERE name < $1`, "a")
	page := one[int](t, db.Tenant(acme), `SELECT count(*) FROM teams WHERE (name, id) > ($1, $2)`, "Z-", "tea_Z-")
	if below != 6 || page != 8 {
		t.Errorf("%d below a, want 6; %d after Z-, want 8", below, page)
	}
	if got := one[string](t, db.Tenant(acme), `SELECT lower(name) FROM teams WHERE name = $1`, "Ä"); got != "Ä" {
		t.Errorf("lower touches %q, which is not ASCII", got)
	}
}

func unknownTenants(t *testing.T, open Open) {
	db := opened(t, open)
	for range 2 { // the first try must not make what the second one finds
		err := db.Tenant(acme).Write(t.Context(), func(*store.Tx) error { return nil })
		wantUnavailable(t, err)
		wantUnavailable(t, db.Check(t.Context(), acme))
	}
	if err := db.Create(t.Context(), "../acme"); err == nil {
		t.Error("made a tenant of a path")
	}
}

var errOwn = errors.New("an error of the caller")

func rollback(t *testing.T, open Open) {
	db := opened(t, open, acme)
	err := db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		if err := insertTeam(t.Context(), tx, "half"); err != nil {
			return err
		}
		return errOwn
	})
	if !errors.Is(err, errOwn) || fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	if got := teams(t, db.Tenant(acme)); len(got) != 0 {
		t.Errorf("left behind %q", got)
	}
}

func rollbackOnPanic(t *testing.T, open Open) {
	db := opened(t, open, acme)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
			if err := insertTeam(t.Context(), tx, "half"); err != nil {
				return err
			}
			panic("on purpose")
		})
	}()
	addTeam(t, db.Tenant(acme), "next") // the connection is free again
	if got := teams(t, db.Tenant(acme)); len(got) != 1 {
		t.Errorf("left behind %q", got)
	}
}

func durability(t *testing.T, open Open) {
	db := opened(t, open, acme)
	addTeam(t, db.Tenant(acme), "kept")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := opened(t, open, acme) // creating what exists changes nothing
	if got := teams(t, again.Tenant(acme)); len(got) != 1 || got[0] != "kept" {
		t.Errorf("after a restart: %q", got)
	}
}

func readersCannotWrite(t *testing.T, open Open) {
	db := opened(t, open, acme)
	err := db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error { return insertTeam(t.Context(), tx, "sneaked") })
	if err == nil {
		t.Error("wrote in a reading transaction")
	}
	if got := teams(t, db.Tenant(acme)); len(got) != 0 {
		t.Errorf("left behind %q", got)
	}
}

func readConsistency(t *testing.T, open Open) {
	db := opened(t, open, acme)
	addTeam(t, db.Tenant(acme), "first")
	err := db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error {
		before, err := countTeams(t.Context(), tx)
		if err != nil {
			return err
		}
		addTeam(t, db.Tenant(acme), "second") // a writer does not wait for readers
		after, err := countTeams(t.Context(), tx)
		if err != nil {
			return err
		}
		if before != 1 || after != before {
			t.Errorf("one reader saw %d and then %d teams", before, after)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := teams(t, db.Tenant(acme)); len(got) != 2 {
		t.Errorf("the next reader sees %q", got)
	}
}

func concurrentWriters(t *testing.T, open Open) {
	const writers, rounds = 8, 10
	db := opened(t, open, acme, globex)
	for _, id := range []identity.TenantID{acme, globex} {
		addTeam(t, db.Tenant(id), "counter")
	}
	var wg sync.WaitGroup
	for i := range writers {
		tenant := db.Tenant([]identity.TenantID{acme, globex}[i%2])
		wg.Go(func() {
			for range rounds {
				err := tenant.Write(t.Context(), func(tx *store.Tx) error {
					n, err := store.One(t.Context(), tx, store.Scalar[int64], `SELECT version FROM teams WHERE name = $1`, "counter")
					if err != nil {
						return err
					}
					_, err = tx.Exec(t.Context(), `UPDATE teams SET version = $2 WHERE name = $1`, "counter", n+1)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range []identity.TenantID{acme, globex} {
		n := one[int64](t, db.Tenant(id), `SELECT version FROM teams`)
		if want := int64(1 + writers/2*rounds); n != want {
			t.Errorf("%s counted to %d, want %d", id, n, want)
		}
	}
}

func collisions(t *testing.T, open Open) {
	db := opened(t, open, acme)
	addTeam(t, db.Tenant(acme), "taken")
	byName := db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error { return insertTeam(t.Context(), tx, "taken") })
	byKey := db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO teams SELECT id, 'other', display_name, version, created_at, updated_at FROM teams`)
		return err
	})
	for name, err := range map[string]error{"unique column": byName, "primary key": byKey} {
		if !store.IsUnique(err) || fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v is not recognised", name, err)
		}
		if !store.IsUnique(fmt.Errorf("wrapped: %w", err)) {
			t.Errorf("%s: not recognised when wrapped", name)
		}
	}
	if store.IsUnique(nil) || store.IsUnique(errOwn) {
		t.Error("takes another error for a collision")
	}
}

const insertAssignment = `INSERT INTO assignments (id, name, role, team_id, subject_kind, subject_id, version, created_at)
	VALUES ($1, $1, 'member', $2, 'user', 'usr_1', 1, 0)`

func references(t *testing.T, open Open) {
	db := opened(t, open, acme)
	err := db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), insertAssignment, "a", "tea_none")
		return err
	})
	if err == nil || store.IsUnique(err) {
		t.Errorf("a reference to nothing: %v", err)
	}
	addTeam(t, db.Tenant(acme), "x")
	write(t, db.Tenant(acme), insertAssignment, "b", "tea_x")
	write(t, db.Tenant(acme), `DELETE FROM teams`)
	if n := one[int64](t, db.Tenant(acme), `SELECT count(*) FROM assignments`); n != 0 {
		t.Errorf("%d rows outlived what they belong to", n)
	}
}

func parameters(t *testing.T, open Open) {
	db := opened(t, open, acme)
	tenant := db.Tenant(acme)
	for _, c := range []struct {
		query string
		args  []any
		want  string
	}{
		{`SELECT $1 || '-' || $2`, []any{"a", "b"}, "a-b"},
		{`SELECT $1 || '-' || $2 || '-' || $1`, []any{"a", "b"}, "a-b-a"},
		{`SELECT $2 || '-' || $1`, []any{"a", "b"}, "b-a"},
		{`SELECT '$1 it''s $2' || $1`, []any{"a"}, "$1 it's $2a"},
		{`SELECT $10 || $9 || $8 || $7 || $6 || $5 || $4 || $3 || $2 || $1`,
			[]any{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}, "jihgfedcba"},
	} {
		if got := one[string](t, tenant, c.query, c.args...); got != c.want {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
	}
	for query, args := range map[string][]any{
		`SELECT $1 || $2`: {"a"},
		`SELECT $1`:       {"a", "b"},
		`SELECT 'a'`:      {"a"},
	} {
		err := tenant.Read(t.Context(), func(tx *store.Tx) error {
			_, err := store.One(t.Context(), tx, store.Scalar[string], query, args...)
			return err
		})
		if err == nil {
			t.Errorf("%s with %d arguments: no error", query, len(args))
		}
	}
}

func values(t *testing.T, open Open) {
	db := opened(t, open, acme)
	tenant := db.Tenant(acme)
	blob := []byte{0, 1, 0xff, 0}
	now := time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.FixedZone("", 3600))
	write(t, tenant, `INSERT INTO connections (id, name, type, spec, secret, enabled, version, created_at, updated_at)
		VALUES ($1, $2, 'oidc', $3, $4, $5, $6, $7, $8)`,
		"con_1", "okta", `{"a":"ü\u0000'"}`, blob, true, int64(1)<<53+1, store.Millis(now), store.Millis(time.Time{}))
	if got := one[[]byte](t, tenant, `SELECT secret FROM connections`); string(got) != string(blob) {
		t.Errorf("blob %v", got)
	}
	if got := one[string](t, tenant, `SELECT spec FROM connections`); got != `{"a":"ü\u0000'"}` {
		t.Errorf("text %q", got)
	}
	if !one[bool](t, tenant, `SELECT enabled FROM connections WHERE enabled`) {
		t.Error("true became false")
	}
	if got := one[int64](t, tenant, `SELECT version FROM connections`); got != 1<<53+1 {
		t.Errorf("integer %d", got)
	}
	if got := store.Time(one[int64](t, tenant, `SELECT created_at FROM connections`)); !got.Equal(now) || got.Location() != time.UTC {
		t.Errorf("time %v, want %v in UTC", got, now)
	}
	if got := store.Time(one[int64](t, tenant, `SELECT updated_at FROM connections`)); !got.IsZero() {
		t.Errorf("zero time became %v", got)
	}
	err := tenant.Read(t.Context(), func(tx *store.Tx) error {
		_, err := store.One(t.Context(), tx, store.Scalar[string], `SELECT name FROM connections WHERE id = $1`, "none")
		return err
	})
	if !errors.Is(err, store.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
}

func cancellation(t *testing.T, open Open) {
	db := opened(t, open, acme)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Tenant(acme).Write(ctx, func(tx *store.Tx) error {
		if err := insertTeam(ctx, tx, "half"); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want the context's own error", err)
	}
	addTeam(t, db.Tenant(acme), "next")
	if got := teams(t, db.Tenant(acme)); len(got) != 1 {
		t.Errorf("left behind %q", got)
	}
}

func drop(t *testing.T, open Open) {
	db := opened(t, open, acme, globex)
	addTeam(t, db.Tenant(acme), "old")
	for range 2 {
		if err := db.Drop(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
	}
	wantUnavailable(t, db.Tenant(acme).Read(t.Context(), func(*store.Tx) error { return nil }))
	wantUnavailable(t, db.Check(t.Context(), acme))
	if err := db.Check(t.Context(), globex); err != nil {
		t.Errorf("the other tenant: %v", err)
	}
	if err := db.Create(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	if got := teams(t, db.Tenant(acme)); len(got) != 0 {
		t.Errorf("the new tenant has the old one's %q", got)
	}
}

func system(t *testing.T, open Open) {
	db := opened(t, open, acme)
	err := db.System().Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO meta (name, value) VALUES ($1, $2)`, "colour", "blue")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.System().Read(t.Context(), func(tx *store.Tx) error {
		got, err := store.One(t.Context(), tx, store.Scalar[string], `SELECT value FROM meta WHERE name = $1`, "colour")
		if got != "blue" {
			t.Errorf("read %q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Tenant(acme).Read(t.Context(), func(tx *store.Tx) error {
		_, err := store.One(t.Context(), tx, store.Scalar[string], `SELECT value FROM meta`)
		return err
	})
	if err == nil {
		t.Error("a tenant reads the system's tables")
	}
}

func closed(t *testing.T, open Open) {
	db := opened(t, open, acme)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantUnavailable(t, db.Tenant(acme).Read(t.Context(), func(*store.Tx) error { return nil }))
	wantUnavailable(t, db.System().Read(t.Context(), func(*store.Tx) error { return nil }))
	wantUnavailable(t, db.Check(t.Context(), acme))
}

func opened(t *testing.T, open Open, tenants ...identity.TenantID) *store.DB {
	t.Helper()
	db := open(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range tenants {
		if err := db.Create(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func insertTeam(ctx context.Context, tx *store.Tx, name string) error {
	_, err := tx.Exec(ctx, `INSERT INTO teams (id, name, display_name, version, created_at, updated_at)
		VALUES ($1, $2, $2, $3, $4, $4)`, "tea_"+name, name, 1, store.Millis(time.Now()))
	return err
}

func countTeams(ctx context.Context, tx *store.Tx) (int, error) {
	return store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM teams`)
}

func addTeam(t *testing.T, tenant store.Tenant, name string) {
	t.Helper()
	if err := tenant.Write(t.Context(), func(tx *store.Tx) error { return insertTeam(t.Context(), tx, name) }); err != nil {
		t.Fatal(err)
	}
}

func teams(t *testing.T, tenant store.Tenant) (names []string) {
	t.Helper()
	err := tenant.Read(t.Context(), func(tx *store.Tx) (err error) {
		names, err = store.All(t.Context(), tx, store.Scalar[string], `SELECT name FROM teams ORDER BY name LIMIT $1`, 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func write(t *testing.T, tenant store.Tenant, query string, args ...any) (changed int64) {
	t.Helper()
	err := tenant.Write(t.Context(), func(tx *store.Tx) (err error) {
		changed, err = tx.Exec(t.Context(), query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func one[T any](t *testing.T, tenant store.Tenant, query string, args ...any) (v T) {
	t.Helper()
	err := tenant.Read(t.Context(), func(tx *store.Tx) (err error) {
		v, err = store.One(t.Context(), tx, store.Scalar[T], query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want a fault of kind Unavailable", err)
	}
}
