package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Lease is how long a node may answer from memory after it last made sure that
// it had missed nothing.
const Lease = 2 * time.Second

// patience is how long others wait for a lease to run out: what one clock calls
// 2 s may be a little less by another, by a hundredth at the very most.
const patience = Lease + Lease/100

const (
	// MaxBody bounds a message.
	MaxBody = 4 << 10
	// MaxReport bounds what a node tells of one.
	MaxReport = 4 << 10

	maxTopic   = 64
	maxProblem = 200
	// waitTime ends a wait that its owner has not bounded, publishTime a Publish.
	waitTime    = 15 * time.Second
	publishTime = 30 * time.Second
)

// Message is what one node tells all. The publisher's own effects in SQL are
// committed before it is published: who joins later learns of them there.
type Message struct {
	// ID tells messages apart; Publish makes it.
	ID     string
	Topic  string
	Tenant identity.TenantID
	Body   []byte // up to MaxBody
	// Keep, if set, names what SQL cannot tell of: who joins later takes the message
	// in as well, until Unkeep. It is kept in Redis, and not beyond the epoch: nobody
	// joins another before SQL has answered for a Lease, and by then whoever has
	// applied the message must have told SQL.
	Keep string // up to 64 bytes
}

// maxKept bounds the messages that are kept at one time.
const maxKept = 4096

func (m Message) check() error {
	switch {
	case m.Topic == "" || len(m.Topic) > maxTopic:
		return fmt.Errorf("cluster: a topic has 1 to %d bytes, not %d", maxTopic, len(m.Topic))
	case len(m.Keep) > maxTopic:
		return fmt.Errorf("cluster: what is kept has a name of up to %d bytes, not %d", maxTopic, len(m.Keep))
	case len(m.Tenant) > maxTopic:
		return fmt.Errorf("cluster: a tenant has up to %d bytes, not %d", maxTopic, len(m.Tenant))
	case len(m.Body) > MaxBody:
		return fmt.Errorf("cluster: a message holds up to %d bytes, not %d", MaxBody, len(m.Body))
	}
	return nil
}

// Apply takes a message in. Messages are applied one after the other, each once,
// in the order of their publishing and so everywhere in the same, save that one
// that had to go through SQL may overtake others. So Apply must be quick (shut
// the doors, drop what is cached); what takes longer goes into the wait that it
// returns, nil if there is nothing to wait for. A wait runs beside all else, must
// end with its context, and reports a few bytes of JSON to the publisher. What
// SQL was asked before a message was applied must not be relied on after it.
type Apply func(ctx context.Context, m Message) (wait func(ctx context.Context) (report []byte, err error))

// Confirmation is what is known of one node and a message.
type Confirmation struct {
	Node string
	// Confirmed: the node has applied the message, and its wait is over. If not,
	// and there is no Problem, its lease has run out instead: it answers nothing
	// from memory until it has caught up.
	Confirmed bool
	Report    []byte
	// Problem is why a node that has applied the message cannot confirm the rest;
	// Publish then returns an error as well.
	Problem string
}

// Bus is how a node hears of what the others do, and how it knows whether it
// does.
type Bus interface {
	// Subscribe names who applies a topic's messages; before Run.
	Subscribe(topic string, apply Apply)
	// OnGap names who verifies all that is cached against SQL; before Run. It is
	// called whenever messages may have been missed, and the node is fresh only
	// once it has returned nil; and, while the node is fresh, whenever another has
	// died, which may have committed something and told nobody. Never two at a time.
	// Messages may be applied meanwhile, so verify takes away what SQL does not
	// confirm, and adds nothing. It must end with its context.
	OnGap(verify func(ctx context.Context) error)
	// Publish makes a message known. It returns once every node has applied it
	// and its wait is over, or its lease has run out. An error means that this is
	// not so of all; the confirmations say of whom. Publishing again is harmless.
	Publish(ctx context.Context, m Message) ([]Confirmation, error)
	// Kept reports whether a message is still kept under this name.
	Kept(ctx context.Context, name string) (bool, error)
	// Unkeep has who joins later not hear of a message any more.
	Unkeep(ctx context.Context, name string) error
	// Fresh reports whether this node may answer from memory at this instant.
	Fresh() bool
	// Apart reports whether this node may answer by asking SQL while it is not
	// fresh: an answer then holds for a Lease, counted from a moment before Apart
	// was asked, because all who publish know of the node and wait for as long. An
	// answer that a fresh node gets from SQL holds while it is fresh, like memory.
	Apart() bool
	// State is for people: readiness and metrics.
	State() State
	// Run takes part until ctx ends.
	Run(ctx context.Context) error
	// Close ends Run, waits for all that is under way and lets go of connections.
	Close() error
}

// Mode is what a node permits itself.
type Mode string

const (
	// ModeAlone is that of a gateway of one node.
	ModeAlone Mode = "alone"
	// ModeJoining makes sure of what is cached and answers nothing yet.
	ModeJoining Mode = "joining"
	// ModeFresh answers from memory.
	ModeFresh Mode = "fresh"
	// ModeSQLOnly asks SQL for every answer.
	ModeSQLOnly Mode = "sql_only"
	// ModeLost answers nothing (promise P7).
	ModeLost Mode = "lost"
)

// State is how a node stands.
type State struct {
	Mode    Mode
	Epoch   uint64
	Members []string // as last heard, this node included
	Apart   []string // who lives by SQL, as SQL last said
	// Redis and SQL are when each last answered, zero if never; the Reached tell
	// whether it did the last time it was asked.
	Redis, SQL               time.Time
	RedisReached, SQLReached bool
	// Gaps counts how often this node may have missed messages.
	Gaps uint64
}

var (
	// ErrUnconfirmed is inside the error of a Publish after which some node has
	// not confirmed, though it lives.
	ErrUnconfirmed = errors.New("cluster: not every node has confirmed")
	errClosed      = errors.New("cluster: the bus is closed")
	errBusy        = errors.New("cluster: too many waits are under way")
	errReport      = fmt.Errorf("cluster: a report of over %d bytes", MaxReport)
)

func unavailable(cause error) error {
	return fault.OutOfReach(cause, "cluster-unavailable", "The nodes of the gateway cannot agree at the moment. Try again in a moment.")
}

// verdict is the error that goes with confirmations.
func verdict(all []Confirmation) error {
	for _, c := range all {
		if c.Problem != "" {
			return unavailable(fmt.Errorf("%w: %s: %s", ErrUnconfirmed, c.Node, c.Problem))
		}
	}
	return nil
}
