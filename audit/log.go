package audit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/audit/segment"
	"gatehouse/identity"
)

// log is one tenant's journal on this node: the state between its segments. The
// order of its records is the order of its lock.
type log struct {
	j      *Journal
	tenant identity.TenantID
	dir    string
	used   atomic.Int64 // Unix nanoseconds of the last record

	mu     sync.Mutex
	gone   bool // closed or dropped: nothing is written any more
	loaded bool // the files of earlier runs were looked at
	placed bool // the folder is there, or was and ought to be
	tail   *tail
	file   string       // the name of the last segment
	seq    uint64       // of the last record, while there is no tail
	chain  segment.Hash // its hash, while there is no tail
	ids    eventIDs

	// broken is why nothing can be written, retryAt when to try again, and
	// recovery what to tell of it in the first record that can.
	broken   error
	retryAt  time.Time
	recovery *recovery

	fsyncs int       // that are under way; none begins once shut or drop is over
	ended  sync.Cond // of one of them
}

// tail is the segment being written. It keeps what its own records' durability
// came to, so that whoever waits for one is told right even when the log has
// gone on to another segment meanwhile.
type tail struct {
	writer  *segment.Writer
	synced  uint64        // every record up to here is durable
	err     error         // why those behind it never will be
	syncing chan struct{} // closed when the fsync under way ends; nil without one
}

// record writes one event and returns the segment that it is in.
func (l *log) record(ctx context.Context, e *Event) (*tail, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.rotate(); err != nil {
		return nil, err
	}
	now := time.Now()
	l.used.Store(now.UnixNano())
	if err := l.ready(ctx, now); err != nil {
		return nil, err
	}
	if err := l.append(e, now); err != nil {
		return nil, err
	}
	if watcher := l.j.watcher.Load(); watcher != nil && e.Type != AccessAllowed {
		(*watcher)(l.tenant)
	}
	return l.tail, nil
}

// rotate lets go of a full segment once all of it is durable, which the next one
// builds on. The lock is free while the disk works.
func (l *log) rotate() error {
	var late <-chan time.Time
	for t := l.tail; l.full() && !l.gone && l.broken == nil; t = l.tail {
		if t.syncing == nil && t.synced == t.writer.Seq() {
			l.release()
			return nil
		}
		if late == nil {
			late = time.After(durableWithin)
		}
		if !l.flush(t, late) {
			l.j.failures.Add(1)
			return unavailable(errSlow)
		}
	}
	return nil
}

// full tells whether the open segment is long enough.
func (l *log) full() bool {
	return l.tail != nil && l.tail.writer.Handle() != nil && l.tail.writer.Size() >= l.j.o.SegmentBytes
}

// ready sees to it that there is a segment to append to: it loads, heals,
// reopens or begins one as need be.
func (l *log) ready(ctx context.Context, now time.Time) error {
	if l.gone {
		return unavailable(errClosed)
	}
	if l.broken != nil {
		if now.Before(l.retryAt) {
			return l.broken
		}
		if err := l.probe(); err != nil {
			return l.fail(err, now)
		}
	}
	if !l.loaded {
		if err := l.load(); err != nil {
			return l.fail(err, now)
		}
	}
	if l.tail != nil && l.tail.writer.Parked() {
		if err := l.tail.writer.Resume(); err != nil {
			l.abandon(err)
			return l.fail(err, now)
		}
		l.j.opened(l)
	}
	if l.tail == nil {
		if err := l.begin(ctx, now); err != nil {
			return err
		}
	}
	if l.recovery != nil {
		e := l.recovery.event(l.tenant)
		if err := l.append(&e, now); err != nil {
			return err
		}
		l.recovery = nil
		l.j.o.Log.WarnContext(ctx, "the journal is written again", "tenant", l.tenant, "after", e.Reason)
	}
	l.broken = nil
	return nil
}

// begin prepares the next segment; it reaches the disk with its first record.
func (l *log) begin(ctx context.Context, now time.Time) error {
	secret, err := l.j.files.secret(ctx, l.tenant)
	if err != nil {
		if ctx.Err() != nil {
			return err // the caller went away; that says nothing about the journal
		}
		return l.fail(err, now)
	}
	if err := l.place(); err != nil {
		return l.fail(err, now)
	}
	w, err := segment.NewWriter(l.dir, segment.Header{Tenant: string(l.tenant), Node: l.j.o.Node,
		First: l.seq + 1, Created: now, Prev: l.chain}, secret)
	clear(secret)
	if err != nil {
		return l.fail(err, now)
	}
	l.tail, l.file = &tail{writer: w, synced: l.seq}, segment.Name(l.seq+1)
	return nil
}

func (l *log) append(e *Event, now time.Time) error {
	w := l.tail.writer
	e.ID, e.Node, e.Seq = l.ids.next(now), l.j.o.Node, w.Seq()+1
	e.Time = now.UTC().Truncate(time.Millisecond)
	synced, err := w.Append(appendRecord(w.Begin(), e))
	if err != nil {
		l.abandon(err)
		return l.fail(err, now)
	}
	l.j.records.Add(1)
	if synced {
		l.tail.synced = e.Seq
		l.j.opened(l)
	}
	return nil
}

// release lets go of the tail and keeps what its successor links to.
func (l *log) release() {
	w := l.tail.writer
	l.tail = nil
	if w.Seq() > l.seq { // otherwise not even its first record was written
		l.seq, l.chain = w.Seq(), w.Hash()
	}
	l.j.parked(l)
	if err := w.Park(); err != nil {
		l.j.o.Log.Warn("closing a journal segment", "tenant", l.tenant, "error", err)
	}
}

