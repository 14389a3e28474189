package gateway

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/audit"
	"gatehouse/identity"
)

func TestTheNodesNameIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	first, err := nodeName(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := nodeName(dir); err != nil || again != first {
		t.Errorf("%q, then %q, %v", first, again, err)
	}
	if other, err := nodeName(t.TempDir()); err != nil || other == first {
		t.Errorf("another folder's is %q as well, %v", other, err)
	}
}

// The journals bear the kept name, whatever the host is called.
func TestJournalsBearTheKeptName(t *testing.T) {
	t.Parallel()
	h := openHouse(t, nil)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, nodeFile), []byte("renamed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := New(t.Context(), h.config, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	event := audit.SystemCause().Event(identity.Platform, audit.TenantChanged, audit.Success)
	if _, err := g.rooms.journal.Commit(t.Context(), event); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(JournalDir(h.dir), string(identity.Platform), "renamed")); err != nil {
		t.Error(err)
	}
	nodes := map[string]bool{}
	for e, err := range g.rooms.journal.All(t.Context(), identity.Platform) {
		if err != nil {
			t.Fatal(err)
		}
		nodes[e.Node] = true
	}
	if len(nodes) != 2 {
		t.Errorf("records of %v", nodes)
	}
}
