package cluster

import (
	"context"
	"crypto/rand"
)

// Alone is the bus of a gateway of one node.
type Alone struct {
	node  string
	life  *life
	inbox *inbox
}

var _ Bus = (*Alone)(nil)

// NewAlone makes the bus of a gateway of one node.
func NewAlone(node string) *Alone {
	life := newLife()
	return &Alone{node: node, life: life, inbox: newInbox(life)}
}

// Subscribe names who applies a topic's messages.
func (b *Alone) Subscribe(topic string, apply Apply) { b.inbox.topics[topic] = apply }

// OnGap is never called for: nothing is missed here.
func (b *Alone) OnGap(func(context.Context) error) {}

// Publish applies the message here and waits.
func (b *Alone) Publish(ctx context.Context, m Message) ([]Confirmation, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if !b.life.enter() {
		return nil, unavailable(errClosed)
	}
	defer b.life.group.Done()
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	m.ID = rand.Text()
	over := make(chan Confirmation, 1)
	b.inbox.take(ctx, m, func(report []byte, err error) { over <- confirmation(b.node, report, err) })
	all := make([]Confirmation, 1)
	select {
	case all[0] = <-over:
	case <-ctx.Done():
		all[0] = Confirmation{Node: b.node, Problem: ctx.Err().Error()}
	}
	return all, verdict(all)
}

// Kept is never so: nobody joins.
func (b *Alone) Kept(context.Context, string) (bool, error) { return false, nil }

// Unkeep has nothing to do.
func (b *Alone) Unkeep(context.Context, string) error { return nil }

// Fresh is always so, until Close.
func (b *Alone) Fresh() bool { return b.life.ctx.Err() == nil }

// Apart is never so.
func (b *Alone) Apart() bool { return false }

// State tells of one node.
func (b *Alone) State() State {
	if !b.Fresh() {
		return State{Mode: ModeLost}
	}
	return State{Mode: ModeAlone, Members: []string{b.node}}
}

// Run has nothing to do.
func (b *Alone) Run(ctx context.Context) error {
	if !b.life.enter() {
		return nil // closed before it ran: there is nothing left to do
	}
	defer b.life.group.Done()
	ctx, cancel := b.life.within(ctx)
	defer cancel()
	<-ctx.Done()
	return nil
}

// Close ends Run and waits for the waits.
func (b *Alone) Close() error {
	b.life.close()
	return nil
}