// abandon gives the tail up after an error: nobody may append to it again, and
// what was not durable by now counts as lost to whoever waits for it.
func (l *log) abandon(err error) {
	if l.tail == nil {
		return
	}
	l.tail.err = err
	l.release()
}

// fail notes why nothing can be written, and returns it as callers see it.
func (l *log) fail(err error, now time.Time) error {
	l.j.failures.Add(1)
	if l.broken == nil {
		l.j.o.Log.Error("the journal cannot be written; requests of this tenant are refused", "tenant", l.tenant, "error", err)
	}
	if l.recovery == nil {
		l.recovery = &recovery{reason: reasonOf(err), segment: l.file}
	}
	l.broken, l.retryAt = unavailable(err), now.Add(retryEvery)
	return l.broken
}

// sync returns once the record numbered seq of segment t is durable. Whoever
// comes first begins an fsync for all that were written before, and the others
// wait for it: one fsync for as many records as arrive during the one before.
//
// The record stands already, so that its caller may leave but not take it back:
// only a disk that does not answer ends the wait before the disk does.
func (l *log) sync(t *tail, seq uint64) error {
	late := time.NewTimer(durableWithin)
	defer late.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for t.synced < seq {
		if t.err != nil {
			return unavailable(t.err)
		}
		if !l.flush(t, late.C) && t.synced < seq {
			l.j.failures.Add(1)
			return unavailable(errSlow)
		}
	}
	return nil
}

// flush waits, without the lock, for an fsync of the segment to end: the one
// under way or a new one. It gives false when late comes first.
func (l *log) flush(t *tail, late <-chan time.Time) bool {
	done := l.lead(t)
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-done:
		return true
	case <-late:
		return false
	}
}

// lead begins an fsync on behalf of everybody, unless one is under way: the
// kernel tells of a lost page only once per open file, so of two at the same time
// one would succeed over the hole. For the same reason a segment is released
// beside an fsync only when it is given up. It is called with the lock, and
// closes the channel when it is over.
func (l *log) lead(t *tail) <-chan struct{} {
	if t.syncing != nil {
		return t.syncing
	}
	done := make(chan struct{})
	t.syncing = done
	handle, upTo := t.writer.Handle(), t.writer.Seq()
	l.fsyncs++
	go func() {
		err := handle.Sync()
		l.j.syncs.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fsyncs--
		l.ended.Broadcast()
		t.syncing = nil
		close(done)
		switch {
		case err == nil:
			t.synced = max(t.synced, upTo)
		case t.err != nil:
			// The segment was given up meanwhile, and its file perhaps closed.
		default:
			// After a failed fsync the kernel may have dropped the pages, and a second
			// one would succeed over the hole: the segment is not trusted again.
			l.abandon(err)
			_ = l.fail(err, time.Now()) // the waiters read t.err
		}
	}()
	return done
}

// tend does what the timer is for: it looks at the files, fsyncs what nobody
// waited for, and closes the file when it is idle.
func (l *log) tend() {
	now := time.Now()
	l.mu.Lock()
	if l.broken == nil {
		if err := l.probe(); err != nil {
			_ = l.fail(err, now) // the next caller is told
		}
	}
	t := l.tail
	if t == nil || t.writer.Handle() == nil {
		l.mu.Unlock()
		return
	}
	if t.synced < t.writer.Seq() && t.syncing == nil {
		l.flush(t, nil)
	}
	if now.Sub(time.Unix(0, l.used.Load())) > l.j.o.IdleAfter && l.park() {
		l.j.parked(l)
	}
	l.mu.Unlock()
}

// check tells whether the journal can be written, and heals it if it can again.
func (l *log) check(ctx context.Context) error {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil || l.gone {
		return l.ready(ctx, now)
	}
	if err := l.probe(); err != nil {
		return l.fail(err, now)
	}
	return nil
}

// park closes the file until the next record; false if it is in use.
func (l *log) park() bool {
	t := l.tail
	if t == nil || t.writer.Handle() == nil {
		return true
	}
	if t.syncing != nil {
		return false
	}
	if seq := t.writer.Seq(); t.synced < seq {
		if err := t.writer.Handle().Sync(); err != nil {
			l.abandon(err)
			_ = l.fail(err, time.Now()) // the next caller is told
			return true
		}
		t.synced = seq
	}
	if err := t.writer.Park(); err != nil {
		l.j.o.Log.Warn("closing a journal segment", "tenant", l.tenant, "error", err)
	}
	return true
}

// shut makes everything durable and ends the log.
func (l *log) shut() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.settle()
	l.gone = true
	t := l.tail
	if t == nil {
		return nil
	}
	for t.err == nil && (t.syncing != nil || t.synced < t.writer.Seq()) {
		l.flush(t, nil)
	}
	if t.err == nil {
		l.release()
	}
	return t.err
}

// settle waits for the fsyncs under way, with the lock.
func (l *log) settle() {
	for l.fsyncs > 0 {
		l.ended.Wait()
	}
}

// drop ends the log without caring for its records.
func (l *log) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.settle()
	l.gone = true
	l.abandon(errClosed)
}

// last is the number of the newest record.
func (l *log) last() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail != nil {
		return l.tail.writer.Seq(), nil
	}
	if !l.loaded {
		if err := l.load(); err != nil {
			return 0, err
		}
	}
	return l.seq, nil
}
