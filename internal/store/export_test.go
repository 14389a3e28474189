package store

import (
	"context"
	"database/sql"
	"errors"

	"gatehouse/identity"
)

// RunProgram does to PostgreSQL what a migration does in Go.
func RunProgram(ctx context.Context, db *sql.DB, file string) error {
	return inTx(ctx, db, programs["migrations/postgres/tenant/"+file])
}

// RunProgramOf does to a tenant's file what a migration does in Go.
func RunProgramOf(ctx context.Context, db *DB, tenant identity.TenantID, name string) error {
	files := db.backend.(*sqlite).tenants //nolint:errcheck // the test's is one
	return files.use(ctx, tenant, func(f *file) error {
		return inTx(ctx, f.writer, programs["migrations/sqlite/tenant/"+name])
	})
}

func inTx(ctx context.Context, db *sql.DB, program func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := program(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
