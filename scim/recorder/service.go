package recorder

import (
	"bytes"
	"compress/flate"
	"context"
	"log/slog"
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
	maxQueuedOfOne, maxQueuedBytesOfOne = 1024, 8 << 20
	maxQueued, maxQueuedBytes           = 4096, 32 << 20
)

const (
	// writeEvery is how long a request waits at most until it is written, and
	// writeAt how many of them do.
	writeEvery = 500 * time.Millisecond
	writeAt    = 128
	// writeTime bounds the writing of one batch, and lastTime all that is left at the end.
	writeTime, lastTime = 5 * time.Second, 10 * time.Second
	// retryFor is how old a request gets that cannot be written.
	retryFor = 5 * time.Minute
	// pruneEvery is how often what is too old, or too much, is looked for everywhere, and
	// pruneAfter after how many that were written of a tenant it is looked for there.
	pruneEvery, pruneAfter = time.Hour, 2000
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

	writing sync.Mutex // one batch at a time
	packer  *flate.Writer
	packed  bytes.Buffer
	written map[identity.TenantID]int // since it was last pruned
}

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
	packer, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one
	}
	return &Service{Config: c, queues: map[identity.TenantID]*queue{}, wake: make(chan struct{}, 1), packer: packer, written: map[identity.TenantID]int{}}
}

// Keep takes a request to be written soon, and returns at once. finish gives it, with all
// that takes time to find out; it is called once, later, by another goroutine. size is how
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
	if len(q.entries) >= maxQueuedOfOne || q.bytes+size > maxQueuedBytesOfOne || s.length >= maxQueued || s.bytes+size > maxQueuedBytes {
		q.lost++
		return
	}
	s.add(q, entry{now, size, finish})
	if len(q.entries) >= writeAt {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
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
		if time.Since(e.at) > retryFor || len(q.entries) >= maxQueuedOfOne || q.bytes+e.size > maxQueuedBytesOfOne || s.length >= maxQueued || s.bytes+e.size > maxQueuedBytes {
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
	write, prune := time.NewTicker(writeEvery), time.NewTicker(pruneEvery)
	defer write.Stop()
	defer prune.Stop()
	s.Prune(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
			defer cancel()
			s.flushAll(last, true)
			return nil
		case <-prune.C:
			s.Prune(ctx)
		case <-s.wake:
			s.Flush(ctx)
		case <-write.C:
			s.Flush(ctx)
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
	for _, tenant := range tenants {
		s.flush(ctx, tenant, last)
	}
}

func (s *Service) flush(ctx context.Context, tenant identity.TenantID, last bool) {
	of := s.take(tenant, last)
	requests := make([]Request, len(of.entries))
	for i, e := range of.entries {
		requests[i] = e.finish()
		requests[i].Node = s.Node
	}
	all := requests
	for status, lost := range map[int]int{0: of.lost, 401: of.turnedAway} {
		if lost > 0 {
			all = append(all, Request{ID: identity.NewRequestID(), Time: time.Now(), Node: s.Node, Status: status, Failed: true, Lost: lost})
		}
	}
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	if err := s.write(ctx, tenant, all); err != nil {
		s.Log.WarnContext(ctx, "what provisioning clients have sent could not be kept yet", "tenant", tenant, "requests", len(requests), "error", err)
		if slices.Contains(s.Tenants(), tenant) {
			s.giveBack(tenant, requests, of)
		}
		return
	}
	if s.written[tenant] += len(all); s.written[tenant] >= pruneAfter {
		s.prune(ctx, tenant)
	}
}
