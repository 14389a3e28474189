package main

import (
	"context"
	"iter"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/audit"
	"gatehouse/gateway"
	"gatehouse/identity"
	"gatehouse/internal/keys"
)

// folder is a data folder with journals and the keys to them.
type folder struct {
	t    *testing.T
	dir  string
	ring *keys.Ring
}

func newFolder(t *testing.T, tenants ...identity.TenantID) folder {
	t.Helper()
	dir := t.TempDir()
	kek, err := keys.OpenFileKEK(filepath.Join(dir, "kek.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	vault, err := keys.OpenDirVault(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	f := folder{t, dir, keys.NewRing(kek, vault)}
	for _, tenant := range append(tenants, identity.Platform) {
		if err := f.ring.Create(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// node opens a node's journal; it writes one event at a time.
func (f folder) node(name string) (write func(tenant identity.TenantID, kind audit.Type, target audit.Target)) {
	f.t.Helper()
	j, err := audit.Open(audit.Options{Dir: gateway.JournalDir(f.dir), Node: name, Keys: f.ring})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := j.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return func(tenant identity.TenantID, kind audit.Type, target audit.Target) {
		f.t.Helper()
		e := audit.SystemCause().Event(tenant, kind, audit.Success)
		e.Target = target
		if _, err := j.Commit(f.t.Context(), e); err != nil {
			f.t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
}

// Every node counts its records for itself: the newest are those of all nodes by
// time, and whoever follows gets each record once, whichever node writes it.
func TestTailFollowsEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFolder(t, "ten_acme")
		older, newer := f.node("older"), f.node("newer")
		older(identity.Platform, audit.TenantCreated, audit.Target{ID: "ten_acme", Name: "acme"})
		note := func(write func(identity.TenantID, audit.Type, audit.Target), name string) {
			write("ten_acme", audit.TokenCreated, audit.Target{Name: name})
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			note(older, name)
		}
		note(newer, "e")
		note(older, "f")

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		cmd := new(cobra.Command)
		cmd.SetContext(ctx)
		files := files{target: target{data: f.dir, tenant: "acme"}}
		next, stop := iter.Pull2(files.tailFiles(cmd, 3, true))
		defer stop()
		want := func(names ...string) {
			t.Helper()
			for _, name := range names {
				if e, err, ok := next(); !ok || err != nil || e.Target.Name != name {
					t.Fatalf("got %q (%v, %t), want %q", e.Target.Name, err, ok, name)
				}
			}
		}
		want("d", "e", "f")
		note(newer, "g")
		want("g")
		note(older, "h")
		want("h")
		note(f.node("newest"), "i")
		want("i")
		note(newer, "j")
		want("j")
	})
}
