// Package record is the cluster's Arbiter over SQL: the epoch that nodes agree
// on, the outbox of messages that could not go through Redis, and the nodes that
// ask SQL for now.
//
// It exists so that internal/cluster need not know the store, nor the store the
// cluster. It must not interpret a message, and keeps no secret: what a node
// tells all lies in the system's tables in the clear.
package record

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/internal/cluster"
	"gatehouse/internal/store"
)

const (
	// batch bounds what Outbox gives at once: 1 MiB of bodies.
	batch = 256
	// trim bounds what one Append removes, so that it stays quick; it adds one.
	trim = 100
	// now is the database's clock, which all nodes share, in Unix milliseconds.
	now = `CAST(unixepoch('subsec') * 1000 AS BIGINT)`
)

// Arbiter is a [cluster.Arbiter] over the system's part of a store. The store
// lets writers of that part go one after the other, across all nodes: that makes
// positions without holes that become visible in order.
type Arbiter struct{ system store.System }

var _ cluster.Arbiter = (*Arbiter)(nil)

// New gives the Arbiter of all nodes on one database. It makes the row of the
// epoch if there is none: one that goes missing later was lost, and to begin
// again at 0 would hide that.
func New(ctx context.Context, system store.System) (*Arbiter, error) {
	err := system.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO cluster_epoch (number) VALUES (0) ON CONFLICT (one) DO NOTHING`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the record of the cluster: %w", err)
	}
	return &Arbiter{system}, nil
}

// Epoch costs one statement.
func (a *Arbiter) Epoch(ctx context.Context) (e cluster.Epoch, err error) {
	err = a.system.Read(ctx, func(tx *store.Tx) error {
		e, err = epoch(ctx, tx)
		return err
	})
	return e, err
}

// epoch reads a row for each node that is apart, or one if there is none.
func epoch(ctx context.Context, tx *store.Tx) (e cluster.Epoch, err error) {
	rows, err := store.All(ctx, tx, func(row store.Row) (struct{}, error) {
		var node *string
		err := row.Scan(&e.Number, &e.Server, &e.Outbox, &node)
		if node != nil {
			e.Apart = append(e.Apart, *node)
		}
		return struct{}{}, err
	}, `SELECT e.number, e.server, e.outbox, a.node FROM cluster_epoch e
		LEFT JOIN cluster_apart a ON a.until > `+now+` ORDER BY a.node`)
	if err == nil && len(rows) == 0 {
		err = errors.New("cluster: the row of the epoch is gone from the database")
	}
	return e, err
}

// Advance changes the epoch if it still is the one to advance from.
func (a *Arbiter) Advance(ctx context.Context, from cluster.Epoch, server string) (e cluster.Epoch, err error) {
	err = a.system.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE cluster_epoch SET number = number + 1, server = $1 WHERE number = $2`, server, from.Number)
		if err != nil {
			return err
		}
		if n == 0 {
			return cluster.ErrOvertaken
		}
		e, err = epoch(ctx, tx)
		return err
	})
	return e, err
}

// Append also removes messages that are too old.
func (a *Arbiter) Append(ctx context.Context, m cluster.Message) error {
	return a.system.Write(ctx, func(tx *store.Tx) error {
		position, err := store.One(ctx, tx, store.Scalar[int64], `UPDATE cluster_epoch SET outbox = outbox + 1 RETURNING outbox`)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO cluster_outbox (position, id, topic, tenant, body, at) VALUES ($1, $2, $3, $4, $5, `+now+`)`,
			position, m.ID, m.Topic, m.Tenant, append([]byte{}, m.Body...)) // no body is an empty one
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM cluster_outbox WHERE position IN (
			SELECT position FROM cluster_outbox WHERE at < `+now+` - $1 ORDER BY at LIMIT $2)`, cluster.OutboxFor.Milliseconds(), trim)
		return err
	})
}

// Outbox gives up to 256 messages.
func (a *Arbiter) Outbox(ctx context.Context, after uint64) (messages []cluster.Message, last uint64, err error) {
	last = after
	err = a.system.Read(ctx, func(tx *store.Tx) error {
		messages, err = store.All(ctx, tx, func(row store.Row) (m cluster.Message, err error) {
			return m, row.Scan(&last, &m.ID, &m.Topic, &m.Tenant, &m.Body)
		}, `SELECT position, id, topic, tenant, body FROM cluster_outbox WHERE position > $1 ORDER BY position LIMIT $2`, after, batch)
		return err
	})
	return messages, last, err
}

// Apart also removes what nodes said that are apart no more, or gone.
func (a *Arbiter) Apart(ctx context.Context, node string) error {
	return a.system.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM cluster_apart WHERE until <= `+now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO cluster_apart (node, until) VALUES ($1, `+now+` + $2)
			ON CONFLICT (node) DO UPDATE SET until = excluded.until`, node, cluster.ApartFor.Milliseconds())
		return err
	})
}
