package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Used reports whether the database at a URL holds anything that cannot be read
// without the keys it was made with. It needs none of them and makes nothing.
func Used(ctx context.Context, rawURL string) (bool, error) {
	if isPostgres(rawURL) {
		return usedPostgres(ctx, rawURL)
	}
	dir, err := sqliteDir(rawURL)
	if err != nil {
		return false, err
	}
	tenants, err := os.ReadDir(filepath.Join(dir, "tenants"))
	if len(tenants) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return len(tenants) > 0, err
	}
	_, err = os.Stat((&sqlite{dir: dir}).systemPath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// usedPostgres asks for the tables first: before the first start there are none,
// or none that the application's role may see.
func usedPostgres(ctx context.Context, rawURL string) (used bool, err error) {
	config, err := parsePostgres(rawURL)
	if err != nil {
		return false, err
	}
	db := openPool(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, query := range []string{
		`SELECT to_regclass('stores') IS NOT NULL AND to_regclass('signing_keys') IS NOT NULL`,
		`SELECT EXISTS (SELECT 1 FROM stores) OR EXISTS (SELECT 1 FROM signing_keys)`,
	} {
		if err := db.QueryRowContext(ctx, query).Scan(&used); err != nil {
			return false, fmt.Errorf("look into the store: %w", classifyPostgres(ctx, err, isDialing(err)))
		}
		if !used {
			return false, nil
		}
	}
	return true, nil
}
