package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// schema is one embedded folder of migrations.
type schema struct {
	files  func() fs.FS
	latest func() (int64, error)
}

var (
	sqliteSystem = newSchema("migrations/sqlite/system")
	sqliteTenant = newSchema("migrations/sqlite/tenant")
)

func newSchema(dir string) schema {
	files := sync.OnceValue(func() fs.FS {
		sub, err := fs.Sub(migrations, dir)
		if err != nil {
			panic(err) // only a malformed path in this file can do that
		}
		return sub
	})
	return schema{files: files, latest: sync.OnceValues(func() (int64, error) { return latestIn(files()) })}
}

func latestIn(files fs.FS) (latest int64, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		latest = max(latest, version)
	}
	return latest, nil
}

// migrate brings a database to the newest form. One that is there already
// costs a single query, because files are opened and closed all the time.
func (s schema) migrate(ctx context.Context, db *sql.DB) error {
	latest, err := s.latest()
	if err != nil {
		return fmt.Errorf("read embedded migrations: %w", err)
	}
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	switch {
	case version == latest:
		return nil
	case version > latest:
		return fmt.Errorf("the database is in form %d, made by a newer gatehouse; this one knows %d", version, latest)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, s.files(),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from form %d to %d: %w", version, latest, err)
	}
	return nil
}

// schemaVersion is 0 for a database that has never been migrated.
func schemaVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	var name string
	err = db.QueryRowContext(ctx, `SELECT name FROM sqlite_schema WHERE name = 'goose_db_version'`).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&version)
	return version, err
}
