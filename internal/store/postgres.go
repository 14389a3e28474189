package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"gatehouse/identity"
)

// postgres keeps every tenant's rows in the same tables, where the server lets a
// transaction reach the rows of the tenant that it is bound to. The role that it
// works as owns nothing and is under row-level security; see checkPostgres.
type postgres struct {
	db    *sql.DB
	lanes *lanes
	watch *watch
}

func openPostgres(ctx context.Context, rawURL string, o Options) (_ *postgres, err error) {
	config, err := parsePostgres(rawURL)
	if err != nil {
		return nil, err
	}
	if o.Owner != "" {
		if err := migratePostgres(ctx, o.Owner, config.User); err != nil {
			return nil, fmt.Errorf("open store: %w", classifyPostgres(ctx, err, isDialing(err)))
		}
	}
	p := &postgres{db: openPool(*config), lanes: newLanes()}
	if err := checkPostgres(ctx, p.db); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", classifyPostgres(ctx, err, isDialing(err))), p.db.Close())
	}
	p.watch = startWatch(ctx, *config, o.Alone)
	if err := p.watch.seen.Load().err; errors.Is(err, errNotAlone) || err != nil && o.Alone {
		return nil, errors.Join(fmt.Errorf("open store: %w", classifyPostgres(ctx, err, isDialing(err))), p.close())
	}
	return p, nil
}

const (
	beginRead  = `BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT enter('%s', false)`
	beginWrite = `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT enter('%s', true)`
)

func (p *postgres) tenantTx(ctx context.Context, id identity.TenantID, write bool, fn func(*Tx) error) error {
	if err := checkTenant(id); err != nil {
		return err
	}
	return p.transact(ctx, id, write, postgresTenantDialect, fn)
}

func (p *postgres) systemTx(ctx context.Context, write bool, fn func(*Tx) error) error {
	return p.transact(ctx, "", write, postgresDialect, fn)
}

func (p *postgres) transact(ctx context.Context, id identity.TenantID, write bool, d dialect, fn func(*Tx) error) error {
	first := beginRead
	if write {
		first = beginWrite
	}
	return p.inTurn(ctx, id, write, fmt.Sprintf(first, id), func(s *session) error {
		if err := fn(&Tx{conn: s, dialect: d}); err != nil || !write {
			return err
		}
		return s.commit(ctx)
	})
}

var errTurn = errors.New("store: the transactions before this one took too long")

// inTurn waits for the tenant's turn and runs fn in a transaction, which is
// rolled back unless fn commits it.
func (p *postgres) inTurn(ctx context.Context, id identity.TenantID, write bool, first string, fn func(*session) error) error {
	if err := p.watch.allowed(); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, connWait)
	defer cancel()
	late := func(err error) error {
		if wait.Err() != nil && ctx.Err() == nil {
			return unavailable(fmt.Errorf("%w: %w", errTurn, err))
		}
		return classifyPostgres(ctx, err, isDialing(err))
	}
	leave, err := p.lanes.take(wait, id, write)
	if err != nil {
		return late(err)
	}
	defer leave()
	s, err := begin(wait, p.db, first)
	if err != nil {
		return late(err)
	}
	defer s.end(ctx)
	err = fn(s)
	return classifyPostgres(ctx, err, s.pg.IsClosed())
}

var errDropped = errors.New("store: the tenant's removal was begun and must be repeated")

func (p *postgres) create(ctx context.Context, id identity.TenantID) error {
	if err := checkTenant(id); err != nil {
		return err
	}
	err := p.systemTx(ctx, true, func(tx *Tx) error {
		dropping, err := One(ctx, tx, Scalar[bool], `SELECT dropping FROM stores WHERE tenant_id = $1`, id)
		switch {
		case err == nil && dropping:
			return unavailable(errDropped)
		case !errors.Is(err, ErrNoRows):
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO stores (tenant_id) VALUES ($1)`, id); err != nil {
			return err
		}
		return stir(ctx, tx)
	})
	if err == nil {
		p.watch.look(ctx)
	}
	return err
}

// dropBatch is how many rows one transaction of a removal deletes.
const dropBatch = 5000

// beginDrop waits for the tenant's writers as enter does, but goes on for a
// tenant that nobody may enter.
const beginDrop = `BEGIN ISOLATION LEVEL READ COMMITTED;
	SELECT pg_advisory_xact_lock(hashtextextended('gatehouse ' || '%[1]s', 0)), set_config('gatehouse.tenant', '%[2]s', true)`

// drop shuts the tenant first, so that nothing can be added, and then deletes its
// rows in transactions of bounded length.
func (p *postgres) drop(ctx context.Context, id identity.TenantID) error {
	if err := checkTenant(id); err != nil {
		return err
	}
	system := func(query string) error {
		return p.inTurn(ctx, id, true, fmt.Sprintf(beginDrop, id, ""), func(s *session) error {
			tx := &Tx{conn: s, dialect: postgresDialect}
			if n, err := tx.Exec(ctx, query, id); err != nil || n == 0 {
				return err
			}
			if err := stir(ctx, tx); err != nil {
				return err
			}
			return s.commit(ctx)
		})
	}
	if err := system(`UPDATE stores SET dropping = true WHERE tenant_id = $1`); err != nil {
		return err
	}
	p.watch.look(ctx)
	var tables []string
	err := p.systemTx(ctx, false, func(tx *Tx) (err error) {
		// What refers to others was made after them.
		tables, err = All(ctx, tx, Scalar[string], `SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid
			WHERE c.relnamespace = current_schema()::regnamespace AND p.polname = 'own' ORDER BY c.oid DESC`)
		return err
	})
	if err != nil {
		return err
	}
	for _, table := range tables {
		for n := int64(dropBatch); n == dropBatch; {
			err := p.inTurn(ctx, id, true, fmt.Sprintf(beginDrop, id, id), func(s *session) (err error) {
				tx := &Tx{conn: s, dialect: postgresDialect}
				name := pgx.Identifier{table}.Sanitize()
				n, err = tx.Exec(ctx, `DELETE FROM `+name+` WHERE ctid = ANY (ARRAY(SELECT ctid FROM `+name+` LIMIT $1))`, dropBatch)
				if err != nil {
					return err
				}
				return s.commit(ctx)
			})
			if err != nil {
				return err
			}
		}
	}
	return system(`DELETE FROM stores WHERE tenant_id = $1`)
}

func (p *postgres) check(_ context.Context, id identity.TenantID) error {
	if err := checkTenant(id); err != nil {
		return err
	}
	return p.watch.check(id)
}

func (p *postgres) run(ctx context.Context) error {
	<-ctx.Done() // the pool looks after itself
	return nil
}

func (p *postgres) close() error {
	return errors.Join(p.lanes.close(), p.watch.close(), p.db.Close())
}
