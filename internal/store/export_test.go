package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// SmallLetters is the step of that name in a tenant's file.
func (t *Tx) SmallLetters(ctx context.Context) error {
	return smallLetters(ctx, goose.DialectSQLite3, t.conn)
}

// SmallLetters is the step of that name, by the owner of the tables.
func SmallLetters(ctx context.Context, owner string) error {
	config, err := pgx.ParseConfig(owner)
	if err != nil {
		return err
	}
	config.RuntimeParams["search_path"] = postgresSchema
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := smallLetters(ctx, goose.DialectPostgres, tx); err != nil {
		return err
	}
	return tx.Commit()
}
