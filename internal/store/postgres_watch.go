package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"gatehouse/identity"
)

const (
	// lookEvery and lookWait bound what [DB.Check] tells to be younger than
	// lookStale, whatever becomes of the server. Only connecting may take longer,
	// and the server counts as gone meanwhile.
	lookEvery = 200 * time.Millisecond
	lookWait  = 500 * time.Millisecond
	lookStale = 900 * time.Millisecond
)

var (
	errReadOnly = errors.New("store: the server takes no changes")
	errStale    = errors.New("store: the server has not been looked at for too long")
	errNoTenant = errors.New("store: no such tenant")
)

// watch asks the server how it is, several times a second, so that readiness
// need not wait for the answer. It has a connection of its own: that all others
// are busy does not mean that the server is gone.
type watch struct {
	db    *sql.DB
	claim claim // of its connection
	stop  context.CancelFunc
	done  sync.WaitGroup

	looking sync.Mutex // one look at a time
	seen    atomic.Pointer[sight]
}

// sight is what one look saw.
type sight struct {
	at     time.Time // when the question was sent
	err    error
	mark   string // changes with the set of tenants
	stores map[identity.TenantID]struct{}
}

func startWatch(ctx context.Context, config pgx.ConnConfig, alone bool) *watch {
	config.RuntimeParams = maps.Clone(params)
	// The claim of a machine that fell silent ends in seconds, not in hours.
	maps.Copy(config.RuntimeParams, map[string]string{"tcp_keepalives_idle": "1", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "2"})
	w := &watch{claim: claim{alone: alone}}
	w.db = stdlib.OpenDB(config, stdlib.OptionAfterConnect(w.claim.take))
	w.db.SetMaxOpenConns(1)
	w.seen.Store(&sight{})
	w.look(ctx)
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.done.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.look(ctx)
			}
		}
	})
	return w
}

// look sees for itself. It does not end with the caller: what is seen is for all.
func (w *watch) look(ctx context.Context) {
	w.looking.Lock()
	defer w.looking.Unlock()
	before := w.seen.Load()
	if errors.Is(before.err, errClosed) {
		return
	}
	now := &sight{mark: before.mark, stores: before.stores}
	began := time.Now()
	now.err = w.read(ctx, now)
	if now.err != nil && time.Since(began) < lookWait {
		// The server may have ended the connection and not itself.
		now.err = w.read(ctx, now)
	}
	w.seen.Store(now)
}

// markName is the row of meta that changes with the set of tenants.
const markName = "stores"

// stir makes every node look at the set of tenants anew.
func stir(ctx context.Context, tx *Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		markName, rand.Text())
	return err
}

// read asks the server for what s is to tell.
func (w *watch) read(ctx context.Context, s *sight) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialWait)
	defer cancel()
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // back to the pool
	ctx, cancel = context.WithTimeout(ctx, lookWait)
	defer cancel()
	s.at = time.Now()
	var readOnly, mark string
	err = conn.QueryRowContext(ctx, `SELECT current_setting('transaction_read_only'),
		coalesce((SELECT value FROM meta WHERE name = $1), '')`, markName).Scan(&readOnly, &mark)
	switch {
	case err != nil:
		return err
	case readOnly == "on":
		return errReadOnly
	case mark == s.mark && s.stores != nil:
		return nil
	}
	rows, err := conn.QueryContext(ctx, `SELECT tenant_id FROM stores WHERE NOT dropping`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells of any failure
	stores := map[identity.TenantID]struct{}{}
	for rows.Next() {
		var id identity.TenantID
		if err := rows.Scan(&id); err != nil {
			return err
		}
		stores[id] = struct{}{}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	s.mark, s.stores = mark, stores
	return nil
}

// sound tells what was seen of the server.
func (s *sight) sound() error {
	if s.err != nil {
		return unavailable(s.err)
	}
	if time.Since(s.at) > lookStale {
		return unavailable(errStale)
	}
	return nil
}

// allowed tells a gateway that must be alone whether it still is.
func (w *watch) allowed() error {
	if !w.claim.alone {
		return nil
	}
	return w.seen.Load().sound()
}

// check tells what was seen of the server and of a tenant.
func (w *watch) check(id identity.TenantID) error {
	s := w.seen.Load()
	if err := s.sound(); err != nil {
		return err
	}
	if _, ok := s.stores[id]; !ok {
		return unavailable(errNoTenant)
	}
	return nil
}

func (w *watch) close() error {
	w.stop()
	w.done.Wait()
	w.looking.Lock()
	defer w.looking.Unlock()
	w.seen.Store(&sight{err: errClosed})
	return w.db.Close()
}
