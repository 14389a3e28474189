package postgrestest

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestADeadlockIsCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	d := Shared(t).Borrow(t)
	before, err := deadlocks(d)
	must(t, err)
	one, err := pgx.Connect(t.Context(), d.Admin)
	must(t, err)
	other, err := pgx.Connect(t.Context(), d.Admin)
	must(t, err)
	for _, c := range []*pgx.Conn{one, other} {
		_, err := c.Exec(t.Context(), `BEGIN`)
		must(t, err)
	}
	lock := func(c *pgx.Conn, key int) error {
		_, err := c.Exec(t.Context(), `SELECT pg_advisory_xact_lock($1)`, key)
		return err
	}
	must(t, lock(one, 1))
	must(t, lock(other, 2))
	waited := make(chan error)
	go func() { waited <- lock(one, 2) }()
	failed := lock(other, 1)
	must(t, other.Close(t.Context()))
	failed = errors.Join(failed, <-waited)
	must(t, one.Close(t.Context()))
	if code, ok := errors.AsType[*pgconn.PgError](failed); !ok || code.Code != "40P01" {
		t.Fatalf("there was no deadlock: %v", failed)
	}
	if after, err := deadlocks(d); err != nil || after != before+1 {
		t.Errorf("%d deadlocks after %d, %v", after, before, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
