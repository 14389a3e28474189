package gateway

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/store/postgrestest"
)

// A start without keys is the first, or it is refused before anything is made:
// a new key would bury what is there.
func TestP8_LostKeysAreNotReplaced(t *testing.T) {
	t.Parallel()
	h := openHouse(t, nil)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	platformKey, away := filepath.Join(keysName, string(platform)+".key"), t.TempDir()
	start := func() error {
		t.Helper()
		g, err := New(t.Context(), h.config, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		return g.Close()
	}
	for name, lost := range map[string][]string{
		"keys and KEK":                {keysName, kekName},
		"keys":                        {keysName},
		"the platform's key":          {platformKey},
		"all but the store":           {keysName, kekName, journalName},
		"all but the journals":        {keysName, kekName, "store"},
		"all but the tenants' keys":   {platformKey, kekName, journalName, "store"},
		"all but the system's tables": {keysName, kekName, journalName, "store/tenants"},
	} {
		for _, path := range lost {
			move(t, filepath.Join(h.dir, path), filepath.Join(away, filepath.Base(path)))
		}
		err := start()
		if !errors.Is(err, ErrKeysLost) || !strings.Contains(err.Error(), filepath.Join(h.dir, kekName)) {
			t.Errorf("without %s: %v", name, err)
		}
		for _, path := range lost {
			if _, err := os.Stat(filepath.Join(h.dir, path)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("without %s: %s was made: %v", name, path, err)
			}
			move(t, filepath.Join(away, filepath.Base(path)), filepath.Join(h.dir, path))
		}
	}
	move(t, filepath.Join(h.dir, kekName), filepath.Join(away, kekName))
	if err := start(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the KEK alone: %v", err)
	}
	move(t, filepath.Join(away, kekName), filepath.Join(h.dir, kekName))
	if err := start(); err != nil {
		t.Errorf("with all of it back: %v", err)
	}

	for _, path := range []string{keysName, journalName, "store", caName} {
		if err := os.RemoveAll(filepath.Join(h.dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := start(); err != nil {
		t.Errorf("a first start that was cut short after its KEK: %v", err)
	}
}

// Gateways on one store have one folder of data keys and one KEK, and each has
// a data folder of its own.
func TestGatewaysShareTheirDataKeys(t *testing.T) {
	t.Parallel()
	shared := filepath.Join(t.TempDir(), "shared")
	one := openHouse(t, map[string]string{"data_keys": shared})
	kek := "file://" + filepath.Join(one.dir, kekName)
	if _, err := os.Stat(filepath.Join(one.dir, keysName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there are keys in the data folder: %v", err)
	}
	other := openHouse(t, map[string]string{"data_keys": shared, "keys": kek})
	if has, err := other.rooms.keys.Has(t.Context(), one.acme.ID); !has || err != nil {
		t.Errorf("the other gateway has no key of the tenant: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := *other.config
	cfg.Keys = "file://" + filepath.Join(other.dir, "own.key")
	g, err := New(t.Context(), &cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a gateway without the KEK of the others: %v", err)
	}
	if err == nil {
		t.Error(g.Close())
	}
	if _, err := os.Stat(cfg.KeyFile()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has made a KEK: %v", err)
	}

	journal, err := OpenJournal(other.dir, kek, shared)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := StoredTenants(t.Context(), journal); ids["acme"] != other.acme.ID || err != nil {
		t.Errorf("offline, the tenants are %v: %v", ids, err)
	}
}

// A folder that is not mounted is an empty one.
func TestP8_ASharedFolderThatIsNotThereIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	database := postgrestest.Shared(t).Database(t)
	h := openHouse(t, map[string]string{"store": database.Application, "data_keys": filepath.Join(t.TempDir(), "shared")})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := *h.config
	cfg.Data, cfg.DataKeys, cfg.Keys = t.TempDir(), t.TempDir(), "file://"+filepath.Join(t.TempDir(), kekName)
	g, err := New(t.Context(), &cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, ErrKeysLost) || !strings.Contains(err.Error(), cfg.DataKeys) {
		t.Errorf("a new gateway without the folder of the others: %v", err)
	}
	if err == nil {
		t.Error(g.Close())
	}
	if made, err := os.ReadDir(cfg.DataKeys); len(made) != 0 || err != nil {
		t.Errorf("it has made %v, %v", made, err)
	}
	if _, err := os.Stat(cfg.KeyFile()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has made a KEK: %v", err)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
