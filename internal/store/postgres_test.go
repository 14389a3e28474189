package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/store/conformance"
	"gatehouse/internal/store/postgrestest"
)

const globex = identity.TenantID("ten_globex")

func TestPostgresConforms(t *testing.T) {
	server := sharedServer(t)
	conformance.Run(t, func(t *testing.T) conformance.Open {
		database := server.Borrow(t)
		return func(t *testing.T) *store.DB {
			db, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test"})
			must(t, err)
			return db
		}
	})
}

// sharedServer leaves the test out where external parts are not wanted.
func sharedServer(t *testing.T) *postgrestest.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	return postgrestest.Shared(t)
}

func openPostgres(t *testing.T, url string, o store.Options) *store.DB {
	t.Helper()
	o.Environment = "test"
	db, err := store.Open(t.Context(), url, o)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { must(t, conn.Close(context.Background())) })
	return conn
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn := connect(t, url)
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestDataOfAnotherEnvironmentIsRefusedOnPostgres(t *testing.T) {
	database := sharedServer(t).Borrow(t)
	_, err := store.Open(t.Context(), database.Application, store.Options{Environment: "production"})
	if err == nil || !strings.Contains(err.Error(), `"test"`) {
		t.Errorf("got %v, want an error that names the environment", err)
	}
}

