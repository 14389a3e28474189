package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/audit/segment"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Secrets derives the secret that a tenant's journal is sealed under; the key
// ring is one.
type Secrets interface {
	Derive(ctx context.Context, tenant identity.TenantID, purpose string, size int) ([]byte, error)
}

// Options says where a journal is and how it behaves; zero values are defaults.
type Options struct {
	// Dir holds a folder per tenant, with a folder per node in it.
	Dir string
	// Node is this gateway's name in the cluster; no two write under one name.
	Node string
	Keys Secrets
	// SegmentBytes is when a new file is begun. Default 64 MiB.
	SegmentBytes int64
	// MaxOpen is how many tenants' files are open at once. Default 256.
	MaxOpen int
	// IdleAfter is when a file that nobody writes is closed. Default 5 minutes.
	IdleAfter time.Duration
	Log       *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.MaxOpen <= 0 {
		o.MaxOpen = 256
	}
	if o.IdleAfter <= 0 {
		o.IdleAfter = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	// syncEvery is how often what was written without waiting is fsynced, and
	// how often the files are looked at. Twice this, and the time that the disk
	// takes, must stay under the promised second.
	syncEvery = 250 * time.Millisecond
	// syncers is how many files are fsynced at once by the timer.
	syncers = 8
	// durableWithin is how long a record may take to reach the disk.
	durableWithin = 5 * time.Second
	// retryEvery is how often writing is tried again after it failed; between
	// two attempts every call fails at once.
	retryEvery = 100 * time.Millisecond
)

// Journal writes this node's part of every tenant's journal. It is safe for
// concurrent use.
type Journal struct {
	o     Options
	files *Reader  // of every node that wrote in the folder
	lock  *os.File // held for the life of the journal: one writer per node name

	// watcher is told of tenants that have new records for the index.
	watcher atomic.Pointer[func(identity.TenantID)]

	records, syncs, failures atomic.Uint64

	mu     sync.RWMutex
	logs   map[identity.TenantID]*log
	open   map[*log]struct{} // those with an open file, at most about MaxOpen
	closed bool
}

// Open makes the folder if need be and claims this node's name in it; it fails
// while another process has it.
func Open(o Options) (*Journal, error) {
	o = o.withDefaults()
	files, err := OpenReader(Options{Dir: o.Dir, Keys: o.Keys})
	if err != nil {
		return nil, err
	}
	if !isFolderName(o.Node) {
		return nil, fmt.Errorf("audit: %q is no name for a node: use letters, digits, '-', '_', '.'", o.Node)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: making the journal folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, o.Node+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // #nosec G115 -- a file descriptor is small
		return nil, errors.Join(fmt.Errorf("audit: node %s in %s belongs to another running gateway: %w", o.Node, o.Dir, err), lock.Close())
	}
	return &Journal{o: o, files: files, lock: lock,
		logs: make(map[identity.TenantID]*log), open: make(map[*log]struct{})}, nil
}

// A folder's name comes from a tenant's id or the node's name, and from nothing
// that could leave the journal folder.
var folderName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func isFolderName(s string) bool { return folderName.MatchString(s) }

// Write records an event and returns once it is written (write(2)): it survives
// the death of the process at once, and that of the machine within a second. It
// fills ID, Seq, Node and Time of e. An error is a fault of kind Unavailable, or
// ctx's while the tenant's key is fetched, and the event's effect must not happen.
func (j *Journal) Write(ctx context.Context, e *Event) (Receipt, error) {
	l, err := j.logOf(e.Tenant)
	if err != nil {
		return Receipt{}, err
	}
	_, err = l.record(ctx, e)
	if err != nil {
		return Receipt{}, err
	}
	return receipt(e), nil
}

// Commit records an event and returns once it is durable (fsync, shared with
// whoever commits at the same time). ctx counts until the record is written:
// from there on a caller that leaves does not stop it, so that a record of
// success is followed by its effect. An error is a fault of kind Unavailable,
// also if the disk takes longer than a few seconds, or ctx's while the tenant's
// key is fetched; the event's effect must not happen, though the record may be
// there.
func (j *Journal) Commit(ctx context.Context, e Event) (Receipt, error) {
	l, err := j.logOf(e.Tenant)
	if err != nil {
		return Receipt{}, err
	}
	t, err := l.record(ctx, &e)
	if err != nil {
		return Receipt{}, err
	}
	if err := l.sync(t, e.Seq); err != nil {
		return Receipt{}, err
	}
	return receipt(&e), nil
}

// CommitAll is [Journal.Commit] for events of one tenant that take effect
// together: recorded in their order, with one wait for all of them to be durable. Each
// gets its id.
// ctx counts until the first record is written. An error is one of any of them,
// and none of their effects must happen, though records may be there. It fills ID,
// Seq, Node and Time of those that it has recorded.
func (j *Journal) CommitAll(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	l, err := j.logOf(events[0].Tenant)
	if err != nil {
		return err
	}
	last := make(map[*tail]uint64) // by segment: a new one may begin on the way
	for i := range events {
		e := &events[i]
		if e.Tenant != l.tenant {
			return errOtherTenant
		}
		t, err := l.record(ctx, e)
		if err != nil {
			return err
		}
		last[t], ctx = e.Seq, context.WithoutCancel(ctx)
	}
	for t, seq := range last {
		if err := l.sync(t, seq); err != nil {
			return err
		}
	}
	return nil
}

var errOtherTenant = errors.New("audit: events of two tenants are not recorded together")

func receipt(e *Event) Receipt {
	return Receipt{event: e.ID, tenant: e.Tenant, request: e.RequestID, seq: e.Seq}
}

// Check reports whether the tenant's journal can be written, as far as that can
// be told without writing: folders and current file in place, meant to be
// written and on a writable file system. After a failure it tries to go on,
// which is how a journal that nobody can write to any more heals. It costs a few
// system calls.
func (j *Journal) Check(ctx context.Context, tenant identity.TenantID) error {
	l, err := j.logOf(tenant)
	if err != nil {
		return err
	}
	return l.check(ctx)
}

// Read gives this node's records of a tenant after the one numbered afterSeq,
// in order, as far as they are written now. A place that cannot be read yields
// an error, and reading goes on behind it.
func (j *Journal) Read(ctx context.Context, tenant identity.TenantID, afterSeq uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for rec, err := range j.files.records(ctx, tenant, j.o.Node, place{Position: segment.Position{Seq: afterSeq}}) {
			if !yield(rec.eventOr(err)) {
				return
			}
		}
	}
}

