package postgrestest

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// NoDeadlock fails a test in which PostgreSQL has to end a transaction because it and
// others wait for each other. That is no error to whoever repeats what was refused, so it
// would not be seen otherwise. The URL is what [Or] has given; it is to be asked before the
// store is opened, so that the store is closed before the end is looked at: until then a
// connection may keep to itself what it has counted. On SQLite it does nothing.
func NoDeadlock(t testing.TB, application string) {
	t.Helper()
	u, err := url.Parse(application)
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "postgres" {
		return
	}
	d := Shared(t).named(strings.TrimPrefix(u.Path, "/"))
	before, err := deadlocks(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		after, err := deadlocks(d)
		if err != nil {
			t.Error(err)
		}
		if after > before {
			t.Errorf("PostgreSQL has ended %d deadlocks", after-before)
		}
	})
}

// deadlocks is how many a database has had, once nobody else is connected to it.
func deadlocks(d Database) (n int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.Admin)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is under way
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for others := 1; others > 0; {
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&others); err != nil {
			return 0, err
		}
		if others > 0 {
			<-tick.C
		}
	}
	err = conn.QueryRow(ctx, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	return n, err
}
