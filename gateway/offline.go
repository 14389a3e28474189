package gateway

import (
	"cmp"
	"context"
	"path/filepath"
	"strings"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/keys"
)

// JournalDir is where the journals are in a data folder.
func JournalDir(data string) string { return filepath.Join(data, journalName) }

// openRing opens the keys of a data folder without making any; kek is a
// file:// URL or a path, empty for the default place in the data folder.
func openRing(data, kek string) (*keys.Ring, error) {
	path := cmp.Or(strings.TrimPrefix(kek, "file://"), filepath.Join(data, kekName))
	k, err := keys.OpenFileKEK(path, false)
	if err != nil {
		return nil, err
	}
	return keys.NewRing(k, keys.ReadDirVault(filepath.Join(data, keysName))), nil
}

// OpenJournal opens the journals of a data folder for reading, beside a running
// gateway or without one.
func OpenJournal(data, kek string) (*audit.Reader, error) {
	ring, err := openRing(data, kek)
	if err != nil {
		return nil, err
	}
	return audit.OpenReader(audit.Options{Dir: JournalDir(data), Keys: ring})
}

// StoredTenants gives the ids of a data folder's tenants by name, from the
// platform's journal: beside a running gateway or without one. A name that was
// used again stands for the newest tenant of that name.
func StoredTenants(ctx context.Context, journal *audit.Reader) (map[string]identity.TenantID, error) {
	ids := map[string]identity.TenantID{identity.PlatformName: identity.Platform}
	for e, err := range journal.Read(ctx, identity.Platform, 0) {
		if err != nil {
			return nil, err
		}
		if e.Type == audit.TenantCreated && e.Outcome == audit.Success {
			ids[e.Target.Name] = identity.TenantID(e.Target.ID)
		}
	}
	return ids, nil
}
