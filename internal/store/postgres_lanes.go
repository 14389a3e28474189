package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse/identity"
)

// tenantReaders is how many readers of one tenant run at once, so that a busy
// tenant leaves connections to the others.
const tenantReaders = 12

// lanes queue the transactions of each tenant: its writers one after the other,
// as many of its readers as [tenantReaders]. What waits here holds no connection.
type lanes struct {
	mu     sync.Mutex
	used   map[identity.TenantID]*lane // "" is the system's
	closed bool
	empty  chan struct{} // closed once the lanes are closed and nothing is under way
}

type lane struct {
	writer, readers chan struct{}
	users           int // under way or waiting
}

func newLanes() *lanes {
	return &lanes{used: map[identity.TenantID]*lane{}, empty: make(chan struct{})}
}

// take waits for a turn; leave ends it.
func (l *lanes) take(ctx context.Context, id identity.TenantID, write bool) (leave func(), err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, unavailable(errClosed)
	}
	own := l.used[id]
	if own == nil {
		own = &lane{writer: make(chan struct{}, 1), readers: make(chan struct{}, tenantReaders)}
		l.used[id] = own
	}
	own.users++
	l.mu.Unlock()
	turns := own.readers
	if write {
		turns = own.writer
	}
	select {
	case turns <- struct{}{}:
		return func() { <-turns; l.leave(id, own) }, nil
	case <-ctx.Done():
		l.leave(id, own)
		return nil, ctx.Err()
	}
}

func (l *lanes) leave(id identity.TenantID, own *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(l.used, id)
	}
	if l.closed && len(l.used) == 0 {
		close(l.empty)
	}
}

// close refuses further transactions and waits for those under way.
func (l *lanes) close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		if len(l.used) == 0 {
			close(l.empty)
		}
	}
	l.mu.Unlock()
	select {
	case <-l.empty:
		return nil
	case <-time.After(closeWait):
		return errors.New("store: a transaction did not end in time")
	}
}
