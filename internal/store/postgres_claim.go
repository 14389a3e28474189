package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	errNotAlone = errors.New("store: another gateway works with this database, and one that keeps its sessions to itself (registry: local) must be the only one: stop the other")
	errOusted   = errors.New("store: another gateway has worked with this database meanwhile: what this one knows of sessions may be out of date, so restart it")
)

// claim is a gateway's right to work with the database: its own if it is to be
// the only one, otherwise shared. It is a lock of the connection that watches,
// so it ends with the process, however that ends, and while it is lost the watch
// sees nothing.
type claim struct {
	alone bool
	// aloneLast names the last gateway that was alone, once it is known.
	aloneLast string
}

const (
	// claimWait is how long a gateway waits for its predecessor's lock to end.
	claimWait   = `SET lock_timeout = '2s'; `
	claimShared = claimWait + `SELECT pg_advisory_lock_shared(hashtextextended('gatehouse gateway', 0))`
	claimAlone  = claimWait + `SELECT pg_advisory_lock(hashtextextended('gatehouse gateway', 0))`
	// claimName is the row of meta that names the last gateway that was alone.
	claimName = "gateway"
)

// take takes the lock on a new connection, and refuses it if another gateway was
// alone since the last one.
func (c *claim) take(ctx context.Context, conn *pgx.Conn) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close(ctx)) // nobody else would close it
		}
	}()
	lock := claimShared
	if c.alone {
		lock = claimAlone
	}
	if _, err := conn.PgConn().Exec(ctx, lock).ReadAll(); err != nil {
		if p, ok := errors.AsType[*pgconn.PgError](err); ok && p.Code == "55P03" { // lock_not_available
			return errNotAlone
		}
		return fmt.Errorf("store: claim: %w", err)
	}
	if c.alone && c.aloneLast == "" {
		name := rand.Text()
		_, err := conn.Exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, claimName, name)
		if err == nil {
			c.aloneLast = name
		}
		return err
	}
	last := "nobody"
	err = conn.QueryRow(ctx, `SELECT value FROM meta WHERE name = $1`, claimName).Scan(&last)
	switch {
	case err != nil && !errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("store: claim: %w", err)
	case c.aloneLast == "":
		c.aloneLast = last
	case c.aloneLast != last:
		return errOusted
	}
	return nil
}
