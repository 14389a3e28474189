package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// asker puts the question for the epoch to the Arbiter, one at a time, however
// many ask. Who asks shares the next question that is put, never the one under
// way: its answer may be older than the asking.
type asker struct {
	arbiter Arbiter
	life    *life
	now     func() time.Duration
	// hear is told of every question in its turn, before those who asked.
	hear func(*question)
	// news tells that newest is another one.
	news   chan struct{}
	newest atomic.Pointer[question]

	mu   sync.Mutex
	next *question
	busy bool
}

// question is one asked of the Arbiter, with its answer once done is closed.
type question struct {
	sent  time.Duration // before it was sent
	epoch Epoch
	err   error
	done  chan struct{}
}

// ask answers nil if ctx ends or the bus is closed.
func (a *asker) ask(ctx context.Context) *question {
	q := a.begin(ctx)
	if q == nil {
		return nil
	}
	select {
	case <-q.done:
		return q
	case <-ctx.Done():
		return nil
	}
}

// begin sees to it that a question is put after now.
func (a *asker) begin(ctx context.Context) *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.busy {
		if !a.life.enter() {
			return nil
		}
		a.busy = true
		go a.work(ctx)
	}
	if a.next == nil {
		a.next = &question{done: make(chan struct{})}
	}
	return a.next
}

// work outlives the context of who was the first to ask: others share the answer.
func (a *asker) work(ctx context.Context) {
	defer a.life.group.Done()
	ctx, cancel := a.life.beyond(ctx)
	defer cancel()
	for {
		a.mu.Lock()
		q := a.next
		a.next, a.busy = nil, q != nil
		a.mu.Unlock()
		if q == nil {
			return
		}
		a.put(ctx, q)
		a.hear(q)
		close(q.done)
		a.newest.Store(q)
		select {
		case a.news <- struct{}{}:
		default:
		}
	}
}

// put returns within askTime, whatever becomes of the question: an Arbiter may need
// longer to let go of a server that is silent, and then the answer to the next
// question would be late.
func (a *asker) put(ctx context.Context, q *question) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	type answer struct {
		epoch Epoch
		err   error
	}
	answered := make(chan answer, 1)
	q.sent = a.now()
	a.life.group.Go(func() {
		epoch, err := a.arbiter.Epoch(ctx)
		answered <- answer{epoch, err}
	})
	select {
	case got := <-answered:
		q.epoch, q.err = got.epoch, got.err
	case <-ctx.Done():
		q.err = ctx.Err()
	}
}
