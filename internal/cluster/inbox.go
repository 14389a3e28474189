package cluster

import (
	"context"
	"sync"
)

const (
	// maxWaits bounds the waits under way. What is over is answered as such.
	maxWaits = 4096
	// remembered is how many of the last messages are known by their id. It
	// matters to those that came by Redis and SQL both, which happens within the
	// seconds of one Publish; one that is applied a second time does no harm.
	remembered = 8192
)

// inbox applies messages: one at a time, each once, with their waits beside.
type inbox struct {
	topics map[string]Apply
	life   *life // what is applied outlives the reader that brought it
	slots  chan struct{}

	mu     sync.Mutex // held while a message is applied
	known  map[string]bool
	ring   [remembered]string
	oldest int
}

func newInbox(life *life) *inbox {
	return &inbox{
		topics: map[string]Apply{}, life: life,
		slots: make(chan struct{}, maxWaits), known: make(map[string]bool, remembered),
	}
}

// take applies a message unless it was applied before, and returns after the
// quick step. done is called once the wait is over: from here if there is none,
// from the wait's goroutine else, and not at all if it was applied before, which
// is what take reports.
func (in *inbox) take(ctx context.Context, m Message, done func(report []byte, err error)) (applied bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.known[m.ID] {
		return false
	}
	ctx, cancel := in.life.beyond(ctx)
	var wait func(context.Context) ([]byte, error)
	if apply := in.topics[m.Topic]; apply != nil {
		wait = apply(ctx, m)
	}
	delete(in.known, in.ring[in.oldest])
	in.known[m.ID], in.ring[in.oldest] = true, m.ID
	in.oldest = (in.oldest + 1) % remembered

	switch {
	case wait == nil:
		cancel()
		done(nil, nil)
	case !in.life.enter():
		cancel()
		done(nil, errClosed)
	default:
		select {
		case in.slots <- struct{}{}:
			go func() {
				defer in.life.group.Done()
				defer func() { <-in.slots }()
				defer cancel()
				done(waited(ctx, wait))
			}()
		default:
			in.life.group.Done()
			cancel()
			done(nil, errBusy)
		}
	}
	return true
}

func waited(ctx context.Context, wait func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	report, err := wait(ctx)
	if len(report) > MaxReport && err == nil {
		return nil, errReport
	}
	return report, err
}

// confirmation is what a node says of a message whose wait is over.
func confirmation(node string, report []byte, err error) Confirmation {
	if err == nil {
		return Confirmation{Node: node, Confirmed: true, Report: report}
	}
	problem := err.Error()
	if problem == "" {
		problem = "failed"
	}
	return Confirmation{Node: node, Problem: problem[:min(len(problem), maxProblem)]}
}
