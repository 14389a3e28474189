package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gatehouse/identity"
)

// sqlite keeps one encrypted file per tenant, at tenants/<id>/tenant.db, and
// system.db beside them, below one directory.
type sqlite struct {
	dir     string
	options Options
	system  *pool // of one
	tenants *pool

	creating sync.Mutex // two creations of one file would collide
}

func openSQLite(ctx context.Context, dir string, o Options) (*sqlite, error) {
	if o.Keys == nil {
		return nil, errors.New("store: no source of keys")
	}
	if o.MaxOpen <= 0 {
		o.MaxOpen = defaultMaxOpen
	}
	if o.IdleAfter <= 0 {
		o.IdleAfter = defaultIdleAfter
	}
	if err := os.MkdirAll(filepath.Join(dir, "tenants"), 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &sqlite{dir: dir, options: o}
	s.system = newPool(1, s.openSystem)
	s.tenants = newPool(o.MaxOpen, s.openTenant)
	if err := s.createSystem(ctx); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// createSystem makes the system's file at the first start. Where tenants are, a
// missing one was lost, and a new one would hide that.
func (s *sqlite) createSystem(ctx context.Context) error {
	tenants, err := os.ReadDir(filepath.Join(s.dir, "tenants"))
	if err != nil {
		return err
	}
	if _, err := os.Stat(s.systemPath()); errors.Is(err, fs.ErrNotExist) && len(tenants) > 0 {
		return fmt.Errorf("%s is missing, but there are tenants: restore it from a backup", s.systemPath())
	}
	key, err := s.systemKey(ctx)
	if err != nil {
		return err
	}
	defer clear(key)
	if err := createFile(ctx, s.systemPath(), key, sqliteSystem); err != nil {
		return unavailable(fmt.Errorf("create %s: %w", s.systemPath(), err))
	}
	return nil
}

func (s *sqlite) systemPath() string { return filepath.Join(s.dir, "system.db") }

func (s *sqlite) tenantPath(id identity.TenantID) (string, error) {
	return filepath.Join(s.dir, "tenants", string(id), "tenant.db"), checkTenant(id)
}

func (s *sqlite) systemKey(ctx context.Context) ([]byte, error) {
	key, err := s.options.Keys.Derive(ctx, identity.Platform, "sqlite-system", keySize)
	if err != nil {
		return nil, fmt.Errorf("key of the system database: %w", err)
	}
	return key, nil
}

func (s *sqlite) openSystem(ctx context.Context, _ identity.TenantID) (*file, error) {
	key, err := s.systemKey(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return openFile(ctx, s.systemPath(), key, sqliteSystem)
}

func (s *sqlite) openTenant(ctx context.Context, id identity.TenantID) (*file, error) {
	path, err := s.tenantPath(id)
	if err != nil {
		return nil, err
	}
	key, err := s.tenantKey(ctx, id)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	f, err := openFile(ctx, path, key, sqliteTenant)
	if err != nil {
		return nil, fmt.Errorf("open the database of %s: %w", id, err)
	}
	return f, nil
}

func (s *sqlite) tenantKey(ctx context.Context, id identity.TenantID) ([]byte, error) {
	key, err := s.options.Keys.Derive(ctx, id, "sqlite", keySize)
	if err != nil {
		return nil, fmt.Errorf("key of the database of %s: %w", id, err)
	}
	return key, nil
}

func (s *sqlite) tenantTx(ctx context.Context, id identity.TenantID, write bool, fn func(*Tx) error) error {
	return s.tenants.use(ctx, id, func(f *file) error { return f.transact(ctx, write, fn) })
}

func (s *sqlite) systemTx(ctx context.Context, write bool, fn func(*Tx) error) error {
	return s.system.use(ctx, "", func(f *file) error { return f.transact(ctx, write, fn) })
}

func (s *sqlite) create(ctx context.Context, id identity.TenantID) error {
	path, err := s.tenantPath(id)
	if err != nil {
		return err
	}
	key, err := s.tenantKey(ctx, id)
	if err != nil {
		return err
	}
	defer clear(key)
	s.creating.Lock()
	defer s.creating.Unlock()
	if err := createFile(ctx, path, key, sqliteTenant); err != nil {
		return unavailable(fmt.Errorf("create the database of %s: %w", id, err))
	}
	return nil
}

func (s *sqlite) drop(ctx context.Context, id identity.TenantID) error {
	path, err := s.tenantPath(id)
	if err != nil {
		return err
	}
	return s.tenants.drop(ctx, id, func() error {
		dir := filepath.Dir(path)
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unavailable(err)
		}
		return syncDir(filepath.Dir(dir))
	})
}

// check looks at the system's file as well: what is written to one that was
// taken away would be lost, so nobody is served without it.
func (s *sqlite) check(ctx context.Context, id identity.TenantID) error {
	path, err := s.tenantPath(id)
	if err != nil {
		return err
	}
	err = s.system.check(ctx, "", s.systemPath(), func() error {
		key, err := s.systemKey(ctx)
		if err != nil {
			return err
		}
		defer clear(key)
		return checkKey(s.systemPath(), key)
	})
	if err != nil {
		return err
	}
	return s.tenants.check(ctx, id, path, func() error {
		key, err := s.tenantKey(ctx, id)
		if err != nil {
			return err
		}
		defer clear(key)
		return checkKey(path, key)
	})
}

func (s *sqlite) run(ctx context.Context) error {
	ticker := time.NewTicker(max(s.options.IdleAfter/4, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			s.tenants.closeIdle(now.Add(-s.options.IdleAfter))
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *sqlite) close() error { return errors.Join(s.tenants.close(), s.system.close()) }
