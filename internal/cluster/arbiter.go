package cluster

import (
	"context"
	"errors"
	"time"
)

// Epoch is a stretch of time in which all nodes trust one Redis process with
// one history. The number only grows, and a process that was flushed, restarted
// or replaced needs a new one: what it lost was lost to nobody unawares.
type Epoch struct {
	Number uint64
	// Server is the run_id of the Redis process that the epoch trusts.
	Server string
	// Outbox is the position of the outbox's last message.
	Outbox uint64
	// Apart are the nodes that have said of late that they ask SQL.
	Apart []string
}

// ErrOvertaken is an Arbiter's answer to Advance if the epoch is not, or no
// longer, the one to advance from.
var ErrOvertaken = errors.New("cluster: somebody else has begun another epoch")

const (
	// ApartFor is how long an Arbiter counts a node as apart after it said so, by
	// the Arbiter's clock: the two leases for which it must hold, and room for a
	// clock that is set.
	ApartFor = 5 * Lease
	// OutboxFor is how long an Arbiter keeps messages.
	OutboxFor = time.Hour
)

// Arbiter is what the nodes need of SQL. Every answer must be the newest
// committed state (no replica that lags), every call must end with its context,
// and what was answered with success must survive. Package clustertest has what
// an Arbiter must do, as tests.
type Arbiter interface {
	// Epoch is the epoch now; the zero Epoch before the first.
	Epoch(ctx context.Context) (Epoch, error)
	// Advance begins the epoch after from and answers it; [ErrOvertaken] unless
	// from.Number is the epoch now. One caller alone can advance from an epoch.
	Advance(ctx context.Context, from Epoch, server string) (Epoch, error)
	// Append puts a message into the outbox. Positions count 1, 2, 3 without a
	// hole, and become visible in this order.
	Append(ctx context.Context, m Message) error
	// Outbox gives the messages after a position, oldest first, as many as the
	// Arbiter likes, and the position of the last one given; after itself if there
	// are none. Messages older than [OutboxFor] may be gone: then fewer are given
	// than positions lie between.
	Outbox(ctx context.Context, after uint64) (messages []Message, last uint64, err error)
	// Apart says that a node asks SQL from now on, which counts for [ApartFor].
	Apart(ctx context.Context, node string) error
}
