package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const (
	acme   = identity.TenantID("ten_acme")
	globex = identity.TenantID("ten_globex")
)

type fixture struct {
	ring    *Ring
	kek     KEK
	kekPath string
	dir     string
}

func newRing(t *testing.T, tenants ...identity.TenantID) fixture {
	t.Helper()
	kek, path := newKEK(t)
	dir := filepath.Join(t.TempDir(), "keys")
	vault, err := OpenDirVault(dir)
	if err != nil {
		t.Fatal(err)
	}
	ring := NewRing(kek, vault)
	for _, tenant := range tenants {
		if err := ring.Create(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	return fixture{ring: ring, kek: kek, kekPath: path, dir: dir}
}

// reopened is the ring as a new process would see it.
func (f fixture) reopened(t *testing.T) *Ring {
	t.Helper()
	kek, err := OpenFileKEK(f.kekPath, false)
	if err != nil {
		t.Fatal(err)
	}
	vault, err := OpenDirVault(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	return NewRing(kek, vault)
}

func derive(t *testing.T, ring *Ring, tenant identity.TenantID, purpose string) []byte {
	t.Helper()
	key, err := ring.Derive(t.Context(), tenant, purpose, 64)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestP3_DerivedKeysDifferByTenantAndPurposeAndLast(t *testing.T) {
	f := newRing(t, acme, globex)
	key := derive(t, f.ring, acme, "sqlite")
	if len(key) != 64 {
		t.Fatalf("%d bytes", len(key))
	}
	if bytes.Equal(key, derive(t, f.ring, globex, "sqlite")) {
		t.Error("two tenants share a key")
	}
	if bytes.Equal(key, derive(t, f.ring, acme, "journal")) {
		t.Error("two purposes share a key")
	}
	if !bytes.Equal(key, derive(t, f.reopened(t), acme, "sqlite")) {
		t.Error("another key after a restart")
	}
	if err := f.ring.Create(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(key, derive(t, f.reopened(t), acme, "sqlite")) {
		t.Error("creating again replaced the key")
	}
}

func TestP3_SealedValuesOpenOnlyWhereTheyBelong(t *testing.T) {
	f := newRing(t, acme, globex)
	secret := []byte("client secret")
	sealed, err := f.ring.Seal(t.Context(), acme, "connection", secret)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, secret) {
		t.Error("the plaintext shows")
	}
	plain, err := f.reopened(t).Open(t.Context(), acme, "connection", sealed)
	if err != nil || !bytes.Equal(plain, secret) {
		t.Fatalf("open: %q, %v", plain, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)/2] ^= 1
	for name, try := range map[string]func() ([]byte, error){
		"another tenant":  func() ([]byte, error) { return f.ring.Open(t.Context(), globex, "connection", sealed) },
		"another purpose": func() ([]byte, error) { return f.ring.Open(t.Context(), acme, "session", sealed) },
		"changed":         func() ([]byte, error) { return f.ring.Open(t.Context(), acme, "connection", changed) },
		"cut":             func() ([]byte, error) { return f.ring.Open(t.Context(), acme, "connection", sealed[:5]) },
		"empty":           func() ([]byte, error) { return f.ring.Open(t.Context(), acme, "connection", nil) },
	} {
		if plain, err := try(); !errors.Is(err, ErrSealed) || plain != nil {
			t.Errorf("%s: %q, %v", name, plain, err)
		}
	}
}

func TestP10_DestroyedKeysStayGone(t *testing.T) {
	f := newRing(t, acme, globex)
	derive(t, f.ring, acme, "sqlite")
	for range 2 {
		if err := f.ring.Destroy(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
	}
	for name, ring := range map[string]*Ring{"same process": f.ring, "after a restart": f.reopened(t)} {
		if _, err := ring.Derive(t.Context(), acme, "sqlite", 32); !errors.Is(err, ErrNoKey) || !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if has, err := ring.Has(t.Context(), acme); has || err != nil {
			t.Errorf("%s: has %v, %v", name, has, err)
		}
		if has, err := ring.Has(t.Context(), globex); !has || err != nil {
			t.Errorf("%s: the other tenant: has %v, %v", name, has, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(f.dir, "*acme*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestP10_LeftoversOfACrashAreSwept(t *testing.T) {
	f := newRing(t, acme)
	old, young := filepath.Join(f.dir, ".new-123"), filepath.Join(f.dir, ".new-456")
	for _, left := range []string{old, young} {
		if err := os.WriteFile(left, []byte("half a record"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * unfinishedFor)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	derive(t, f.reopened(t), acme, "sqlite")
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("what another process writes was taken from it: %v", err)
	}
}

// A crash right after a record got its name leaves it a second one.
func TestP10_ALeftoverDoesNotOutliveItsRecord(t *testing.T) {
	f := newRing(t, acme)
	left := filepath.Join(f.dir, ".new-123")
	if err := os.Link(filepath.Join(f.dir, "ten_acme.key"), left); err != nil {
		t.Fatal(err)
	}
	if err := f.reopened(t).Destroy(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(left)
	if err != nil || json.Valid(text) || bytes.Contains(text, []byte(f.kek.ID())) {
		t.Errorf("left: %q, %v", text, err)
	}
}

// Several gateways share one folder of keys.
func TestRingsShareAFolder(t *testing.T) {
	f := newRing(t)
	rings := []*Ring{f.reopened(t), f.reopened(t), f.reopened(t)}
	const tenants = 50
	name := func(i int) identity.TenantID { return identity.TenantID(fmt.Sprintf("ten_%d", i)) }
	var group sync.WaitGroup
	for _, ring := range rings {
		group.Go(func() {
			for i := range tenants {
				if err := ring.Create(t.Context(), name(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Go(func() {
		for range tenants {
			if _, err := OpenDirVault(f.dir); err != nil { // another one starts
				t.Error(err)
			}
		}
	})
	group.Wait()
	for i := range tenants {
		key := derive(t, rings[0], name(i), "journal")
		for _, ring := range rings[1:] {
			if !bytes.Equal(key, derive(t, ring, name(i), "journal")) {
				t.Errorf("two rings have two keys for %s", name(i))
			}
		}
	}
	files, err := os.ReadDir(f.dir)
	if err != nil || len(files) != tenants {
		t.Errorf("%d files for %d keys: %v", len(files), tenants, err)
	}
}

func TestP10_AKeyThatAnotherProcessDestroyedIsForgotten(t *testing.T) {
	f := newRing(t, acme, globex)
	other := f.reopened(t)
	key := derive(t, other, globex, "sqlite")
	derive(t, other, acme, "sqlite")
	if err := f.ring.Destroy(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	if err := other.Check(t.Context(), acme); !errors.Is(err, ErrNoKey) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("the other process passes the tenant: %v", err)
	}
	other.Forget(acme)
	if _, err := other.Derive(t.Context(), acme, "sqlite", 32); !errors.Is(err, ErrNoKey) {
		t.Errorf("the other process has the key still: %v", err)
	}
	other.Forget(globex)
	if !bytes.Equal(key, derive(t, other, globex, "sqlite")) {
		t.Error("forgetting a key that is there has changed it")
	}
}

func TestP7_CheckFailsClosedAndRecovers(t *testing.T) {
	f := newRing(t, acme)
	derive(t, f.ring, acme, "sqlite")
	record := filepath.Join(f.dir, "ten_acme.key")
	check := func(what string, available bool) {
		t.Helper()
		err := f.ring.Check(t.Context(), acme)
		if available && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if !available && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v, want an Unavailable fault", what, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("whole", true)
	must(os.Rename(f.kekPath, f.kekPath+".away"))
	check("no kek", false)
	must(os.Rename(f.kekPath+".away", f.kekPath))
	check("kek back", true)
	must(os.Chmod(record, 0))
	check("record unreadable", false)
	must(os.Chmod(record, 0o600))
	must(os.Rename(record, record+".away"))
	check("record missing", false)
	must(os.Rename(record+".away", record))
	check("record back", true)
	if f.ring.Check(t.Context(), globex) == nil {
		t.Error("a tenant without a key passes")
	}
}

func TestP3_RecordsDoNotMoveBetweenTenants(t *testing.T) {
	f := newRing(t, acme)
	data, err := os.ReadFile(filepath.Join(f.dir, "ten_acme.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "ten_globex.key"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ring.Derive(t.Context(), globex, "sqlite", 32); !fault.Is(err, fault.Unavailable) {
		t.Errorf("derived from another tenant's record: %v", err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "ten_globex.key"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ring.Derive(t.Context(), globex, "sqlite", 32); !fault.Is(err, fault.Unavailable) {
		t.Errorf("derived from a damaged record: %v", err)
	}
}

func TestAnotherKEKOpensNothing(t *testing.T) {
	f := newRing(t, acme)
	other, _ := newKEK(t)
	ring := f.reopened(t)
	ring.kek = other
	_, err := ring.Derive(t.Context(), acme, "sqlite", 32)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), f.kek.ID()) {
		t.Errorf("want a fault that names the key that is needed, got %v", err)
	}
}

func TestTenantIDsAreNoPaths(t *testing.T) {
	f := newRing(t)
	for _, id := range []identity.TenantID{"", "..", "../x", "a/b", "A", "ten acme", identity.TenantID(strings.Repeat("a", 65)), "a\x00"} {
		if err := f.ring.Create(t.Context(), id); err == nil {
			t.Errorf("created %q", id)
		}
		if _, err := f.ring.Derive(t.Context(), id, "sqlite", 32); err == nil {
			t.Errorf("derived for %q", id)
		}
		if err := f.ring.Destroy(t.Context(), id); err == nil {
			t.Errorf("destroyed %q", id)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	ring := newRing(t).ring
	for i := range maxCached + 10 {
		ring.keep(identity.TenantID(fmt.Sprint(i)), [keySize]byte{1})
	}
	if len(ring.cached) != maxCached {
		t.Errorf("%d keys cached, want %d", len(ring.cached), maxCached)
	}
}

// A load that began before a Destroy must not put the key back behind it.
func TestP10_ALoadUnderWayDoesNotReviveADestroyedKey(t *testing.T) {
	f := newRing(t, acme)
	slow := &slowVault{Vault: f.ring.vault, loaded: make(chan struct{}), proceed: make(chan struct{})}
	ring := NewRing(f.kek, slow)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = ring.Derive(t.Context(), acme, "sqlite", 32) })
	<-slow.loaded
	if err := ring.Destroy(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	close(slow.proceed)
	wg.Wait()
	if len(ring.cached) != 0 {
		t.Error("the destroyed key is cached")
	}
}

type slowVault struct {
	Vault
	loaded, proceed chan struct{}
}

func (v *slowVault) Get(ctx context.Context, tenant identity.TenantID) ([]byte, error) {
	record, err := v.Vault.Get(ctx, tenant)
	close(v.loaded)
	<-v.proceed
	return record, err
}
