package recorder

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Kept is how long a request is kept.
const Kept = 30 * 24 * time.Hour

// The bounds of what is kept of each tenant; the oldest go first.
const (
	maxRequests = 100_000
	maxBytes    = 256 << 20
	// maxStrangers is for what came without a good token, and for what stands for those
	// that were not kept: nobody who has none is to push out what others have sent.
	maxStrangers = 1000
)

// The bounds of what waits to be written: of one tenant, and of all together.
const (
	maxQueuedOfOne, maxQueuedBytesOfOne = 1024, 32 << 20
	maxQueued, maxQueuedBytes           = 4096, 64 << 20
)

const (
	// writeEvery is how long a request waits at most until it is written, and
	// writeAt how many of them do, or writeAtBytes of one tenant.
	writeEvery            = 500 * time.Millisecond
	writeAt, writeAtBytes = 128, 4 << 20
	// writers is how many tenants' batches are written at a time: one whose database does
	// not answer keeps few others waiting.
	writers = 4
	// writeTime bounds the writing of one batch, and lastTime all that is left at the end.
	writeTime, lastTime = 5 * time.Second, 10 * time.Second
	// retryFor is how old a request gets that cannot be written.
	retryFor = 5 * time.Minute
	// pruneEvery is how often what is too old, or too much, is looked for everywhere, and
	// pruneAfter and pruneAfterBytes after how much that was written of a tenant it is
	// looked for there.
	pruneEvery, pruneAfter, pruneAfterBytes = time.Hour, 2000, 16 << 20
	// strangers is how many requests without a good token are kept of a tenant within
	// strangersIn, by one node: anybody can send those.
	strangers, strangersIn = 20, time.Minute
)

// Stores hands out the handle on a tenant's data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// Keys seals what is kept under the tenant's key, so that it goes with it (promise P10).
type Keys interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// Config is what the recorder works with; all of it is required.
type Config struct {
	Store Stores
	Keys  Keys
	Node  string // the name of this one
	// Tenants are all that are served.
	Tenants func() []identity.TenantID
	Log     *slog.Logger
}

// Service keeps the requests of every tenant. It is safe for concurrent use. [Service.Run]
// writes them.
type Service struct {
	Config
	mu     sync.Mutex
	queues map[identity.TenantID]*queue
	length int // of all queues
	bytes  int
	wake   chan struct{}

	writing sync.Mutex                    // one round at a time
	packers chan *packer                  // as many as tenants are written at a time
	written map[identity.TenantID]written // since it was last pruned; behind mu
}

// written is how much was.
type written struct{ requests, bytes int64 }

// queue is what waits to be written of a tenant.
type queue struct {
	entries []entry
	bytes   int
	// lost are those there was no room for, and turned away those of strangers.
	lost, turnedAway int
	since            time.Time // when the strangers were last counted anew
	strangers        int
}

type entry struct {
	at     time.Time
	size   int
	finish func() Request
}

// New makes the recorder.
func New(c Config) *Service {
	packers := make(chan *packer, writers)
	for range writers {
		packers <- &packer{}
	}
	return &Service{Config: c, queues: map[identity.TenantID]*queue{}, wake: make(chan struct{}, 1), packers: packers, written: map[identity.TenantID]written{}}
}

