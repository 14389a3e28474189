package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"gatehouse/internal/fault"
)

// IsUnique reports whether err is a change that collides with a row that
// exists: a primary key or a unique column taken.
func IsUnique(err error) bool {
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		return p.Code == "23505"
	}
	return errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) || errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY)
}

// unavailable is what a caller gets when the database is out of reach: it fails
// closed (promise P7) and says so. The cause is for the log; one that says
// already what is out of reach, the keys say, keeps its own word.
func unavailable(cause error) error {
	return fault.OutOfReach(cause, "store-unavailable", "The database cannot be reached right now. Try again in a moment.")
}

// outOfReach are the codes of SQLite that say nothing about the statement and
// everything about the file: https://sqlite.org/rescode.html
var outOfReach = []sqlite3.ErrorCode{
	sqlite3.BUSY, sqlite3.LOCKED, sqlite3.PROTOCOL, sqlite3.NOMEM, sqlite3.PERM, sqlite3.READONLY,
	sqlite3.IOERR, sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.CANTOPEN, sqlite3.FULL,
}

// classify tells failures of the database from errors of its use.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return err
	}
	if errors.Is(err, sql.ErrConnDone) {
		return unavailable(err)
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	var code sqlite3.ErrorCode
	if !errors.As(err, &code) {
		return err
	}
	if code == sqlite3.INTERRUPT && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if slices.Contains(outOfReach, code) {
		return unavailable(err)
	}
	return err
}

// outOfReachPostgres are the SQLSTATE codes and classes that say nothing about
// the statement and everything about the server or the connection:
// https://www.postgresql.org/docs/current/errcodes-appendix.html
var outOfReachPostgres = []string{
	"08",                      // connection exception
	"25006", "25P03", "25P04", // read-only; cut off in a silent or long transaction
	"28",                      // the role may not come in any more
	"3D000",                   // no such database
	"40001", "40P01", "55P03", // lost to others: serialization, deadlock, lock not had in time
	"53", "57", "58", "XX", "GH001", // resources, shutdown or cancel, system, internal; no such tenant
}

// classifyPostgres is [classify] for PostgreSQL; lost says that the connection is
// gone, whatever the error says.
func classifyPostgres(ctx context.Context, err error, lost bool) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return err
	}
	code := ""
	if p, ok := errors.AsType[*pgconn.PgError](err); ok {
		code = p.Code
	}
	out := lost || errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) ||
		slices.ContainsFunc(outOfReachPostgres, func(known string) bool { return strings.HasPrefix(code, known) })
	switch {
	case !out || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return unavailable(err)
}
