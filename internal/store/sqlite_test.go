package store_test

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
	"gatehouse/internal/store/conformance"
)

const acme = identity.TenantID("ten_acme")

// fixedKeys derives without a vault, so that a child process and hundreds of
// tenants need no set-up.
type fixedKeys string

func (k fixedKeys) Derive(_ context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	sum := sha512.Sum512([]byte(string(k) + string(tenant) + purpose))
	return sum[:size], nil
}

func open(t testing.TB, dir string, o store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite://"+dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func create(t testing.TB, db *store.DB, ids ...identity.TenantID) {
	t.Helper()
	for _, id := range ids {
		if err := db.Create(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

func addTeam(ctx context.Context, tenant store.Tenant, name string) error {
	return tenant.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO teams (id, name, display_name, version, created_at, updated_at)
			VALUES ($1, $1, $1, 1, 0, 0)`, name)
		return err
	})
}

func countTeams(ctx context.Context, tenant store.Tenant) (n int, err error) {
	err = tenant.Read(ctx, func(tx *store.Tx) (err error) {
		n, err = store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM teams`)
		return err
	})
	return n, err
}

func wantTeams(t *testing.T, tenant store.Tenant, want int) {
	t.Helper()
	if got, err := countTeams(t.Context(), tenant); err != nil || got != want {
		t.Errorf("%d teams, want %d: %v", got, want, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteConforms(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Open {
		dir := t.TempDir()
		kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
		must(t, err)
		vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
		must(t, err)
		ring := keys.NewRing(kek, vault)
		for _, id := range []identity.TenantID{identity.Platform, acme, "ten_globex"} {
			must(t, ring.Create(t.Context(), id))
		}
		return func(t *testing.T) *store.DB {
			db, err := store.Open(t.Context(), "sqlite://"+dir, store.Options{Keys: ring, Environment: "test"})
			must(t, err)
			return db
		}
	})
}

func TestURLsAreChecked(t *testing.T) {
	for _, u := range []string{"", "sqlite://relative", "sqlite:relative", "/dir", "mysql:///x", "sqlite://%zz", "mysql://user:hunter2@host/%zz", "mysql://user:hunter2@host/x"} {
		_, err := store.Open(t.Context(), u, store.Options{Keys: fixedKeys("k")})
		if err == nil {
			t.Errorf("opened %q", u)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds the password: %v", err)
		}
	}
}

func TestDataOfAnotherEnvironmentIsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, open(t, dir, store.Options{Keys: fixedKeys("k"), Environment: "staging"}).Close())
	_, err := store.Open(t.Context(), "sqlite://"+dir, store.Options{Keys: fixedKeys("k"), Environment: "production"})
	if err == nil || !strings.Contains(err.Error(), `"staging"`) {
		t.Errorf("got %v, want an error that names the environment", err)
	}
	open(t, dir, store.Options{Keys: fixedKeys("k"), Environment: "staging"})
}

// A lost list of tenants must not be replaced by an empty one in silence.
func TestP7_ALostSystemFileIsNotMadeAnew(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	create(t, db, acme)
	must(t, db.Close())
	path := filepath.Join(dir, "system.db")
	must(t, os.Truncate(path, 0))
	for _, when := range []string{"empty", "missing"} {
		if _, err := store.Open(t.Context(), "sqlite://"+dir, store.Options{Keys: fixedKeys("k")}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want an error that names the file", when, err)
		}
		if when == "empty" {
			must(t, os.Remove(path))
		}
	}
}

// A creation that a crash cut short can be repeated.
func TestCreateStartsOverWhatWasBegun(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	own := filepath.Join(dir, "tenants", string(acme))
	must(t, os.MkdirAll(own, 0o700))
	for _, name := range []string{"tenant.db.new", "tenant.db.new-wal"} {
		must(t, os.WriteFile(filepath.Join(own, name), []byte("half"), 0o600))
	}
	create(t, db, acme)
	wantTeams(t, db.Tenant(acme), 0)
	must(t, db.Close())
	left, err := os.ReadDir(own)
	if err != nil || len(left) != 1 || left[0].Name() != "tenant.db" {
		t.Errorf("left %v, %v", left, err)
	}
}

