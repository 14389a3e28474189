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
	dialect goose.Dialect
	// table holds the version; found gives a row if the table is there.
	table, found string
	files        func() fs.FS
	latest       func() (int64, error)
}

const (
	inSQLite   = `SELECT 1 FROM sqlite_schema WHERE name = $1`
	inPostgres = `SELECT 1 FROM pg_tables WHERE schemaname = '` + postgresSchema + `' AND tablename = $1`
)

var (
	sqliteSystem   = newSchema(goose.DialectSQLite3, "goose_db_version", inSQLite, "migrations/sqlite/system")
	sqliteTenant   = newSchema(goose.DialectSQLite3, "goose_db_version", inSQLite, "migrations/sqlite/tenant")
	postgresSystem = newSchema(goose.DialectPostgres, "system_version", inPostgres, "migrations/postgres/system")
	postgresTenant = newSchema(goose.DialectPostgres, "tenant_version", inPostgres, "migrations/postgres/tenant")
)

func newSchema(dialect goose.Dialect, table, found, dir string) schema {
	files := sync.OnceValue(func() fs.FS {
		sub, err := fs.Sub(migrations, dir)
		if err != nil {
			panic(err) // only a malformed path in this file can do that
		}
		return sub
	})
	return schema{dialect: dialect, table: table, found: found, files: files,
		latest: sync.OnceValues(func() (int64, error) { return latestIn(files()) })}
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
	version, latest, err := s.versions(ctx, db)
	if err != nil || version == latest {
		return err
	}
	provider, err := goose.NewProvider(s.dialect, db, s.files(), goose.WithTableName(s.table),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from form %d to %d: %w", version, latest, err)
	}
	return nil
}

// versions gives the form that a database is in, 0 if it has never been
// migrated, and the newest. A form newer than that is an error.
func (s schema) versions(ctx context.Context, db *sql.DB) (version, latest int64, err error) {
	if latest, err = s.latest(); err != nil {
		return 0, 0, fmt.Errorf("read embedded migrations: %w", err)
	}
	var found int
	err = db.QueryRowContext(ctx, s.found, s.table).Scan(&found)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, latest, nil
	case err == nil:
		err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM `+s.table).Scan(&version) // #nosec G202 -- a name of ours
	}
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("read schema version: %w", err)
	case version > latest:
		return 0, 0, fmt.Errorf("the database is in form %d, made by a newer gatehouse; this one knows %d", version, latest)
	}
	return version, latest, nil
}