// Keep takes a request to be written soon, and returns at once. finish gives it, with all
// that takes time to find out; it is called at most once, later, by another goroutine. size is how
// many bytes are held until then, and stranger says that it came without a good token.
func (s *Service) Keep(tenant identity.TenantID, size int, stranger bool, finish func() Request) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[tenant]
	if q == nil {
		q = &queue{}
		s.queues[tenant] = q
	}
	if stranger && !q.mayStranger(now) {
		q.turnedAway++
		return
	}
	size += 1024 // for what every request has
	if !s.room(q, size) {
		q.lost++
		return
	}
	s.add(q, entry{now, size, finish})
	if len(q.entries) >= writeAt || q.bytes >= writeAtBytes {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// room reports whether there is room for so many bytes more of a tenant. Where all
// together have too many, whoever has the most gives up their newest for one who has less.
func (s *Service) room(q *queue, size int) bool {
	if len(q.entries) >= maxQueuedOfOne || q.bytes+size > maxQueuedBytesOfOne {
		return false
	}
	for s.length >= maxQueued || s.bytes+size > maxQueuedBytes {
		more, after := func(of *queue) int { return of.bytes }, q.bytes+size
		if s.length >= maxQueued {
			more, after = func(of *queue) int { return len(of.entries) }, len(q.entries)+1
		}
		fullest := q
		for _, of := range s.queues {
			if more(of) > more(fullest) {
				fullest = of
			}
		}
		if more(fullest) <= after {
			return false
		}
		end := len(fullest.entries) - 1
		e := fullest.entries[end]
		fullest.entries[end] = entry{} // what it holds is let go of
		fullest.entries = fullest.entries[:end]
		fullest.bytes, s.length, s.bytes = fullest.bytes-e.size, s.length-1, s.bytes-e.size
		fullest.lost++
	}
	return true
}

func (s *Service) add(q *queue, e entry) {
	q.entries = append(q.entries, e)
	q.bytes, s.length, s.bytes = q.bytes+e.size, s.length+1, s.bytes+e.size
}

func (q *queue) mayStranger(now time.Time) bool {
	if now.Sub(q.since) >= strangersIn {
		q.since, q.strangers = now, 0
	}
	q.strangers++
	return q.strangers <= strangers
}

// take gives what waits of a tenant; what comes after that waits for the next time, unless
// this is the last.
func (s *Service) take(tenant identity.TenantID, last bool) (of queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[tenant]
	if q == nil {
		return of
	}
	of = *q
	s.length, s.bytes = s.length-len(q.entries), s.bytes-q.bytes
	q.entries, q.bytes, q.lost = nil, 0, 0
	// Strangers are told of together, once it is known how many they are.
	if over := last || time.Since(q.since) >= strangersIn; over {
		delete(s.queues, tenant)
	} else {
		of.turnedAway = 0
	}
	return of
}

// giveBack has what could not be written wait once more, in front of what has come since,
// as far as there is room.
func (s *Service) giveBack(tenant identity.TenantID, requests []Request, of queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[tenant]
	if q == nil {
		q = &queue{}
		s.queues[tenant] = q
	}
	newer := q.entries
	s.length, s.bytes = s.length-len(newer), s.bytes-q.bytes
	q.entries, q.bytes = nil, 0
	q.lost, q.turnedAway = q.lost+of.lost, q.turnedAway+of.turnedAway
	old := make([]entry, len(requests))
	for i, r := range requests {
		old[i] = entry{of.entries[i].at, of.entries[i].size, func() Request { return r }}
	}
	for _, e := range append(old, newer...) {
		if time.Since(e.at) > retryFor || !s.room(q, e.size) {
			q.lost++
			continue
		}
		s.add(q, e)
	}
}

// Forget drops what waits of a tenant that was deleted.
func (s *Service) Forget(tenant identity.TenantID) { s.take(tenant, true) }

// Run writes what waits, and removes what is too old, until ctx ends; then it writes what
// is left.
func (s *Service) Run(ctx context.Context) error {
	var pruning sync.WaitGroup
	defer pruning.Wait()
	pruning.Go(func() { s.pruneOnAndOn(ctx) })
	write := time.NewTicker(writeEvery)
	defer write.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
			defer cancel()
			s.flushAll(last, true)
			return nil
		case <-s.wake:
			s.Flush(ctx)
		case <-write.C:
			s.Flush(ctx)
		}
	}
}

// pruneOnAndOn is apart from the writing, which does not wait for it.
func (s *Service) pruneOnAndOn(ctx context.Context) {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		s.Prune(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Flush writes what waits now. What cannot be written waits on.
func (s *Service) Flush(ctx context.Context) { s.flushAll(ctx, false) }

func (s *Service) flushAll(ctx context.Context, last bool) {
	s.mu.Lock()
	var tenants []identity.TenantID
	for tenant := range s.queues {
		tenants = append(tenants, tenant)
	}
	s.mu.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	var all sync.WaitGroup
	defer all.Wait()
	for _, tenant := range tenants {
		p := <-s.packers
		all.Go(func() {
			defer func() { s.packers <- p }()
			s.flush(ctx, tenant, p, last)
		})
	}
}

func (s *Service) flush(ctx context.Context, tenant identity.TenantID, p *packer, last bool) {
	of := s.take(tenant, last)
	requests := make([]Request, 0, len(of.entries))
	entries := of.entries[:0]
	for _, e := range of.entries {
		if r, ok := s.finish(ctx, tenant, e); ok {
			r.Node = s.Node
			requests, entries = append(requests, r), append(entries, e)
		} else {
			of.lost++
		}
	}
	of.entries = entries
	all := requests
	var told []*int // behind the requests
	for _, c := range []struct {
		status int
		lost   *int
	}{{0, &of.lost}, {401, &of.turnedAway}} {
		if *c.lost > 0 {
			all, told = append(all, Request{ID: identity.NewRequestID(), Time: time.Now(), Node: s.Node, Status: c.status, Failed: true, Lost: *c.lost}), append(told, c.lost)
		}
	}
	if len(all) == 0 {
		return
	}
	kept, size, err := s.write(ctx, tenant, p, all)
	if err != nil {
		s.Log.WarnContext(ctx, "what provisioning clients have sent could not be kept yet", "tenant", tenant, "requests", len(requests), "error", err)
		if slices.Contains(s.Tenants(), tenant) {
			written := min(kept, len(requests))
			for _, lost := range told[:kept-written] {
				*lost = 0
			}
			of.entries = of.entries[written:]
			s.giveBack(tenant, requests[written:], of)
		}
		return
	}
	s.mu.Lock()
	w := s.written[tenant]
	w.requests, w.bytes = w.requests+int64(len(all)), w.bytes+size
	s.written[tenant] = w
	due := w.requests >= pruneAfter || w.bytes >= pruneAfterBytes
	s.mu.Unlock()
	if due {
		s.prune(ctx, tenant)
	}
}

// finish finishes a request; false if that panics, which is counted like one that there
// was no room for: it must not end the gateway. What it panics with may be what a client
// has sent, so its type is logged alone.
func (s *Service) finish(ctx context.Context, tenant identity.TenantID, e entry) (r Request, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			r, ok = Request{}, false
			s.Log.ErrorContext(ctx, "what a provisioning client has sent cannot be kept", "tenant", tenant, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
	}()
	return e.finish(), true
}
