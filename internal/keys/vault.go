package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gatehouse/identity"
)

// Vault keeps the wrapped data keys, one record per tenant. A record is useless
// without the [KEK].
type Vault interface {
	// Get returns a tenant's record; [ErrNoKey] if there is none.
	Get(ctx context.Context, tenant identity.TenantID) ([]byte, error)
	// Put adds a record durably; one that exists already is fs.ErrExist.
	Put(ctx context.Context, tenant identity.TenantID, record []byte) error
	// Delete removes a record for good; a missing one is no error.
	Delete(ctx context.Context, tenant identity.TenantID) error
	// Check is a cheap answer to: is the record there and readable?
	Check(ctx context.Context, tenant identity.TenantID) error
}

// recordLimit is generous for a wrapped key of any KMS.
const recordLimit = 16 << 10

// unfinishedFor is how long a file may stay unfinished: more than any write
// takes, also where another process's clock is ahead.
const unfinishedFor = time.Hour

// dirVault works beside others on the same folder: a record appears whole or not
// at all, the first one stays, and none is kept in memory.
type dirVault struct{ dir string }

// OpenDirVault keeps the records as files of mode 0600 in dir, which is made if
// it is missing and which several processes may share.
func OpenDirVault(dir string) (Vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open key vault: %w", err)
	}
	if err := sweep(dir); err != nil {
		return nil, fmt.Errorf("open key vault: %w", err)
	}
	return dirVault{dir: dir}, nil
}

// ReadDirVault reads the records of a folder that a running gateway may be
// working on: opening it makes and removes nothing.
func ReadDirVault(dir string) Vault { return dirVault{dir: dir} }

// sweep removes what writes cut short by a crash have left. One that another
// process is in the midst of stays; so may what was left just now, which takes
// nothing from promise P10: it is a second name of the record, and Delete
// scrambles what both name, or its key was never used.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, unfinished))
	if err != nil {
		return err
	}
	for _, path := range left {
		info, err := os.Stat(path)
		if err == nil && time.Since(info.ModTime()) > unfinishedFor {
			err = os.Remove(path)
		}
		if err := ignoreMissing(err); err != nil {
			return err
		}
	}
	return nil
}

func (v dirVault) path(tenant identity.TenantID) (string, error) {
	if err := checkID(tenant); err != nil {
		return "", err
	}
	return filepath.Join(v.dir, string(tenant)+".key"), nil
}

func (v dirVault) Get(_ context.Context, tenant identity.TenantID) ([]byte, error) {
	path, err := v.path(tenant)
	if err != nil {
		return nil, err
	}
	record, _, err := readSmall(path, recordLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoKey
	}
	return record, err
}

func (v dirVault) Put(_ context.Context, tenant identity.TenantID, record []byte) error {
	path, err := v.path(tenant)
	if err != nil {
		return err
	}
	return writeNew(path, record)
}

// Delete overwrites the record before it removes it: where the disk writes in
// place, nothing is left to undelete.
func (v dirVault) Delete(_ context.Context, tenant identity.TenantID) error {
	path, err := v.path(tenant)
	if err != nil {
		return err
	}
	if err := scramble(path); err != nil {
		return ignoreMissing(err)
	}
	if err := os.Remove(path); err != nil {
		return ignoreMissing(err)
	}
	return syncDir(v.dir)
}

func scramble(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	noise := make([]byte, min(info.Size(), recordLimit))
	_, _ = rand.Read(noise) // never fails: crypto/rand aborts the program instead
	_, err = f.WriteAt(noise, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (v dirVault) Check(_ context.Context, tenant identity.TenantID) error {
	path, err := v.path(tenant)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoKey
	}
	if err != nil {
		return err
	}
	return readable(path, info)
}
