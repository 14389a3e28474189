package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gatehouse/configs"
	"gatehouse/internal/keys"
	"gatehouse/internal/store"
)

// ErrKeysLost says that there is data, but not what it is encrypted under.
var ErrKeysLost = errors.New("gateway: the keys are lost")

// openKeys opens the key-encryption key and what it has wrapped. Both are made
// at the first start and never again: with new keys, what is there would stay
// unreadable for good, also once somebody brings the old ones.
func openKeys(ctx context.Context, cfg *configs.Config) (*keys.Ring, error) {
	dir := cfg.DataKeys
	known, err := keys.NewRing(nil, keys.ReadDirVault(dir)).Has(ctx, platform)
	if err != nil {
		return nil, err
	}
	if !known {
		if err := nothingKept(ctx, cfg, dir); err != nil {
			return nil, err
		}
	}
	kek, err := keys.OpenFileKEK(cfg.KeyFile(), !known)
	if err != nil {
		return nil, err
	}
	vault, err := keys.OpenDirVault(dir)
	if err != nil {
		return nil, err
	}
	ring := keys.NewRing(kek, vault)
	if !known {
		err = ring.Create(ctx, platform)
	}
	return ring, err
}

// nothingKept refuses to take a start for the first if anything was kept before.
func nothingKept(ctx context.Context, cfg *configs.Config, dir string) error {
	var kept []string
	for _, place := range []struct{ what, folder string }{{"journals in ", JournalDir(cfg.Data)}, {"keys of tenants in ", dir}} {
		entries, err := os.ReadDir(place.folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("gateway: %w", err)
		}
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") { // a write that was cut short
				kept = append(kept, place.what+place.folder)
				break
			}
		}
	}
	used, err := store.Used(ctx, string(cfg.Store))
	if err != nil {
		return err
	}
	if used {
		kept = append(kept, "tenants in the store")
	}
	if len(kept) == 0 {
		return nil
	}
	return fmt.Errorf("%w: there are %s, but %s does not hold the platform's key, without which nothing of it can be read. Put the folder %s (the one that all gateways on the store share) and the file %s back in their places; to begin anew instead, name an empty data folder and an empty store",
		ErrKeysLost, strings.Join(kept, " and "), dir, dir, cfg.KeyFile())
}
