package store_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgrestest"
)

func wantOutOfReach(t *testing.T, when string, err error) {
	t.Helper()
	if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != "store-unavailable" || f.RetryAfter == 0 {
		t.Errorf("%s: %v", when, err)
	} else if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s: the error holds the password: %v", when, err)
	}
}

// TestPostgresFails lets a server of its own fail in every way.
func TestPostgresFails(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	server := postgrestest.Start(t)
	t.Run("P7_AServerThatGoesAwayIsSeenAndComesBack", func(t *testing.T) { goesAwayAndComesBack(t, server) })
	t.Run("P8_AcknowledgedWritesSurviveItsDeath", func(t *testing.T) { acknowledgedSurvives(t, server) })
}

// Whatever becomes of the server, readiness knows, transactions are told, and
// all is well again when it is.
func goesAwayAndComesBack(t *testing.T, server *postgrestest.Server) {
	database := server.Database(t)
	db := openPostgres(t, database.Application, store.Options{})
	create(t, db, acme)
	teams := 0
	works := func(when string) {
		t.Helper()
		eventually(t, when+" it is ready", func() bool { return db.Check(t.Context(), acme) == nil })
		must(t, addTeam(t.Context(), db.Tenant(acme), strconv.Itoa(teams)))
		teams++
		wantTeams(t, db.Tenant(acme), teams)
	}
	fails := func(when string) {
		t.Helper()
		eventually(t, when+" it is not ready", func() bool { return db.Check(t.Context(), acme) != nil })
		wantOutOfReach(t, when+", check", db.Check(t.Context(), acme))
		_, err := countTeams(t.Context(), db.Tenant(acme))
		wantOutOfReach(t, when+", read", err)
		wantOutOfReach(t, when+", write", addTeam(t.Context(), db.Tenant(acme), "lost"))
		wantOutOfReach(t, when+", system", db.System().Write(t.Context(), func(*store.Tx) error { return nil }))
		_, err = store.Open(t.Context(), database.Application, store.Options{Environment: "test"})
		wantOutOfReach(t, when+", open", err)
	}

	works("at first")
	must(t, server.Stop())
	fails("stopped")
	server.Restart(t)
	works("started again")
	server.Kill(t)
	fails("killed")
	server.Restart(t)
	works("after the kill")
	server.Pause(t)
	fails("paused")
	server.Continue(t)
	works("going on")
	execute(t, database.Admin, `ALTER ROLE gatehouse_app SET default_transaction_read_only = on`,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gatehouse_app'`)
	fails("read-only")
	execute(t, database.Admin, `ALTER ROLE gatehouse_app RESET default_transaction_read_only`)
	works("open to changes again")
	execute(t, database.Admin, `ALTER ROLE gatehouse_app NOLOGIN`,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gatehouse_app'`)
	fails("shut out")
	execute(t, database.Admin, `ALTER ROLE gatehouse_app LOGIN`)
	works("let in again")
}

// What the server ends under a transaction is out of reach, not a mistake.
func TestP7_AnEndedConnectionIsOutOfReach(t *testing.T) {
	database := sharedServer(t).Borrow(t)
	db := openPostgres(t, database.Application, store.Options{})
	create(t, db, acme)
	admin := connect(t, database.Admin)
	err := db.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
		_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE usename = 'gatehouse_app' AND datname = current_database()`)
		must(t, err)
		_, err = tx.Exec(t.Context(), `DELETE FROM teams`)
		return err
	})
	wantOutOfReach(t, "ended", err)
	must(t, addTeam(t.Context(), db.Tenant(acme), "x"))
}

// A node that falls silent in the midst of a change does not keep the others
// waiting: the server cuts it off.
func TestASilentWriterIsCutOff(t *testing.T) {
	database := sharedServer(t).Borrow(t)
	silent := openPostgres(t, database.Application, store.Options{})
	other := openPostgres(t, database.Application, store.Options{})
	create(t, silent, acme)
	inside, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := silent.Tenant(acme).Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO teams (id, name, display_name, version, created_at, updated_at) VALUES ('x', 'x', 'x', 1, 0, 0)`)
			close(inside)
			<-done
			return err
		})
		wantOutOfReach(t, "silent", err)
	})
	<-inside
	must(t, addTeam(t.Context(), other.Tenant(acme), "y"))
	close(done)
	wg.Wait()
	wantTeams(t, other.Tenant(acme), 1)
}

// What was acknowledged is there after the server was killed.
func acknowledgedSurvives(t *testing.T, server *postgrestest.Server) {
	database := server.Database(t)
	db := openPostgres(t, database.Application, store.Options{})
	create(t, db, acme)
	acknowledged := make(chan int, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		n := 0
		for addTeam(t.Context(), db.Tenant(acme), strconv.Itoa(n)) == nil {
			if n++; n == 20 {
				acknowledged <- n
			}
		}
		acknowledged <- n
	})
	<-acknowledged
	server.Kill(t)
	wg.Wait()
	n := <-acknowledged
	server.Restart(t)
	found, err := countTeams(t.Context(), openPostgres(t, database.Application, store.Options{}).Tenant(acme))
	must(t, err)
	// One more may have been committed, its acknowledgement lost.
	if found != n && found != n+1 {
		t.Errorf("%d rows, %d acknowledged", found, n)
	}
}

func TestPasswordsAreNotInErrors(t *testing.T) {
	database := sharedServer(t).Borrow(t)
	for _, url := range []string{
		strings.Replace(database.Application, "app-hunter2", "wrong-hunter2", 1),
		"postgres://gatehouse_app:hunter2@127.0.0.1:1/x?sslmode=disable",
		"postgres://gatehouse_app:hunter2@127.0.0.1/x?sslmode=hunter2",
		"postgres://gatehouse_app:hunter2@127.0.0.1:hunter2/x",
		"postgres://gatehouse_app:hunter2@[::1/x", "postgres://gatehouse_app:%zz:hunter2@/", "postgresql://:hunter2@%",
	} {
		for _, o := range []store.Options{{Environment: "test"}, {Environment: "test", Owner: url}} {
			application := url
			if o.Owner != "" {
				application = database.Application
			}
			_, err := store.Open(t.Context(), application, o)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}
