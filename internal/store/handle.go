package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
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

// checkTenant refuses what is not of the form that identity makes: an id becomes
// the name of a folder, and part of a statement.
func checkTenant(id identity.TenantID) error {
	if id == "" || len(id) > 64 || strings.ContainsFunc(string(id), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	}) {
		return errors.New("store: not a tenant id")
	}
	return nil
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
// after the other, so fn must not wait for anything but the database. A
// statement that fails spoils the transaction: fn must not go on after it.
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
	conn    conn
	dialect dialect
}

// conn is what a transaction runs its statements on.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// text checks a statement with its arguments and gives the text to run.
func (t *Tx) text(query string, args []any) (string, error) {
	if err := checkTexts(args); err != nil {
		return "", err
	}
	return t.dialect.text(query, len(args))
}

// Exec runs a statement and returns how many rows it changed. A text among the
// arguments that no database could keep is a fault of kind Invalid.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	query, err := t.text(query, args)
	if err != nil {
		return 0, err
	}
	result, err := t.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Row is what a scan function reads one result row from.
type Row interface{ Scan(dest ...any) error }

// One reads the single row of a query; [ErrNoRows] if there is none.
func One[T any](ctx context.Context, tx *Tx, scan func(Row) (T, error), query string, args ...any) (T, error) {
	query, err := tx.text(query, args)
	if err != nil {
		var none T
		return none, err
	}
	return scan(tx.conn.QueryRowContext(ctx, query, args...))
}

// All reads every row of a query in order; callers bound it with LIMIT.
func All[T any](ctx context.Context, tx *Tx, scan func(Row) (T, error), query string, args ...any) ([]T, error) {
	query, err := tx.text(query, args)
	if err != nil {
		return nil, err
	}
	rows, err := tx.conn.QueryContext(ctx, query, args...)
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
