package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// postgresSchema holds every table.
	postgresSchema = "gatehouse"
	// maxConns bounds the connections of one node, which share the server's
	// max_connections (100 unless set) with other nodes.
	maxConns = 24
	// connLife bounds how long a node stays with a server that others have left.
	connLife = 30 * time.Minute
	dialWait = 3 * time.Second
	// statementTime is the server's limit for a statement, and answerWait ours, for
	// a server that does not answer at all.
	statementTime = 10 * time.Second
	answerWait    = statementTime + time.Second
	// endWait bounds a rollback, and how long a cancelled statement may take to
	// stop before its connection is given up.
	endWait = time.Second
)

// params are what every connection is set to. lock_timeout is the wait of one
// node's writer for another's; who falls silent inside a transaction is cut off
// (a writer sooner: see enter in migrations/postgres/system).
var params = map[string]string{
	"application_name":                    "gatehouse",
	"jit":                                 "off", // it costs more than these statements take
	"search_path":                         postgresSchema + ", pg_temp",
	"client_encoding":                     "UTF8",
	"synchronous_commit":                  "on",
	"statement_timeout":                   milliseconds(statementTime),
	"lock_timeout":                        milliseconds(connWait),
	"idle_in_transaction_session_timeout": milliseconds(statementTime),
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// parsePostgres reads a database URL. The parser's errors quote it, so they go
// no further.
func parsePostgres(rawURL string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, errURL
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = dialWait
	}
	if config.ValidateConnect == nil {
		// A standby is no place to be: also after a failover, and of several hosts.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return config, nil
}

// openPool makes the pool of the application's connections, none of which is
// open yet.
func openPool(config pgx.ConnConfig) *sql.DB {
	config.RuntimeParams = params
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: endWait}
	}
	db := stdlib.OpenDB(config)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns / 2)
	db.SetConnMaxIdleTime(defaultIdleAfter)
	db.SetConnMaxLifetime(connLife)
	return db
}

// session is a connection inside a transaction.
type session struct {
	*sql.Conn
	pg *pgconn.PgConn
	// patience cuts the connection when the server has not answered in time.
	patience *time.Timer
}

// begin takes a connection and sends the statements that begin a transaction, in
// one round trip. A connection that turns out to be dead was idle when the server
// went away; nothing was done on it, so the next one is tried.
func begin(ctx context.Context, db *sql.DB, statements string) (*session, error) {
	for {
		conn, err := takeConn(ctx, db)
		if err != nil {
			return nil, err
		}
		s := &session{Conn: conn}
		err = conn.Raw(func(driver any) error {
			c, ok := driver.(*stdlib.Conn)
			if !ok {
				return fmt.Errorf("store: a connection of type %T", driver)
			}
			s.pg = c.Conn().PgConn()
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		s.patience = time.AfterFunc(answerWait, cut(s.pg.Conn()))
		_, err = s.ExecContext(ctx, statements)
		if err == nil {
			return s, nil
		}
		lost := s.pg.IsClosed()
		s.end(ctx)
		if !lost || ctx.Err() != nil {
			return nil, err
		}
	}
}

func cut(c net.Conn) func() { return func() { _ = c.Close() } } // whoever reads from it hears

// ExecContext runs a statement that gives no rows.
func (s *session) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s.patience.Reset(answerWait)
	return s.Conn.ExecContext(ctx, query, args...)
}

// QueryContext runs a statement that gives rows.
func (s *session) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s.patience.Reset(answerWait)
	return s.Conn.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a statement that gives one row.
func (s *session) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s.patience.Reset(answerWait)
	return s.Conn.QueryRowContext(ctx, query, args...)
}

var errSpoilt = errors.New("store: a statement of the transaction has failed, so it cannot be committed")

// commit makes the transaction durable. COMMIT after a failed statement would
// roll back and say nothing.
func (s *session) commit(ctx context.Context) error {
	if !s.pg.IsClosed() && s.pg.TxStatus() != 'T' {
		return errSpoilt
	}
	_, err := s.ExecContext(ctx, `COMMIT`)
	return err
}

// end rolls back what was not committed and gives the connection back. It does
// so also when the caller is gone.
func (s *session) end(ctx context.Context) {
	if !s.pg.IsClosed() && s.pg.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
		defer cancel()
		_, _ = s.ExecContext(ctx, `ROLLBACK`) // a connection that cannot even do that is not used again
	}
	s.patience.Stop()
	_ = s.Close() // back to the pool
}
