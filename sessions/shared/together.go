package shared

import (
	"context"
	"sync"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// asksAtOnce is how many questions for sessions of one tenant SQL has at a time.
// Whoever comes while they are out is in the next, with all who come by then.
const asksAtOnce = 2

// together puts the questions for sessions of those who come at once to SQL as one:
// after the start of a node that may be everybody. No answer is older than the
// asking: who asks shares a question that is put after that.
type together struct {
	Record
	work *sync.WaitGroup

	mu      sync.Mutex
	tenants map[identity.TenantID]*queue
}

type queue struct {
	out  int         // questions that are out
	next []*question // all full but the last
}

type question struct {
	hashes []sessions.TokenHash
	done   chan struct{}
	lives  map[sessions.TokenHash]sessions.Session
	err    error
}

// Live implements [Record].
func (t *together) Live(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	q := t.join(ctx, tenant, hash)
	select {
	case <-q.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, ok := q.lives[hash]
	if q.err != nil || !ok {
		return nil, q.err
	}
	return sessions.NewLive(s, hash), nil // each their own
}

func (t *together) join(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) *question {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.tenants[tenant]
	if own == nil {
		own = &queue{}
		t.tenants[tenant] = own
	}
	if n := len(own.next); n == 0 || len(own.next[n-1].hashes) == sessions.MaxAsked {
		own.next = append(own.next, &question{done: make(chan struct{})})
	}
	q := own.next[len(own.next)-1]
	q.hashes = append(q.hashes, hash)
	if own.out < asksAtOnce {
		own.out++
		t.work.Go(func() { t.ask(context.WithoutCancel(ctx), tenant, own) })
	}
	return q
}

// ask puts questions for as long as there are any. They outlive the context of who
// was the first to ask: others share the answer.
func (t *together) ask(ctx context.Context, tenant identity.TenantID, own *queue) {
	for {
		t.mu.Lock()
		if len(own.next) == 0 {
			if own.out--; own.out == 0 {
				delete(t.tenants, tenant)
			}
			t.mu.Unlock()
			return
		}
		q := own.next[0]
		own.next = own.next[1:]
		t.mu.Unlock()
		t.put(ctx, tenant, q)
		close(q.done)
	}
}

func (t *together) put(ctx context.Context, tenant identity.TenantID, q *question) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if len(q.hashes) == 1 {
		live, err := t.Record.Live(ctx, tenant, q.hashes[0])
		if q.err = err; live != nil {
			q.lives = map[sessions.TokenHash]sessions.Session{q.hashes[0]: live.Session()}
		}
		return
	}
	var lives []*sessions.Live
	lives, q.err = t.Lives(ctx, tenant, q.hashes)
	q.lives = make(map[sessions.TokenHash]sessions.Session, len(lives))
	for _, live := range lives {
		q.lives[live.Hash()] = live.Session()
	}
}
