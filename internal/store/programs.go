package store

import (
	"context"
	"database/sql"
)

// program is what a step does, for one tenant, when its text has run and SQL cannot. mine
// is the condition that a row is that tenant's: the owner of the tables may be above
// row-level security. Others may write meanwhile, so a row is changed only while it is
// what was read.
type program func(ctx context.Context, tx *sql.Tx, mine string) error

// programs are those of steps, by their files.
var programs = map[string]func(context.Context, *sql.Tx) error{
	"migrations/sqlite/tenant/00053_search_letters.sql":   inFile(smallLetters(`$1`)),
	"migrations/postgres/tenant/00053_search_letters.sql": inEveryTenant(smallLetters(`CAST($1 AS text)::jsonb`)),
	"migrations/sqlite/tenant/00054_name_keys.sql":        inFile(makeNameKeys),
	"migrations/postgres/tenant/00054_name_keys.sql":      inEveryTenant(makeNameKeys),
}

// inFile does it where the tenant has a file of its own.
func inFile(do program) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error { return do(ctx, tx, "1 = 1") }
}

// inEveryTenant does for each tenant of PostgreSQL what a file of SQLite is one tenant
// for: row-level security stays as it is.
func inEveryTenant(do program) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		tenants, err := rowsOf(ctx, tx, func(rows *sql.Rows, id *string) error { return rows.Scan(id) }, `SELECT tenant_id FROM stores ORDER BY tenant_id`)
		if err != nil {
			return err
		}
		for _, id := range append(tenants, "") { // and out again
			if _, err := tx.ExecContext(ctx, `SELECT set_config('gatehouse.tenant', $1, true)`, id); err != nil {
				return err
			}
			if id == "" {
				break
			}
			if err := do(ctx, tx, "tenant_id = current_setting('gatehouse.tenant')"); err != nil {
				return err
			}
		}
		return nil
	}
}

func rowsOf[T any](ctx context.Context, tx *sql.Tx, scan func(*sql.Rows, *T) error, query string, args ...any) (all []T, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells of any failure
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
