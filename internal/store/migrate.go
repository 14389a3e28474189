package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations
var migrations embed.FS

// schema is one embedded folder of migrations.
type schema struct {
	dialect goose.Dialect
	// table holds the version; found gives a row if the table is there.
	table, found string
	steps        func() ([]step, error)
}

// step is one migration: a file that is run as it stands, and what is to be done in Go
// after it (nil: nothing), in one transaction.
// goose's own reader of SQL takes 8 MiB for each file, at every new database.
type step struct {
	version int64
	text    string
	then    func(context.Context, goose.Dialect, conn) error
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
	return schema{dialect: dialect, table: table, found: found,
		steps: sync.OnceValues(func() ([]step, error) { return stepsIn(dir) })}
}

// stepsIn reads a folder's files in the order of their names.
func stepsIn(dir string) (steps []step, err error) {
	names, err := fs.Glob(migrations, dir+"/*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{version, string(text), inGo[path.Base(name)]})
	}
	return steps, nil
}

func (s step) up(ctx context.Context, dialect goose.Dialect, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, s.text); err != nil || s.then == nil {
		return err
	}
	return s.then(ctx, dialect, tx)
}

// migrate brings a database to the newest form. One that is there already
// costs a single query, because files are opened and closed all the time.
func (s schema) migrate(ctx context.Context, db *sql.DB) error {
	version, latest, err := s.versions(ctx, db)
	if err != nil || version == latest {
		return err
	}
	steps, err := s.steps()
	if err != nil {
		return err
	}
	var ups []*goose.Migration
	for _, step := range steps {
		ups = append(ups, goose.NewGoMigration(step.version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error { return step.up(ctx, s.dialect, tx) }}, nil))
	}
	provider, err := goose.NewProvider(s.dialect, db, nil, goose.WithTableName(s.table), goose.WithGoMigrations(ups...),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from form %d to %d: %w", version, latest, err)
	}
	return nil
}

// create brings a database in which there is nothing to the newest form, in one
// transaction: to commit each step costs more than all of the steps.
func (s schema) create(ctx context.Context, db *sql.DB) error {
	steps, err := s.steps()
	if err != nil {
		return err
	}
	versions, err := database.NewStore(s.dialect, s.table)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := versions.CreateVersionTable(ctx, tx); err != nil {
		return err
	}
	if err := versions.Insert(ctx, tx, database.InsertRequest{Version: 0}); err != nil { // which goose begins with
		return err
	}
	for _, step := range steps {
		if err := step.up(ctx, s.dialect, tx); err != nil {
			return fmt.Errorf("form %d: %w", step.version, err)
		}
		if err := versions.Insert(ctx, tx, database.InsertRequest{Version: step.version}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// versions gives the form that a database is in, 0 if it has never been
// migrated, and the newest. A form newer than that is an error.
func (s schema) versions(ctx context.Context, db *sql.DB) (version, latest int64, err error) {
	steps, err := s.steps()
	if err != nil {
		return 0, 0, fmt.Errorf("read embedded migrations: %w", err)
	}
	for _, step := range steps {
		latest = max(latest, step.version)
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
