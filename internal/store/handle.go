package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gatehouse/identity"
)

// ErrNoRows is returned by [One] when the query finds nothing.
var ErrNoRows = sql.ErrNoRows

// backend is what a database system has to do for this package.
type backend interface {
	tenantTx(ctx context.Context, id identity.TenantID, write bool, fn func(*Tx) error) error
	systemTx(ctx context.Context, write bool, fn func(*Tx) error) error
	create(ctx context.Context, id identity.TenantID) error
	drop(ctx context.Context, id identity.TenantID) error
	check(ctx context.Context, id identity.TenantID) error
	run(ctx context.Context) error
	close() error
}

var errUnbound = errors.New("store: handle without a database or a tenant")

// Tenant is a handle on one tenant's data: the only way for a repository to
// reach a query. It is a cheap value; the database behind it is opened on use.
type Tenant struct {
	backend backend
	id      identity.TenantID
}

// ID is the tenant that the handle is bound to.
func (t Tenant) ID() identity.TenantID { return t.id }

// Read runs fn in a transaction that sees one consistent state and cannot
// change anything. An error of fn is returned as it is, unless the database
// itself is out of reach: that is a fault of kind Unavailable and code
// "store-unavailable" around it (promise P7).
func (t Tenant) Read(ctx context.Context, fn func(*Tx) error) error {
	if t.backend == nil || t.id == "" {
		return errUnbound
	}
	return t.backend.tenantTx(ctx, t.id, false, fn)
}

// Write runs fn in a transaction that is committed durably (fsync) when fn
// returns nil and leaves no trace otherwise. Writers of one tenant go one
// after the other on SQLite, so fn must not wait for anything but the
// database.
func (t Tenant) Write(ctx context.Context, fn func(*Tx) error) error {
	if t.backend == nil || t.id == "" {
		return errUnbound
	}
	return t.backend.tenantTx(ctx, t.id, true, fn)
}

// System is the handle on what belongs to no tenant: the list of tenants and
// their hosts. It is a type of its own so that it cannot stand in for [Tenant].
type System struct{ backend backend }

// Read runs fn as [Tenant.Read] does.
func (s System) Read(ctx context.Context, fn func(*Tx) error) error {
	if s.backend == nil {
		return errUnbound
	}
	return s.backend.systemTx(ctx, false, fn)
}

// Write runs fn as [Tenant.Write] does.
func (s System) Write(ctx context.Context, fn func(*Tx) error) error {
	if s.backend == nil {
		return errUnbound
	}
	return s.backend.systemTx(ctx, true, fn)
}

// Tx is one transaction, valid inside the function it was handed to.
type Tx struct {
	tx *sql.Tx
	// dialect turns a query with $1, $2 into what the database understands, and
	// refuses one whose parameters are not as many as the arguments.
	dialect func(query string, args int) (string, error)
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	query, err := t.dialect(query, len(args))
	if err != nil {
		return 0, err
	}
	result, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Row is what a scan function reads one result row from.
type Row interface{ Scan(dest ...any) error }

// One reads the single row of a query; [ErrNoRows] if there is none.
func One[T any](ctx context.Context, tx *Tx, scan func(Row) (T, error), query string, args ...any) (T, error) {
	query, err := tx.dialect(query, len(args))
	if err != nil {
		var none T
		return none, err
	}
	return scan(tx.tx.QueryRowContext(ctx, query, args...))
}

// All reads every row of a query in order; callers bound it with LIMIT.
func All[T any](ctx context.Context, tx *Tx, scan func(Row) (T, error), query string, args ...any) ([]T, error) {
	query, err := tx.dialect(query, len(args))
	if err != nil {
		return nil, err
	}
	rows, err := tx.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells of any failure
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// Scalar is the scan function for a single column.
func Scalar[T any](row Row) (T, error) {
	var v T
	err := row.Scan(&v)
	return v, err
}

// Millis is how a time is stored: Unix milliseconds, 0 for the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Time is the reverse of [Millis], in UTC.
func Time(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
