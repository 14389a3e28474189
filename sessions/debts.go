package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"gatehouse/identity"
)

const (
	// debtPurpose binds the sealed file to its use.
	debtPurpose = "sessions/unsettled"
	// maxDebtFile bounds what is read of a tenant's file, in bytes.
	maxDebtFile = 16 << 20
)

// debts are the revocations of this node that SQL has not got, in memory and on
// disk: one file per tenant, sealed with its key, so that a crash forgets none and
// a deleted tenant's tell nothing.
type debts struct {
	dir  string // empty: in memory alone
	keys Sealer

	files sync.Mutex // held while one is read or written, and before mu

	mu  sync.Mutex
	all map[identity.TenantID][]Unsettled // of the tenants that were read
	// some are those that have ended sessions in SQL from here, by id, and whether the
	// nodes were told of all of these.
	some map[string]bool
}

func newDebts(dir string, keys Sealer) *debts {
	return &debts{dir: dir, keys: keys, all: map[identity.TenantID][]Unsettled{}, some: map[string]bool{}}
}

// of gives a tenant's; at first it reads them.
func (d *debts) of(ctx context.Context, tenant identity.TenantID) ([]Unsettled, error) {
	d.files.Lock()
	defer d.files.Unlock()
	return d.read(ctx, tenant)
}

// read is of; d.files is held.
func (d *debts) read(ctx context.Context, tenant identity.TenantID) ([]Unsettled, error) {
	d.mu.Lock()
	owed, ok := d.all[tenant]
	d.mu.Unlock()
	if ok {
		return slices.Clone(owed), nil
	}
	owed, err := d.load(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("sessions: read what SQL is owed of %s: %w", tenant, err)
	}
	d.set(tenant, owed)
	return slices.Clone(owed), nil
}

func (d *debts) set(tenant identity.TenantID, owed []Unsettled) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all[tenant] = owed
}

func (d *debts) load(ctx context.Context, tenant identity.TenantID) (owed []Unsettled, err error) {
	if d.dir == "" {
		return nil, nil
	}
	info, err := os.Stat(d.file(tenant))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxDebtFile {
		return nil, fmt.Errorf("%s is larger than anything that was written there", d.file(tenant))
	}
	sealed, err := os.ReadFile(d.file(tenant)) // #nosec G304 -- in our data folder
	if err != nil {
		return nil, err
	}
	plain, err := d.keys.Open(ctx, tenant, debtPurpose, sealed)
	if err != nil {
		return nil, err
	}
	return owed, json.Unmarshal(plain, &owed)
}

// file is a tenant's. Its name cannot lead out of the folder: it is of the form
// that the store takes, letters, digits and _.
func (d *debts) file(tenant identity.TenantID) string {
	return filepath.Join(d.dir, filepath.Base(string(tenant)))
}

// readAll reads what an earlier process of this node has left.
func (d *debts) readAll(ctx context.Context) error {
	if d.dir == "" {
		return nil
	}
	files, err := os.ReadDir(d.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, f := range files {
		if strings.HasSuffix(f.Name(), unfinished) {
			continue
		}
		_, err := d.of(ctx, identity.TenantID(f.Name()))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// known gives those that are in memory.
func (d *debts) known() (all []Unsettled) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, owed := range d.all {
		all = append(all, owed...)
	}
	return all
}

func (d *debts) has(u Unsettled) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.all[u.Tenant], u.same)
}

// ended notes that sessions were ended in SQL from here.
func (d *debts) ended(u Unsettled, told bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, known := d.some[u.ID]
	d.some[u.ID] = told && (before || !known)
}

// endedAll reports, at last, whether there were any, and the nodes were told of all.
func (d *debts) endedAll(u Unsettled) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	told := d.some[u.ID]
	delete(d.some, u.ID)
	return told
}

func (u Unsettled) same(o Unsettled) bool { return u.ID == o.ID }

// add keeps one more, durably.
func (d *debts) add(ctx context.Context, u Unsettled) error {
	return d.change(ctx, u.Tenant, func(owed []Unsettled) []Unsettled { return append(owed, u) })
}

// remove lets go of one.
func (d *debts) remove(ctx context.Context, u Unsettled) error {
	return d.change(ctx, u.Tenant, func(owed []Unsettled) []Unsettled { return slices.DeleteFunc(owed, u.same) })
}

func (d *debts) change(ctx context.Context, tenant identity.TenantID, change func([]Unsettled) []Unsettled) error {
	d.files.Lock()
	defer d.files.Unlock()
	owed, err := d.read(ctx, tenant)
	if err != nil {
		return err
	}
	owed = change(owed)
	if len(owed) > MaxUnsettled {
		return errOwesTooMuch
	}
	if err := d.save(ctx, tenant, owed); err != nil {
		return fmt.Errorf("sessions: keep what SQL is owed of %s: %w", tenant, err)
	}
	d.set(tenant, owed)
	return nil
}

// unfinished is how the name of a file ends that is being written.
const unfinished = ".new"

func (d *debts) save(ctx context.Context, tenant identity.TenantID, owed []Unsettled) error {
	if d.dir == "" {
		return nil
	}
	if len(owed) == 0 {
		return d.drop(tenant)
	}
	plain, err := json.Marshal(owed)
	if err != nil {
		return err
	}
	sealed, err := d.keys.Seal(ctx, tenant, debtPurpose, plain)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(d.file(tenant)+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- in our data folder
	if err != nil {
		return err
	}
	_, err = f.Write(sealed)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(d.file(tenant)+unfinished, d.file(tenant)); err != nil {
		return err
	}
	// The folder may be new, too.
	return errors.Join(syncFolder(d.dir), syncFolder(filepath.Dir(d.dir)))
}

func (d *debts) drop(tenant identity.TenantID) error {
	if err := os.Remove(d.file(tenant)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncFolder makes durable what was made or renamed in a folder.
func syncFolder(dir string) error {
	folder, err := os.Open(dir) // #nosec G304 -- our data folder, or in it
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// forget drops a deleted tenant's.
func (d *debts) forget(tenant identity.TenantID) error {
	d.files.Lock()
	defer d.files.Unlock()
	d.mu.Lock()
	delete(d.all, tenant)
	d.mu.Unlock()
	if d.dir == "" {
		return nil
	}
	return d.drop(tenant)
}
