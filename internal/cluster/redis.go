package cluster

import (
	"context"
	crand "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// interval is how often a node renews its lease and asks SQL. A lease outlives
	// one question that goes unanswered for as long as it may.
	interval = Lease / 4
	askTime  = 750 * time.Millisecond
	// pause is how long a node waits before it tries again what has failed.
	pause = 100 * time.Millisecond

	// publishing bounds the Publish steps in Redis at one time, and connections
	// leaves room beside them for the reader, the renewal, the acks and the join.
	publishing  = 16
	connections = publishing + 8
	// maxPublish bounds the Publish calls under way; more of them wait.
	maxPublish = 1024
	// maxAcks bounds the acks that wait to be sent; the reader waits when it is
	// full.
	maxAcks = 4096
)

// Options shape a [Redis].
type Options struct {
	URL         string // as [Connect] takes it
	Node        string // the node's name, for people
	Environment string // one Redis may serve several
	Arbiter     Arbiter
	Log         *slog.Logger
}

// Redis is the bus of a gateway of many nodes. Each bus value is a node.
type Redis struct {
	node    string
	id      string // the name and a random part: a node that starts again is another
	keys    keys
	client  redis.UniversalClient
	arbiter Arbiter
	log     *slog.Logger
	life    *life
	asker   *asker
	inbox   *inbox
	verify  []func(context.Context) error

	base  time.Time    // the instant that the bus's clock counts from
	until atomic.Int64 // the lease's end by that clock; 0: no lease
	// apart is until when this node relies on being on SQL's list; 0: it does not.
	apart atomic.Int64

	acks   chan ack
	slots  chan struct{} // Publish calls
	steps  chan struct{} // Publish steps in Redis
	waking chan struct{} // asks SQL before its time

	mu      sync.Mutex
	running bool
	term    *term    // what this node has joined; nil if nothing
	read    position // how far which history has been applied
	known   known
	outbox  struct { // how far the outbox has been applied
		at    uint64
		known bool
	}
	renewals uint64
	members  map[string]member
	signs    map[sign]time.Duration // when each was last shown
	pending  map[string]*publication
	gaps     uint64

	redisAt, sqlAt time.Time
	redisOK, sqlOK bool
	// steady is since when SQL has answered every question, lost since when none,
	// and answered when the last was sent that it has answered.
	steady, lost, answered time.Duration
	// back is since when SQL answers that did not answer before.
	back  time.Duration
	tried bool // Redis has been asked
}

// position is what has been applied of an epoch's log: all after from, up to seq.
type position struct {
	epoch, from, seq uint64
}

// known is the epoch that SQL named last.
type known struct {
	Epoch
	at      time.Duration // when this node first heard of it
	changed bool          // it has heard of another before
}

var _ Bus = (*Redis)(nil)

// NewRedis makes a bus. It connects when it runs.
func NewRedis(o Options) (*Redis, error) {
	client, err := Connect(o.URL, connections)
	if err != nil {
		return nil, err
	}
	life := newLife()
	b := &Redis{
		node: o.Node, id: o.Node + "#" + crand.Text(), keys: keysOf(o.Environment), client: client, arbiter: o.Arbiter, log: o.Log,
		life: life, inbox: newInbox(life), base: time.Now().Add(-time.Nanosecond),
		acks: make(chan ack, maxAcks), slots: make(chan struct{}, maxPublish), steps: make(chan struct{}, publishing),
		waking: make(chan struct{}, 1), members: map[string]member{}, signs: map[sign]time.Duration{}, pending: map[string]*publication{},
	}
	b.asker = &asker{arbiter: o.Arbiter, life: life, now: b.now, hear: b.hear, news: make(chan struct{}, 1)}
	return b, nil
}

// now is the bus's clock. It is monotonic and goes on while the process is
// stopped, so a lease ends in time whatever is done to this process or to the
// time of day.
func (b *Redis) now() time.Duration { return time.Since(b.base) }

// Subscribe names who applies a topic's messages.
func (b *Redis) Subscribe(topic string, apply Apply) { b.inbox.topics[topic] = apply }

// OnGap names who verifies what is cached.
func (b *Redis) OnGap(verify func(context.Context) error) { b.verify = append(b.verify, verify) }

// Fresh costs an atomic load and a look at the clock.
func (b *Redis) Fresh() bool { return int64(b.now()) < b.until.Load() }

// Apart reports whether SQL lists this node as one that lives by SQL.
func (b *Redis) Apart() bool { return int64(b.now()) < b.apart.Load() }

// State is how this node stands.
func (b *Redis) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := State{Mode: ModeLost, Redis: b.redisAt, SQL: b.sqlAt, RedisReached: b.redisOK, SQLReached: b.sqlOK, Gaps: b.gaps}
	for id := range b.members {
		s.Members = append(s.Members, nodeOf(id))
	}
	slices.Sort(s.Members)
	for _, id := range b.known.Apart {
		s.Apart = append(s.Apart, nodeOf(id))
	}
	if b.term != nil {
		s.Epoch = b.term.epoch.Number
	}
	switch {
	case b.Fresh():
		s.Mode = ModeFresh
	case b.Apart():
		s.Mode = ModeSQLOnly
	case b.term != nil && b.redisOK && b.sqlOK:
		s.Mode = ModeJoining
	}
	return s
}

func nodeOf(id string) string { return id[:max(0, strings.LastIndexByte(id, '#'))] }

var errTwice = errors.New("cluster: the bus runs already")

// Run takes part until ctx ends: joins the epoch, keeps the lease, and joins
// anew whenever something may have been missed.
func (b *Redis) Run(ctx context.Context) error {
	if !b.life.enter() {
		return errClosed
	}
	defer b.life.group.Done()
	b.mu.Lock()
	twice := b.running
	b.running = true
	b.mu.Unlock()
	if twice {
		return errTwice
	}
	ctx, cancel := b.life.within(ctx)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() { b.keepAsking(ctx) })
	group.Go(func() { b.keepAcking(ctx) })
	for trouble := ""; ctx.Err() == nil; sleep(ctx, pause+jitter()) {
		t, err := b.join(ctx)
		if err == nil {
			trouble = ""
			b.serve(t) //nolint:contextcheck // the term's context ends with this one
		} else if ctx.Err() == nil && !errors.Is(err, errUnsettled) && err.Error() != trouble {
			trouble = err.Error()
			b.log.WarnContext(ctx, "cannot join the other nodes", "error", err)
		}
	}
	group.Wait()
	b.leave(context.WithoutCancel(ctx))
	return nil
}

// leave spares the others the waiting: the term has ended, and with it the lease.
func (b *Redis) leave(ctx context.Context) {
	b.mu.Lock()
	e := b.known.Epoch
	b.mu.Unlock()
	b.apart.Store(0)
	if _, err := b.run(ctx, leaveScript, []string{b.keys.bus()}, e.Number, e.Server, b.id); err != nil {
		b.log.DebugContext(ctx, "left without a word", "error", err)
	}
}

// Close ends Run and every Publish, and waits for them and the waits.
func (b *Redis) Close() error {
	b.life.close()
	if err := b.client.Close(); !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// reached notes whether Redis has answered.
func (b *Redis) reached(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried = true
	if b.redisOK = err == nil || errors.Is(err, errEpoch); b.redisOK {
		b.redisAt = time.Now()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// jitter keeps nodes from doing the same at the same time.
func jitter() time.Duration {
	return rand.N(pause) // #nosec G404 -- nothing rests on it
}