// Without the owner's URL nothing is changed, and what is missing is said. With
// it, several nodes may start at once.
func TestTheOwnerBringsTheTablesToTheNewestForm(t *testing.T) {
	database := sharedServer(t).Empty(t)
	_, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test"})
	if err == nil || !strings.Contains(err.Error(), "store_owner") {
		t.Errorf("without tables: %v, want an error that names store_owner", err)
	}
	_, err = store.Open(t.Context(), database.Owner, store.Options{Environment: "test", Owner: database.Owner})
	if err == nil || !strings.Contains(err.Error(), "must not own") {
		t.Errorf("as the owner: %v", err)
	}
	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() {
			db, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test", Owner: database.Owner})
			if err == nil {
				err = errors.Join(db.Create(t.Context(), acme), db.Close())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	wantTeams(t, openPostgres(t, database.Application, store.Options{}).Tenant(acme), 0)

	execute(t, database.Admin, `INSERT INTO gatehouse.tenant_version (version_id, is_applied) VALUES (9999, true)`)
	for _, owner := range []string{"", database.Owner} {
		_, err = store.Open(t.Context(), database.Application, store.Options{Environment: "test", Owner: owner})
		if err == nil || !strings.Contains(err.Error(), "newer gatehouse") {
			t.Errorf("with tables of the future: %v", err)
		}
	}
}

// A server that would not keep tenants apart is not worked with (promise P3).
func TestP3_ARoleAboveRowSecurityIsRefused(t *testing.T) {
	database := sharedServer(t).Database(t)
	for _, c := range []struct{ do, undo, want string }{
		{`ALTER ROLE gatehouse_app SUPERUSER`, `ALTER ROLE gatehouse_app NOSUPERUSER`, "superuser"},
		{`ALTER ROLE gatehouse_app BYPASSRLS`, `ALTER ROLE gatehouse_app NOBYPASSRLS`, "bypass"},
		{`ALTER ROLE gatehouse_app CREATEROLE`, `ALTER ROLE gatehouse_app NOCREATEROLE`, "make roles"},
		{`CREATE ROLE climber BYPASSRLS; GRANT climber TO gatehouse_app`, `DROP ROLE climber`, "climber"},
		{`GRANT gatehouse_owner TO gatehouse_app`, `REVOKE gatehouse_owner FROM gatehouse_app`, "owner"},
		{`ALTER TABLE gatehouse.teams OWNER TO gatehouse_app`, `ALTER TABLE gatehouse.teams OWNER TO gatehouse_owner`, "owns teams"},
		{`ALTER FUNCTION gatehouse.enter OWNER TO gatehouse_app`, `ALTER FUNCTION gatehouse.enter OWNER TO gatehouse_owner`, "owns enter"},
		{`GRANT CREATE ON SCHEMA gatehouse TO gatehouse_app`, `REVOKE CREATE ON SCHEMA gatehouse FROM gatehouse_app`, "create in it"},
		{`GRANT TRUNCATE ON gatehouse.users TO PUBLIC`, `REVOKE TRUNCATE ON gatehouse.users FROM PUBLIC`, "TRUNCATE"},
		{`ALTER TABLE gatehouse.users NO FORCE ROW LEVEL SECURITY`, `ALTER TABLE gatehouse.users FORCE ROW LEVEL SECURITY`, "users"},
		{`ALTER TABLE gatehouse.meta DISABLE ROW LEVEL SECURITY`, `ALTER TABLE gatehouse.meta ENABLE ROW LEVEL SECURITY`, "meta"},
		{`CREATE POLICY more ON gatehouse.users USING (true)`, `DROP POLICY more ON gatehouse.users`, "users"},
		{`DROP POLICY own ON gatehouse.teams`, `CALL gatehouse.own('gatehouse.teams')`, "teams"},
		{`ALTER POLICY own ON gatehouse.teams WITH CHECK (true)`, `DROP POLICY own ON gatehouse.teams; CALL gatehouse.own('gatehouse.teams')`, "teams"},
		{`ALTER POLICY own ON gatehouse.teams TO gatehouse_owner`, `ALTER POLICY own ON gatehouse.teams TO PUBLIC`, "teams"},
		{`CREATE TABLE gatehouse.extra (tenant_id TEXT)`, `DROP TABLE gatehouse.extra`, "extra"},
		{`CREATE VIEW gatehouse.everybody AS SELECT * FROM gatehouse.users`, `DROP VIEW gatehouse.everybody`, "everybody"},
	} {
		execute(t, database.Admin, c.do)
		_, err := store.Open(t.Context(), database.Application, store.Options{Environment: "test"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("after %s: %v, want an error that says %q", c.do, err, c.want)
		}
		execute(t, database.Admin, c.undo)
	}
	openPostgres(t, database.Application, store.Options{})
}

// tables lists every table by the policy it is under, those that refer to others
// last, each with what fills a row of it: the same for every tenant.
func tables(t *testing.T, conn *pgx.Conn) (own, apart map[string]string, names []string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT c.relname, coalesce(p.polname, ''),
			string_agg(a.attname, ', ' ORDER BY a.attnum) FILTER (WHERE a.attname <> 'tenant_id' OR p.polname = 'apart'),
			string_agg(CASE a.atttypid::regtype::text WHEN 'text' THEN '''x''' WHEN 'bytea' THEN '''\x00''' WHEN 'boolean' THEN 'true' WHEN 'jsonb' THEN '''{}''' ELSE '1' END,
				', ' ORDER BY a.attnum) FILTER (WHERE a.attname <> 'tenant_id' OR p.polname = 'apart')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			LEFT JOIN pg_policy p ON p.polrelid = c.oid
		WHERE c.relnamespace = 'gatehouse'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname NOT LIKE '%_version'
		GROUP BY c.oid, c.relname, p.polname ORDER BY c.oid`)
	must(t, err)
	own, apart = map[string]string{}, map[string]string{}
	for rows.Next() {
		var name, policy, columns, values string
		must(t, rows.Scan(&name, &policy, &columns, &values))
		insert := fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`, name, columns, values)
		switch policy {
		case "own":
			own[name] = insert
		case "apart":
			apart[name] = insert
		default:
			t.Errorf("the table %s is under no policy", name)
		}
		names = append(names, name)
	}
	must(t, rows.Err())
	if len(own) < 15 || len(apart) < 5 {
		t.Fatalf("found only %d and %d tables", len(own), len(apart))
	}
	return own, apart, names
}

// TestP3_RowsOfOthersAreOutOfReach goes to the server as the application's role,
// as somebody would who can run any statement of his own but not choose the
// tenant, and tries every table that there is.
func TestP3_RowsOfOthersAreOutOfReach(t *testing.T) {
	database := sharedServer(t).Database(t)
	db := openPostgres(t, database.Application, store.Options{})
	create(t, db, acme, globex)
	own, apart, names := tables(t, connect(t, database.Admin))
	mallory := connect(t, database.Application)
	within := func(tenant string, do func(tx pgx.Tx)) {
		t.Helper()
		tx, err := mallory.Begin(t.Context())
		must(t, err)
		defer func() { must(t, tx.Commit(t.Context())) }()
		_, err = tx.Exec(t.Context(), `SELECT set_config('gatehouse.tenant', $1, true), set_config('search_path', 'gatehouse', true)`, tenant)
		must(t, err)
		do(tx)
	}
	// try runs a statement that may fail and gives the rows that it touched.
	try := func(tx pgx.Tx, statement string) (int64, error) {
		t.Helper()
		inner, err := tx.Begin(t.Context())
		must(t, err)
		tag, err := inner.Exec(t.Context(), statement)
		if err != nil {
			must(t, inner.Rollback(t.Context()))
			return 0, err
		}
		must(t, inner.Commit(t.Context()))
		return tag.RowsAffected(), nil
	}
	for _, tenant := range []string{"ten_acme", "ten_globex", ""} {
		within(tenant, func(tx pgx.Tx) {
			for _, name := range names {
				insert, ok := own[name]
				if tenant == "" {
					insert, ok = apart[name]
				}
				if !ok {
					continue
				}
				if n, err := try(tx, insert); err != nil || n != 1 {
					t.Errorf("%q cannot write its own %s: %v", tenant, name, err)
				}
			}
		})
	}

	reaches := func(who, tenant string, want map[string]string) {
		t.Helper()
		within(tenant, func(tx pgx.Tx) {
			for _, name := range names {
				_, mine := want[name]
				allowed := int64(0)
				if mine {
					allowed = 1
				}
				for _, query := range []string{`SELECT FROM ` + name, `UPDATE ` + name + ` SET ` + setSelf(own[name]+apart[name])} {
					n, err := try(tx, query)
					if name == "meta" || name == "stores" {
						n = min(n, allowed) // of the store's own
					}
					if err != nil || n != allowed {
						t.Errorf("%s reaches %d rows, want %d, by %s: %v", who, n, allowed, query, err)
					}
				}
				if n, err := try(tx, `TRUNCATE `+name); err == nil {
					t.Errorf("%s truncates %s: %d", who, name, n)
				}
			}
		})
	}
	reaches("acme", "ten_acme", own)
	reaches("globex", "ten_globex", own)
	reaches("a third tenant", "ten_nobody", nil)
	reaches("somebody bound to no tenant", "", apart)
	reaches("a quote", "ten_acme' OR '1'='1", nil)

	within("ten_globex", func(tx pgx.Tx) {
		for name, insert := range own {
			for _, statement := range []string{
				`SELECT FROM ` + name + ` WHERE tenant_id = 'ten_acme'`,
				`UPDATE ` + name + ` SET tenant_id = tenant_id WHERE tenant_id = 'ten_acme'`,
				`DELETE FROM ` + name + ` WHERE tenant_id <> 'ten_globex' OR tenant_id IS NULL`,
			} {
				if n, err := try(tx, statement); err != nil || n != 0 {
					t.Errorf("globex reaches %d rows by %s: %v", n, statement, err)
				}
			}
			theirs := strings.TrimSuffix(strings.Replace(insert, ") VALUES (", ", tenant_id) VALUES (", 1), ")") + `, 'ten_acme')`
			for _, statement := range []string{
				`UPDATE ` + name + ` SET tenant_id = 'ten_acme'`,
				theirs, theirs + ` ON CONFLICT DO NOTHING`,
				strings.Replace(theirs, "'ten_acme'", "''", 1), strings.Replace(theirs, "'ten_acme'", "NULL", 1),
			} {
				if n, err := try(tx, statement); err == nil {
					t.Errorf("globex writes %d rows of another by %s", n, statement)
				}
			}
		}
		for name, insert := range apart {
			if n, err := try(tx, insert); err == nil {
				t.Errorf("globex writes %d rows into %s", n, name)
			}
			if n, err := try(tx, `DELETE FROM `+name); err != nil || n != 0 {
				t.Errorf("globex deletes %d rows of %s: %v", n, name, err)
			}
		}
	})
	within("", func(tx pgx.Tx) {
		for name, insert := range own {
			if n, err := try(tx, insert); err == nil {
				t.Errorf("somebody bound to no tenant writes %d rows into %s", n, name)
			}
			if n, err := try(tx, `DELETE FROM `+name); err != nil || n != 0 {
				t.Errorf("somebody bound to no tenant deletes %d rows of %s: %v", n, name, err)
			}
		}
	})
	reaches("acme, after all that,", "ten_acme", own)
}

// setSelf sets the first column of an INSERT to itself.
func setSelf(insert string) string {
	_, columns, _ := strings.Cut(insert, "(")
	first, _, _ := strings.Cut(columns, ",")
	first, _, _ = strings.Cut(first, ")")
	return first + " = " + first
}

// Every key of a tenant's table, and every reference, begins with the tenant, and
// every text compares by its bytes.
func TestP3_EveryKeyBeginsWithTheTenant(t *testing.T) {
	conn := connect(t, sharedServer(t).Borrow(t).Admin)
	for what, query := range map[string]string{
		"index": `SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_policy p ON p.polrelid = i.indrelid AND p.polname = 'own'
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE a.attname <> 'tenant_id'`,
		"key or reference": `SELECT c.conname FROM pg_constraint c JOIN pg_policy p ON p.polrelid = c.conrelid AND p.polname = 'own'
			JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
			LEFT JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[1]
			WHERE c.contype IN ('p', 'u', 'f', 'x') AND (a.attname <> 'tenant_id' OR c.contype = 'f' AND f.attname <> 'tenant_id')`,
		"table without a primary key": `SELECT p.polrelid::regclass::text FROM pg_policy p
			WHERE NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conrelid = p.polrelid AND c.contype = 'p')`,
		"text in the order of a language": `SELECT a.attrelid::regclass || '.' || a.attname FROM pg_policy p JOIN pg_attribute a ON a.attrelid = p.polrelid
			WHERE a.attcollation NOT IN (0, 'pg_catalog."C"'::regcollation)`,
	} {
		rows, err := conn.Query(t.Context(), query)
		must(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		if len(found) > 0 {
			t.Errorf("%s: %q", what, found)
		}
	}
}

// Both systems have the same tables, with the same columns in the same order; documents
// that are looked into are texts to SQLite.
func TestTheTablesAreTheSameOnBothSystems(t *testing.T) {
	database := sharedServer(t).Borrow(t)
	sqlite := open(t, t.TempDir(), store.Options{Keys: fixedKeys("k")})
	create(t, sqlite, acme)
	columns := func(read func(context.Context, func(*store.Tx) error) error) (found []string) {
		must(t, read(t.Context(), func(tx *store.Tx) (err error) {
			found, err = store.All(t.Context(), tx, store.Scalar[string], `SELECT s.name || '.' || c.name || ' ' || c.type || CASE WHEN c."notnull" OR c.pk > 0 THEN ' required' ELSE '' END
				FROM sqlite_schema s JOIN pragma_table_info(s.name) c WHERE s.type = 'table' AND s.name NOT LIKE '%\_%' || 'version' ESCAPE '\' AND s.name NOT LIKE 'sqlite%'
				ORDER BY s.name, c.cid LIMIT 1000`)
			return err
		}))
		return found
	}
	conn := connect(t, database.Admin)
	for policy, want := range map[string][]string{"apart": columns(sqlite.System().Read), "own": columns(sqlite.Tenant(acme).Read)} {
		rows, err := conn.Query(t.Context(), `SELECT c.relname || '.' || a.attname || ' ' ||
				CASE a.atttypid::regtype::text WHEN 'bytea' THEN 'BLOB' WHEN 'jsonb' THEN 'TEXT' ELSE upper(a.atttypid::regtype::text) END || CASE WHEN a.attnotnull THEN ' required' ELSE '' END
			FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			WHERE p.polname = $1 AND c.relname <> 'stores' AND (a.attname <> 'tenant_id' OR p.polname = 'apart')
			ORDER BY c.relname, a.attnum`, policy)
		must(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		if len(want) < 10 || !slices.Equal(got, want) {
			t.Errorf("%s:\nPostgreSQL %q\nSQLite     %q", policy, got, want)
		}
	}
}

// Whoever deletes a tenant deletes every row of it, however many there are, and a
// deletion that was cut short can be repeated.
func TestDropDeletesInBatches(t *testing.T) {
	database := sharedServer(t).Database(t)
	db := openPostgres(t, database.Application, store.Options{})
	create(t, db, acme, globex)
	own, _, names := tables(t, connect(t, database.Admin))
	conn := connect(t, database.Admin)
	run := func(statement string, args ...any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), statement, args...)
		must(t, err)
	}
	run(`SET search_path = gatehouse`)
	for _, id := range []identity.TenantID{acme, globex} {
		run(`SELECT set_config('gatehouse.tenant', $1, false)`, string(id))
		for _, name := range names {
			if insert, ok := own[name]; ok {
				run(insert)
			}
		}
		run(`INSERT INTO assertions_seen SELECT int8send(n), n FROM generate_series(1, 12000) n`)
	}
	run(`UPDATE stores SET dropping = true WHERE tenant_id = $1`, string(acme)) // and then a crash
	if _, err := countTeams(t.Context(), db.Tenant(acme)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("reads a tenant that is being dropped: %v", err)
	}
	if err := db.Create(t.Context(), acme); !fault.Is(err, fault.Unavailable) {
		t.Errorf("makes a tenant that is being dropped: %v", err)
	}
	must(t, db.Drop(t.Context(), acme))
	for name := range own {
		var of struct{ acme, globex int }
		must(t, conn.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE tenant_id = 'ten_acme'), count(*) FILTER (WHERE tenant_id = 'ten_globex') FROM `+name).
			Scan(&of.acme, &of.globex))
		if of.acme != 0 || of.globex == 0 {
			t.Errorf("%s: %d rows of acme are left, and %d of globex", name, of.acme, of.globex)
		}
	}
}

// A statement that failed must not be passed over: the server would answer the
// commit with success and keep nothing (promise P8).
func TestP8_ASpoiltTransactionIsNotCommitted(t *testing.T) {
	db := openPostgres(t, sharedServer(t).Borrow(t).Application, store.Options{})
	create(t, db, acme)
	must(t, addTeam(t.Context(), db.Tenant(acme), "taken"))
	err := db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		insert := `INSERT INTO teams (id, name, display_name, version, created_at, updated_at) VALUES ($1, $1, $1, 1, 0, 0)`
		if _, err := tx.Exec(t.Context(), insert, "new"); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), insert, "taken")
		if !store.IsUnique(err) {
			t.Errorf("a collision: %v", err)
		}
		return nil
	})
	if err == nil {
		t.Error("committed")
	}
	wantTeams(t, db.Tenant(acme), 1)
}

// One tenant's readers leave room for another's.
func TestABusyTenantLeavesRoomForOthers(t *testing.T) {
	db := openPostgres(t, sharedServer(t).Borrow(t).Application, store.Options{})
	create(t, db, acme, globex)
	const readers = 40
	inside, done := make(chan struct{}, readers), make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			err := db.Tenant(acme).Read(t.Context(), func(*store.Tx) error {
				inside <- struct{}{}
				<-done
				return nil
			})
			if err != nil && !fault.Is(err, fault.Unavailable) {
				t.Error(err)
			}
		})
	}
	<-inside
	wantTeams(t, db.Tenant(globex), 0)
	must(t, addTeam(t.Context(), db.Tenant(acme), "x"))
	close(done)
	wg.Wait()
}

// A caller that leaves stops the statement that it waits for, and the connection
// is as good as before.
func TestACancelledStatementStops(t *testing.T) {
	database := sharedServer(t).Borrow(t)
	db := openPostgres(t, database.Application, store.Options{})
	create(t, db, acme)
	conn := connect(t, database.Admin)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.Tenant(acme).Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `SELECT pg_sleep(9)`)
			return err
		})
		if !errors.Is(err, context.Canceled) || fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v, want the context's own error", err)
		}
	})
	sleeping := func() (n int) {
		must(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE usename = 'gatehouse_app' AND state = 'active'
			AND datname = current_database() AND query LIKE '%pg_sleep%'`).Scan(&n))
		return n
	}
	eventually(t, "the statement runs", func() bool { return sleeping() == 1 })
	cancel()
	wg.Wait()
	eventually(t, "the statement stops", func() bool { return sleeping() == 0 })
	must(t, addTeam(t.Context(), db.Tenant(acme), "x"))
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(2 * time.Minute); !so(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it never came to pass that %s", what)
		}
	}
}
