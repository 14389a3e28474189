package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// view is what a look at Redis shows.
type view struct {
	server string // run_id
	epoch  uint64 // the marker; 0: none
	// settled: a node has found the epoch settled (term).
	settled bool
}

func (b *Redis) look(ctx context.Context) (view, standing, error) {
	answer, err := b.run(ctx, lookScript, []string{b.keys.bus(), b.keys.probe()})
	b.reached(err)
	if err != nil {
		return view{}, standing{}, err
	}
	list, err := texts(answer)
	if err != nil || len(list) < 4 || list[0] == "" {
		return view{}, standing{}, errAnswer
	}
	got, err := parseStanding(list[3:])
	return view{server: list[0], epoch: parseNumber(list[1]), settled: list[2] != "0"}, got, err
}

var (
	errUnsettled = errors.New("cluster: the epoch is being settled")
	errSQL       = errors.New("cluster: SQL cannot be reached")
)

// join finds the epoch, or begins one, and makes sure of all that is cached.
//
// What this node has missed until now it learns from SQL: a message that is not
// read from the log was published before the look at it, and its effects were
// committed to SQL before that, so verify, which begins after the look, finds
// them. That holds over the change of epochs too: a publisher of the epoch before
// asks SQL after its commit and still finds the old one (Publish), so its commit
// came before the new epoch began, and with it before verify.
func (b *Redis) join(ctx context.Context) (*term, error) {
	q := b.asker.ask(ctx)
	if q == nil {
		return nil, ctx.Err()
	}
	if q.err != nil {
		return nil, fmt.Errorf("%w: %w", errSQL, q.err)
	}
	seen, got, err := b.look(ctx)
	if err != nil {
		return nil, err
	}
	if seen.epoch != q.epoch.Number || seen.server != q.epoch.Server || seen.epoch == 0 {
		return nil, b.begin(ctx, q.epoch, seen)
	}
	t, err := b.enterEpoch(ctx, q.epoch, seen.settled, got)
	if err != nil {
		return nil, err
	}
	// What was done while SQL was away is kept in the Redis of that epoch. Whoever
	// joins a new one verifies when SQL has been back for long enough to have got it.
	err = b.awaitSettled(t)
	if err == nil {
		err = b.takeKept(t)
	}
	if err == nil {
		err = b.verifyAll(t.ctx) //nolint:contextcheck // the term's context ends with this one
	}
	if err != nil {
		b.finish(t, context.Canceled)
		return nil, err
	}
	return t, nil
}

// awaitSettled waits until nobody is left in the epoch before ([Redis.digest]).
func (b *Redis) awaitSettled(t *term) error {
	for {
		b.mu.Lock()
		settled := t.settled
		b.mu.Unlock()
		switch {
		case settled:
			return nil
		case t.ctx.Err() != nil:
			return errUnsettled
		}
		sleep(t.ctx, pause)
	}
}

func (b *Redis) verifyAll(ctx context.Context) error {
	for _, verify := range b.verify {
		if err := verify(ctx); err != nil {
			return fmt.Errorf("cluster: make sure of what is cached: %w", err)
		}
	}
	return nil
}

// enterEpoch begins a term. The places from which this node reads the log and the
// outbox are fixed here, before anything is verified.
func (b *Redis) enterEpoch(ctx context.Context, e Epoch, settled bool, got standing) (*term, error) {
	t := &term{epoch: e, settled: settled, from: got.seq, applied: got.seq, moved: make(chan struct{}), deaths: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known.Number != e.Number || b.known.Server != e.Server {
		t.cancel(errAnother)
		return nil, errUnsettled // meanwhile SQL has named another
	}
	if b.read.epoch == e.Number && b.read.seq <= got.seq {
		t.from, t.applied = b.read.from, b.read.seq // reads on where it was
	}
	t.since, t.entered = b.known.at, b.now()
	b.beginOutbox(e.Outbox)
	b.silentLocked() // who is silent by now is covered by the verification to come
	for id := range got.members {
		b.noteLocked(sign{node: id})
	}
	b.term = t
	b.gaps++
	b.wake()
	return t, nil
}

// settling is how long the node that began an epoch may take to set its marker,
// and holding how long an epoch is left to those who began it with another Redis.
// Without that, the two sides of a split would take it from each other all the
// time. A node that has just started does not wait: it has seen no change.
const (
	settling = 5 * pause
	holding  = 3 * Lease
)

// begin advances the epoch to the Redis that this node sees. The winner alone
// makes the marker, at once and only once; if it dies before, the next one finds
// no marker and advances again.
func (b *Redis) begin(ctx context.Context, from Epoch, seen view) error {
	b.mu.Lock()
	age, changed := b.now()-b.known.at, b.known.changed
	b.mu.Unlock()
	if changed && (age < settling || from.Server != seen.server && age < holding) {
		return errUnsettled
	}
	sqlCtx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	e, err := b.arbiter.Advance(sqlCtx, from, seen.server)
	if errors.Is(err, ErrOvertaken) {
		return errUnsettled
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSQL, err)
	}
	b.mu.Lock()
	b.learn(e)
	b.mu.Unlock()
	if _, err := b.run(ctx, initScript, []string{b.keys.bus()}, e.Number, e.Server); err != nil {
		return err
	}
	b.log.InfoContext(ctx, "began an epoch", "epoch", e.Number)
	return errUnsettled
}

// learn notes the epoch that SQL has named; b.mu is held.
func (b *Redis) learn(e Epoch) {
	if e.Number != b.known.Number || e.Server != b.known.Server {
		b.known.changed = b.known.at != 0
		b.known.at = b.now()
	}
	b.known.Epoch = e
}

