package gateway

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"strings"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/keys"
)

// JournalDir is where the journals are in a data folder.
func JournalDir(data string) string { return filepath.Join(data, journalName) }

// openRing opens the keys of a data folder without making any; kek is a
// file:// URL or a path, and dataKeys a folder, both empty for the default place
// in the data folder.
func openRing(data, kek, dataKeys string) (*keys.Ring, error) {
	path := cmp.Or(strings.TrimPrefix(kek, "file://"), filepath.Join(data, kekName))
	k, err := keys.OpenFileKEK(path, false)
	if err != nil {
		return nil, err
	}
	return keys.NewRing(k, keys.ReadDirVault(cmp.Or(dataKeys, filepath.Join(data, keysName)))), nil
}

// OpenJournal opens the journals of a data folder for reading, beside a running
// gateway or without one.
func OpenJournal(data, kek, dataKeys string) (*audit.Reader, error) {
	ring, err := openRing(data, kek, dataKeys)
	if err != nil {
		return nil, err
	}
	return audit.OpenReader(audit.Options{Dir: JournalDir(data), Keys: ring})
}

// StoredTenants gives the ids of a data folder's tenants by name, from the
// platform's journal: beside a running gateway or without one. A name that was
// used again stands for the newest tenant of that name, and deleted tenants have
// none. What cannot be read of the journal is passed over and reported in the
// error; the rest is there all the same.
func StoredTenants(ctx context.Context, journal *audit.Reader) (map[string]identity.TenantID, error) {
	ids := map[string]identity.TenantID{identity.PlatformName: identity.Platform}
	var unread error
	for e, err := range journal.Read(ctx, identity.Platform, nil) {
		switch {
		case err != nil:
			unread = errors.Join(unread, err)
		case e.Outcome != audit.Success:
		case e.Type == audit.TenantCreated:
			ids[e.Target.Name] = identity.TenantID(e.Target.ID)
		case e.Type == audit.TenantDeleted && ids[e.Target.Name] == identity.TenantID(e.Target.ID):
			delete(ids, e.Target.Name)
		}
	}
	return ids, unread
}
