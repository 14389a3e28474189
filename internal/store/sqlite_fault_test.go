package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// A file that is taken away, exchanged or made unreadable is seen at the next
// check and by the next query, within a second, and comes back without a
// restart (P7). To root a mode alone is no obstacle, and it is seen all the same.
func TestP7_AnUnreadableFileIsSeenAndComesBack(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	create(t, db, acme)
	tenant := db.Tenant(acme)
	must(t, addTeam(t.Context(), tenant, "x"))
	path := filepath.Join(dir, "tenants", string(acme), "tenant.db")

	works := func(when string) {
		t.Helper()
		if err := db.Check(t.Context(), acme); err != nil {
			t.Errorf("%s: check: %v", when, err)
		}
		wantTeams(t, tenant, 1)
	}
	fails := func(when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // or it hangs
		defer cancel()
		_, read := countTeams(ctx, tenant)
		for what, err := range map[string]error{
			"check": db.Check(ctx, acme), "read": read, "write": addTeam(ctx, tenant, "y"),
		} {
			if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != "store-unavailable" || f.RetryAfter == 0 {
				t.Errorf("%s: %s: %v", when, what, err)
			}
		}
	}

	works("whole")
	must(t, os.Chmod(path, 0))
	fails("chmod 000")
	must(t, os.Chmod(path, 0o600))
	works("mode mended")
	must(t, os.Rename(path, path+".away"))
	fails("moved away")
	must(t, os.Rename(path+".away", path))
	works("moved back")

	// What follows exchanges the file, as a restore does: the log of the old one
	// must not be left, so the database is closed first.
	must(t, db.Close())
	db = open(t, dir, store.Options{Keys: fixedKeys("k")})
	tenant = db.Tenant(acme)
	works("opened again")
	whole, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, []byte("this is no database, and not even long enough to be one"), 0o600))
	fails("garbage in its place")
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, whole, 0o600))
	works("another copy in its place")
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, nil, 0o600))
	fails("an empty file in its place")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	fails("a directory in its place")
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, whole, 0o600))
	works("whole again")
}

// Without the system's file nobody is ready, and nothing is written into the one
// that was taken away (P7, P8).
func TestP7_AMissingSystemFileConcernsEverybody(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	create(t, db, acme)
	must(t, db.Check(t.Context(), acme))
	path := filepath.Join(dir, "system.db")
	must(t, os.Rename(path, path+".away"))
	for what, err := range map[string]error{
		"check": db.Check(t.Context(), acme),
		"write": db.System().Write(t.Context(), func(*store.Tx) error { return nil }),
	} {
		if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != "store-unavailable" {
			t.Errorf("%s without the system's file: %v", what, err)
		}
	}
	must(t, os.Rename(path+".away", path))
	must(t, db.Check(t.Context(), acme))
}

const childVariable = "GATEHOUSE_STORE_TEST_CHILD"

// TestMain turns the test binary into a writer that can be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver adds rows and prints the number of each one that was acknowledged.
func writeForEver(dir string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite://"+dir, store.Options{Keys: fixedKeys("k")})
	if err != nil {
		return err
	}
	start, err := countTeams(ctx, db.Tenant(acme))
	if err != nil {
		return err
	}
	for i := start; ; i++ {
		if err := addTeam(ctx, db.Tenant(acme), fmt.Sprint(i)); err != nil {
			return err
		}
		if _, err := fmt.Println(i); err != nil {
			return err
		}
	}
}

// A process that is killed at any moment keeps what it has acknowledged, and
// the next one opens the file.
func TestP8_AcknowledgedWritesSurviveKill(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	create(t, db, acme)
	must(t, db.Close())
	for round := range 5 {
		acknowledged := killAfter(t, dir, 3+round*7)
		db := open(t, dir, store.Options{Keys: fixedKeys("k")})
		rows, err := countTeams(t.Context(), db.Tenant(acme))
		must(t, err)
		// One more may have been committed, its acknowledgement not yet printed.
		if rows != acknowledged && rows != acknowledged+1 {
			t.Errorf("round %d: %d rows, %d acknowledged", round, rows, acknowledged)
		}
		must(t, db.Close())
	}
}

// killAfter runs a writer, kills it after it has acknowledged so many rows, and
// returns how many rows it has acknowledged in all.
func killAfter(t *testing.T, dir string, rows int) (acknowledged int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		_, err := fmt.Sscan(lines.Text(), &acknowledged)
		must(t, err)
		if n == rows {
			must(t, child.Process.Kill())
		}
	}
	if _, ok := errors.AsType[*exec.ExitError](child.Wait()); !ok {
		t.Fatal("the child ended by itself")
	}
	return acknowledged + 1
}