// hear notes an answer of SQL, or that there was none. A term of another epoch
// ends here.
func (b *Redis) hear(q *question) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.sqlOK
	switch {
	case q.err == nil && (!before || q.sent-b.answered > interval+askTime):
		// After a longer silence nobody knows what SQL did meanwhile: this node may
		// have stood still.
		b.steady = q.sent
	case q.err != nil && (before || b.lost == 0):
		b.lost = b.now()
	}
	if q.err != nil {
		b.apart.Store(0) // what others do from now on, SQL may not know when it is back
	} else if !before {
		b.back = q.sent
	}
	if b.sqlOK = q.err == nil; !b.sqlOK {
		if t := b.term; t != nil && !t.settled {
			// Those in the epoch before may go on now, and commit and publish what this
			// node neither reads nor has verified.
			b.finishLocked(t, errSQL)
		}
		return
	}
	b.sqlAt, b.answered = time.Now(), max(b.answered, q.sent)
	if q.sent < b.known.at && q.epoch.Number < b.known.Number {
		return // overtaken on its way here
	}
	b.learn(q.epoch)
	for _, id := range q.epoch.Apart {
		b.noteLocked(sign{node: id, apart: true})
	}
	if t := b.term; t != nil && (t.epoch.Number != q.epoch.Number || t.epoch.Server != q.epoch.Server) {
		b.finishLocked(t, errAnother)
	}
}

// keepAsking asks SQL for the epoch and the outbox, which is the other half of
// the lease, and tells SQL when this node lives by it alone.
func (b *Redis) keepAsking(ctx context.Context) {
	timer := time.NewTicker(interval)
	defer timer.Stop()
	b.asker.begin(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-timer.C:
			b.asker.begin(ctx)
		case <-b.waking:
			b.asker.begin(ctx)
		case <-b.asker.news:
			b.digest(ctx, b.asker.newest.Load())
		}
	}
}

func (b *Redis) wake() {
	select {
	case b.waking <- struct{}{}:
	default:
	}
}

// digest does all that a question to SQL is for, whoever has asked it.
func (b *Redis) digest(ctx context.Context, q *question) {
	t := b.current()
	if t != nil && q.sent < t.entered {
		t = nil // the question is older, and proves nothing for it
	}
	if q.err == nil {
		if err := b.catchUp(ctx, t, q.epoch.Outbox); err != nil {
			return // SQL was there and had something: this question proves nothing
		}
	}
	b.mu.Lock()
	if t != nil && q.err == nil && q.sent >= max(t.since, b.steady)+patience {
		t.settled = true
	}
	// A failure to answer counts only within a Lease of what counted last (who asks
	// nothing for longer has not heard what others relied on meanwhile), and not while
	// something that SQL has told of has not been applied.
	if t != nil && (q.err == nil || t.settled && t.asked != 0 && q.sent < t.asked+Lease && b.outbox.at >= b.known.Outbox) {
		t.asked = q.sent
		b.prove(t)
	}
	b.mu.Unlock()
	if q.err == nil {
		b.sayApart(ctx)
	}
}

// catchUp applies the outbox up to a position that was asked for in term t, nil
// if in none.
func (b *Redis) catchUp(ctx context.Context, t *term, to uint64) error {
	b.mu.Lock()
	b.beginOutbox(to)
	if b.outbox.at > to && t != nil {
		b.finishLocked(t, errTrimmed) // the outbox has lost messages
		b.outbox.at = to
	}
	at := b.outbox.at
	b.mu.Unlock()
	for at < to {
		sqlCtx, cancel := context.WithTimeout(ctx, askTime)
		messages, last, err := b.arbiter.Outbox(sqlCtx, at)
		cancel()
		if err != nil {
			return err
		}
		last = max(last, at+uint64(len(messages)))
		if last == at {
			last = to // all that lay between is gone
		}
		if last-at != uint64(len(messages)) && t != nil {
			b.finish(t, errTrimmed)
		}
		for _, m := range messages {
			b.inbox.take(ctx, m, func(report []byte, err error) { b.confirmed(m.ID, confirmation(b.id, report, err)) })
		}
		at = last
		b.mu.Lock()
		b.outbox.at = at
		b.mu.Unlock()
	}
	return nil
}

// beginOutbox sets where this node begins to read the outbox, once, and before
// it first verifies its cache: what stands there is in SQL. b.mu is held.
func (b *Redis) beginOutbox(at uint64) {
	if !b.outbox.known {
		b.outbox.at, b.outbox.known = at, true
	}
}

// sayApart puts this node on SQL's list of those who live by it when its lease
// runs low, so that it need not pause, unless SQL was away just before. It never takes itself off: a call that was
// held up on its way could do so much later. Until SQL forgets it, others wait
// longer than they need to.
func (b *Redis) sayApart(ctx context.Context) {
	now := b.now()
	b.mu.Lock()
	starting := (b.redisOK || !b.tried) && (b.gaps == 0 || b.gaps == 1 && b.term != nil && b.term.settled) // fresh in a moment
	// What others did while SQL was away they write to it as soon as it is back:
	// until then its answers are not relied on.
	owed := now < b.back+patience
	b.mu.Unlock()
	if starting || owed || b.until.Load()-int64(now) >= int64(Lease/2) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := b.arbiter.Apart(ctx, b.id); err != nil {
		b.log.DebugContext(ctx, "cannot tell SQL that this node lives by it", "error", err)
		return
	}
	b.apart.Store(int64(now + Lease))
}