// Neither the database files nor the write-ahead logs beside them may show what
// is in them, while they are open and after.
func TestP6_NothingIsReadableOnDisk(t *testing.T) {
	const marker = "a-marker-that-must-not-show"
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	create(t, db, acme)
	must(t, addTeam(t.Context(), db.Tenant(acme), marker))
	must(t, db.System().Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO meta (name, value) VALUES ('x', $1)`, marker)
		return err
	}))
	scan := func(when string, wantWAL bool) {
		t.Helper()
		seen := map[string]bool{}
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			seen[d.Name()] = len(data) > 0
			for _, plain := range []string{marker, "SQLite format", "CREATE TABLE"} {
				if strings.Contains(string(data), plain) {
					t.Errorf("%s: %s shows %q", when, path, plain)
				}
			}
			return nil
		}))
		if !seen["tenant.db"] || !seen["system.db"] || seen["tenant.db-wal"] != wantWAL {
			t.Errorf("%s: looked at %v", when, seen)
		}
	}
	scan("open", true)
	must(t, db.Close())
	scan("closed", false)
}

// A wrong key must be refused before SQLite sees the file: it would take the
// write-ahead log for empty and delete it.
func TestP8_AWrongKeyIsRefusedAndHarmsNothing(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("right")})
	create(t, db, acme)
	must(t, addTeam(t.Context(), db.Tenant(acme), "only in the log"))
	copied := t.TempDir() // as a crash would leave it: the log is not yet in the file
	must(t, os.CopyFS(copied, os.DirFS(dir)))

	_, err := store.Open(t.Context(), "sqlite://"+copied, store.Options{Keys: fixedKeys("wrong")})
	if !fault.Is(err, fault.Unavailable) {
		t.Fatalf("opened with a wrong key: %v", err)
	}
	mixed := mixedKeys{system: "right", tenants: "wrong"}
	other := open(t, copied, store.Options{Keys: mixed})
	_, err = countTeams(t.Context(), other.Tenant(acme))
	if !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a tenant opened with a wrong key: %v", err)
	}
	key, _ := mixed.Derive(t.Context(), acme, "sqlite", 64)
	if strings.Contains(strings.ToLower(err.Error()), fmt.Sprintf("%x", key)[:8]) {
		t.Errorf("the error holds the key: %v", err)
	}
	must(t, other.Close())
	wantTeams(t, open(t, copied, store.Options{Keys: fixedKeys("right")}).Tenant(acme), 1)
}

type mixedKeys struct{ system, tenants fixedKeys }

func (k mixedKeys) Derive(ctx context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error) {
	if tenant == identity.Platform {
		return k.system.Derive(ctx, tenant, purpose, size)
	}
	return k.tenants.Derive(ctx, tenant, purpose, size)
}

func TestKeysOutOfReachAreSaidSo(t *testing.T) {
	want := fault.New(fault.Unavailable, "keys-unavailable", "…")
	_, err := store.Open(t.Context(), "sqlite://"+t.TempDir(), store.Options{Keys: failingKeys{want}})
	if got := fault.As(err); got != want {
		t.Errorf("got %v, want the key source's own fault", err)
	}
}

type failingKeys struct{ err error }

func (k failingKeys) Derive(context.Context, identity.TenantID, string, int) ([]byte, error) {
	return nil, k.err
}

func TestOnlyItsOwnerMayReadTheFiles(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	create(t, db, acme)
	for path, want := range map[string]fs.FileMode{
		"tenants": 0o700, "tenants/ten_acme": 0o700, "tenants/ten_acme/tenant.db": 0o600, "system.db": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %04o, want %04o", path, got, want)
		}
	}
}

// Three hundred tenants in use, eight databases open: the rest is closed, and
// opened when it is asked for again.
func TestManyTenantsNeedFewOpenFiles(t *testing.T) {
	const tenants, maxOpen, workers = 300, 8, 16
	dir := t.TempDir()
	template := open(t, dir, store.Options{Keys: sameKeys{}})
	create(t, template, acme)
	must(t, addTeam(t.Context(), template.Tenant(acme), "x"))
	must(t, template.Close())
	name := func(i int) identity.TenantID { return identity.TenantID(fmt.Sprintf("ten_%d", i)) }
	for i := range tenants { // copies are quicker made than three hundred migrations
		must(t, os.CopyFS(filepath.Join(dir, "tenants", string(name(i))), os.DirFS(filepath.Join(dir, "tenants", string(acme)))))
	}

	before := openFiles(t)
	db := open(t, dir, store.Options{Keys: sameKeys{}, MaxOpen: maxOpen})
	ids := make(chan identity.TenantID)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for id := range ids {
				if n, err := countTeams(t.Context(), db.Tenant(id)); err != nil || n != 1 {
					t.Errorf("%s: %d teams, %v", id, n, err)
				}
			}
		})
	}
	most := 0
	for i := range tenants {
		ids <- name(i)
		most = max(most, openFiles(t)-before)
	}
	close(ids)
	wg.Wait()
	// Each open database has a writer and, here, one reader, with the file and
	// the log each, and the shared index; the system's file is open as well.
	if limit := (maxOpen + 1) * 2 * 3; most > limit {
		t.Errorf("%d files open at most, want no more than %d", most, limit)
	}
	wantTeams(t, db.Tenant(name(0)), 1)
	must(t, db.Close())
	if after := openFiles(t); after > before {
		t.Errorf("%d files open after closing, %d before", after, before)
	}
}

// sameKeys gives every tenant the same key, so that files can be copied.
type sameKeys struct{}

func (sameKeys) Derive(ctx context.Context, _ identity.TenantID, _ string, size int) ([]byte, error) {
	return fixedKeys("same").Derive(ctx, "", "", size)
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// When all that may be open is in use, a caller waits for room instead of
// failing, and gets it as soon as somebody is done.
func TestAFullPoolMakesCallersWait(t *testing.T) {
	db := open(t, t.TempDir(), store.Options{Keys: fixedKeys("k"), MaxOpen: 1})
	create(t, db, acme, "ten_globex")
	inside, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.Tenant(acme).Read(t.Context(), func(*store.Tx) error {
			close(inside)
			<-done
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	wg.Go(func() {
		if err := addTeam(t.Context(), db.Tenant("ten_globex"), "x"); err != nil {
			t.Error(err)
		}
	})
	close(done)
	wg.Wait()
}

func TestIdleDatabasesAreClosed(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k"), IdleAfter: 20 * time.Millisecond})
	create(t, db, acme)
	must(t, addTeam(t.Context(), db.Tenant(acme), "x"))
	log := filepath.Join(dir, "tenants", string(acme), "tenant.db-wal")
	if _, err := os.Stat(log); err != nil {
		t.Fatalf("no log while open: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = db.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(2 * time.Minute); ; {
		if _, err := os.Stat(log); errors.Is(err, fs.ErrNotExist) {
			break // closing the last connection removes it
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("still open")
		}
	}
	wantTeams(t, db.Tenant(acme), 1)
}

func TestDropWaitsForTransactionsUnderWay(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, store.Options{Keys: fixedKeys("k")})
	create(t, db, acme)
	inside, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.Tenant(acme).Write(t.Context(), func(*store.Tx) error {
			close(inside)
			<-done
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := db.Drop(soon, acme); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dropped under a writer: %v", err)
	}
	close(done)
	wg.Wait()
	must(t, db.Drop(t.Context(), acme))
	left, err := os.ReadDir(filepath.Join(dir, "tenants"))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
