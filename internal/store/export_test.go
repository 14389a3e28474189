package store

import (
	"context"
	"database/sql"
	"errors"

	"gatehouse/identity"
)

// MakeNameKeys does to PostgreSQL what its migration 00054 does.
func MakeNameKeys(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, programs["migrations/postgres/tenant/00054_name_keys.sql"])
}

// MakeNameKeysOf does to a tenant's file what its migration 00054 does.
func MakeNameKeysOf(ctx context.Context, db *DB, tenant identity.TenantID) error {
	return db.backend.(*sqlite).tenants.use(ctx, tenant, func(f *file) error {
		return inTx(ctx, f.writer, programs["migrations/sqlite/tenant/00054_name_keys.sql"])
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
