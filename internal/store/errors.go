package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"gatehouse/internal/fault"
)

// IsUnique reports whether err is a change that collides with a row that
// exists: a primary key or a unique column taken.
func IsUnique(err error) bool {
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