// All gives every record of a tenant that is in the folder, also of nodes that
// wrote there before: each node's in order, one node after the other.
func (j *Journal) All(ctx context.Context, tenant identity.TenantID) iter.Seq2[Event, error] {
	return j.files.Read(ctx, tenant, nil)
}

// Stats counts what a journal did since it was opened, for metrics.
type Stats struct {
	Records  uint64 // written
	Syncs    uint64 // fsyncs that somebody waited for, or the timer made
	Failures uint64 // attempts to write or fsync that failed
}

// Stats returns the counts of this moment.
func (j *Journal) Stats() Stats {
	return Stats{Records: j.records.Load(), Syncs: j.syncs.Load(), Failures: j.failures.Load()}
}

// Drop closes the tenant's files, forgets its keys and removes its folder: the
// part of P10 that is the journal's. Destroy the tenant's key first, so that
// nothing can be written meanwhile and no copy of the files can be read.
func (j *Journal) Drop(tenant identity.TenantID) error {
	if _, err := j.logOf(tenant); err != nil {
		return err
	}
	j.forget(tenant)
	if err := os.RemoveAll(filepath.Join(j.o.Dir, string(tenant))); err != nil {
		return fmt.Errorf("audit: removing the journal of %s: %w", tenant, err)
	}
	return nil
}

func (j *Journal) forget(tenant identity.TenantID) {
	j.mu.Lock()
	l := j.logs[tenant]
	delete(j.logs, tenant)
	j.mu.Unlock()
	if l != nil {
		l.drop()
	}
}

// Run fsyncs what [Journal.Write] left to it, looks at the files, and closes
// those that are idle, until ctx is done.
func (j *Journal) Run(ctx context.Context) error {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			j.tend()
		}
	}
}

// tend gives every open log its regular care.
func (j *Journal) tend() {
	j.mu.RLock()
	logs := make(chan *log, len(j.open))
	for l := range j.open {
		logs <- l
	}
	j.mu.RUnlock()
	close(logs)
	var group sync.WaitGroup
	for range min(syncers, len(logs)) {
		group.Go(func() {
			for l := range logs {
				l.tend()
			}
		})
	}
	group.Wait()
}

// Close fsyncs and closes every file. Writing fails from now on.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	logs := j.logs
	j.logs = nil
	j.mu.Unlock()
	var errs []error
	for _, l := range logs {
		errs = append(errs, l.shut())
	}
	return errors.Join(append(errs, j.lock.Close())...)
}

func (j *Journal) logOf(tenant identity.TenantID) (*log, error) {
	j.mu.RLock()
	l := j.logs[tenant]
	j.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	if !isFolderName(string(tenant)) {
		return nil, unavailable(fmt.Errorf("audit: %q is no tenant's id", tenant))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, unavailable(errClosed)
	}
	if l = j.logs[tenant]; l == nil {
		l = &log{j: j, tenant: tenant, dir: filepath.Join(j.o.Dir, string(tenant), j.o.Node)}
		l.ended.L = &l.mu
		j.logs[tenant] = l
	}
	return l, nil
}

// opened counts an open file and closes that of the tenant that has been idle
// longest when there are too many. The caller holds l's lock; another's is only
// tried, so that two can never wait for each other.
func (j *Journal) opened(l *log) {
	j.mu.Lock()
	j.open[l] = struct{}{}
	for len(j.open) > j.o.MaxOpen {
		var oldest *log
		for other := range j.open {
			if other != l && (oldest == nil || other.used.Load() < oldest.used.Load()) {
				oldest = other
			}
		}
		if oldest == nil || !oldest.mu.TryLock() {
			break // busy: the next one to open, or the timer, will see to it
		}
		delete(j.open, oldest)
		j.mu.Unlock()
		closed := oldest.park()
		oldest.mu.Unlock()
		j.mu.Lock()
		if !closed {
			j.open[oldest] = struct{}{}
			break
		}
	}
	j.mu.Unlock()
}

func (j *Journal) parked(l *log) {
	j.mu.Lock()
	delete(j.open, l)
	j.mu.Unlock()
}

var (
	errClosed = errors.New("audit: the journal is closed")
	errSlow   = errors.New("audit: the disk does not answer")
)

// unavailable is what every caller of a journal that cannot be written sees.
func unavailable(cause error) error {
	return fault.OutOfReach(cause, "journal-unavailable",
		"The audit journal cannot be written right now, so nothing is let through. Try again in a moment.")
}
