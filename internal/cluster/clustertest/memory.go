// Package clustertest holds what every bus and every Arbiter must do, as tests
// that any of them can be put through, and an Arbiter in memory that can be cut
// off, for tests of what stands on the bus.
//
// It exists so that one node and many, and SQLite and PostgreSQL, keep the same
// promises in the same words. It must not reach into what it tests.
package clustertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"gatehouse/internal/cluster"
)

// Memory is an Arbiter in memory. Its copies made by [Memory.Way] stand for the
// ways of different nodes to the same database.
type Memory struct {
	mu     sync.Mutex
	epoch  cluster.Epoch
	outbox []cluster.Message
	apart  map[string]time.Time
}

// NewMemory makes an empty Arbiter.
func NewMemory() *Memory { return &Memory{apart: map[string]time.Time{}} }

// Way is one node's way to the Arbiter.
func (m *Memory) Way() *Way { return &Way{memory: m} }

// Way is an Arbiter that can be cut off from its database.
type Way struct {
	memory *Memory
	mu     sync.Mutex
	cut    chan struct{} // open while nothing comes through and nobody is told
	err    error         // while the database answers with this
}

var _ cluster.Arbiter = (*Way)(nil)

// ErrDown is what a database that is down answers.
var ErrDown = errors.New("the database is down")

// Cut makes every call hang until its context ends.
func (w *Way) Cut() { w.set(make(chan struct{}), nil) }

// Down makes every call fail at once.
func (w *Way) Down() { w.set(nil, ErrDown) }

// Mend lets calls through again.
func (w *Way) Mend() { w.set(nil, nil) }

func (w *Way) set(cut chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut != nil {
		close(w.cut)
	}
	w.cut, w.err = cut, err
}

func (w *Way) pass(ctx context.Context) error {
	w.mu.Lock()
	cut, err := w.cut, w.err
	w.mu.Unlock()
	if cut != nil {
		<-ctx.Done()
	}
	return errors.Join(err, ctx.Err())
}

// Epoch is the epoch now.
func (w *Way) Epoch(ctx context.Context) (cluster.Epoch, error) {
	if err := w.pass(ctx); err != nil {
		return cluster.Epoch{}, err
	}
	m := w.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now(), nil
}

func (m *Memory) now() cluster.Epoch {
	e := m.epoch
	e.Outbox = uint64(len(m.outbox))
	for node, since := range m.apart {
		if time.Since(since) < cluster.ApartFor {
			e.Apart = append(e.Apart, node)
		}
	}
	slices.Sort(e.Apart)
	return e
}

// Advance begins the next epoch.
func (w *Way) Advance(ctx context.Context, from cluster.Epoch, server string) (cluster.Epoch, error) {
	if err := w.pass(ctx); err != nil {
		return cluster.Epoch{}, err
	}
	m := w.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if from.Number != m.epoch.Number {
		return cluster.Epoch{}, cluster.ErrOvertaken
	}
	m.epoch = cluster.Epoch{Number: from.Number + 1, Server: server}
	return m.now(), nil
}

// Append puts a message into the outbox.
func (w *Way) Append(ctx context.Context, message cluster.Message) error {
	if err := w.pass(ctx); err != nil {
		return err
	}
	m := w.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	message.Body = slices.Clone(message.Body)
	m.outbox = append(m.outbox, message)
	return nil
}

// Outbox gives up to a hundred messages after a position.
func (w *Way) Outbox(ctx context.Context, after uint64) ([]cluster.Message, uint64, error) {
	if err := w.pass(ctx); err != nil {
		return nil, 0, err
	}
	m := w.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.outbox[min(after, uint64(len(m.outbox))):]
	rest = rest[:min(len(rest), 100)]
	return slices.Clone(rest), after + uint64(len(rest)), nil
}

// Apart notes that a node lives by SQL.
func (w *Way) Apart(ctx context.Context, node string) error {
	if err := w.pass(ctx); err != nil {
		return err
	}
	m := w.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.apart[node] = time.Now()
	return nil
}
