package cluster

import (
	"context"
	"sync"
)

// life is a bus from its making to its Close, which waits for all that entered.
type life struct {
	ctx context.Context // ends with Close
	end context.CancelFunc

	mu     sync.Mutex
	closed bool
	group  sync.WaitGroup
}

func newLife() *life {
	ctx, end := context.WithCancel(context.Background())
	return &life{ctx: ctx, end: end}
}

// enter is said before anything begins that Close must wait for; then
// group.Done is said after it. False: the bus is closed.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.group.Add(1)
	}
	return !l.closed
}

// within is ctx, ended by Close as well.
func (l *life) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// beyond is for what goes on when ctx has ended: Close alone ends it.
func (l *life) beyond(ctx context.Context) (context.Context, context.CancelFunc) {
	return l.within(context.WithoutCancel(ctx))
}

func (l *life) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
	l.group.Wait()
}
