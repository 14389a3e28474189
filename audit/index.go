package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	indexers       = 4 // tenants that are indexed at once
	indexBatch     = 256
	indexTimeout   = 30 * time.Second // for one transaction
	indexRetry     = time.Second      // after a failure, doubled up to
	indexRetryMost = time.Minute
)

// Index is the searchable copy of the journals: it follows this node's journal
// of every tenant into that tenant's SQL tables, where searching and the live
// stream are, after what nodes that wrote in the folder before it left. It keeps everything but allowed accesses, whose number is that
// of the requests; those are searched in the files themselves.
//
// It reads from the files with a cursor that is stored with the rows, so that
// a slow or dead store costs it nothing but being late, and the journal
// nothing at all: what is held in memory is a place per tenant.
type Index struct {
	j      *Journal
	stores Stores
	live   subscribers

	mu    sync.Mutex
	ready sync.Cond
	queue []identity.TenantID
	state map[identity.TenantID]*following
}

// Stores gives each tenant's SQL; [store.DB] does.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// following is how far the index is with one tenant.
type following struct {
	queued, busy, again bool
	waiting             *time.Timer // until the next try after a failure
	delay               time.Duration
	known               bool // place was read from SQL
	place               place
}

// NewIndex makes the index of a journal; it follows while [Index.Run] runs.
// Make it before the journal is written to.
func NewIndex(j *Journal, stores Stores) *Index {
	x := &Index{j: j, stores: stores, state: make(map[identity.TenantID]*following)}
	x.ready.L = &x.mu
	wake := x.wake
	j.watcher.Store(&wake)
	return x
}

// Run follows the journals until ctx is done; then it ends every subscription.
func (x *Index) Run(ctx context.Context) error {
	tenants, err := x.j.files.tenants()
	if err != nil {
		return err
	}
	for _, tenant := range tenants {
		x.wake(tenant)
	}
	stop := context.AfterFunc(ctx, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.ready.Broadcast()
	})
	defer stop()
	defer x.live.closeAll()
	var workers sync.WaitGroup
	for range indexers {
		workers.Go(func() {
			for {
				tenant, f, ok := x.take(ctx)
				if !ok {
					return
				}
				x.done(tenant, f, x.follow(ctx, tenant, f))
			}
		})
	}
	workers.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.state {
		if f.waiting != nil {
			f.waiting.Stop()
		}
	}
	return nil
}

// Behind counts the tenants whose events could not be put into the index when it
// was last tried.
func (x *Index) Behind() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.state {
		if f.delay > 0 {
			n++
		}
	}
	return n
}

// Forget ends the following of a tenant that was deleted.
func (x *Index) Forget(tenant identity.TenantID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.state[tenant]; f != nil && f.waiting != nil {
		f.waiting.Stop()
	}
	delete(x.state, tenant)
	x.live.end(tenant)
}

// wake tells that a tenant has new records. The journal calls it for every one,
// so it only marks.
func (x *Index) wake(tenant identity.TenantID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.state[tenant]
	if f == nil {
		f = &following{}
		x.state[tenant] = f
	}
	switch {
	case f.busy:
		f.again = true
	case !f.queued && f.waiting == nil:
		x.enqueue(tenant, f)
	}
}

func (x *Index) enqueue(tenant identity.TenantID, f *following) {
	f.queued = true
	x.queue = append(x.queue, tenant)
	x.ready.Signal()
}

// take waits for a tenant to follow.
func (x *Index) take(ctx context.Context) (identity.TenantID, *following, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return "", nil, false
		}
		if len(x.queue) > 0 {
			tenant := x.queue[0]
			x.queue = x.queue[1:]
			if f := x.state[tenant]; f != nil {
				f.queued, f.busy = false, true
				return tenant, f, true
			}
			continue // forgotten meanwhile
		}
		x.ready.Wait()
	}
}

// done puts a tenant back: to the end of the queue when there is more, aside
// for a while when following it failed.
func (x *Index) done(tenant identity.TenantID, f *following, err error) {
	if x.put(tenant, f, err) {
		// Outside the lock, for which the journal's writers wait.
		x.j.o.Log.Warn("the event index is behind; the journal is not affected", "tenant", tenant, "error", err)
	}
}

// put reports whether following failed for the first time in a row.
func (x *Index) put(tenant identity.TenantID, f *following, err error) (news bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f.busy = false
	again := f.again
	f.again = false
	switch {
	case x.state[tenant] != f: // forgotten meanwhile
	case err == nil:
		f.delay = 0
		if again {
			x.enqueue(tenant, f)
		}
	default:
		news = f.delay == 0
		f.delay = min(max(2*f.delay, indexRetry), indexRetryMost)
		f.waiting = time.AfterFunc(f.delay, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			f.waiting = nil
			if x.state[tenant] == f {
				x.enqueue(tenant, f)
			}
		})
	}
	return news
}

// follow brings the index up to the journal's end.
func (x *Index) follow(ctx context.Context, tenant identity.TenantID, f *following) error {
	if !f.known {
		if err := x.inherit(ctx, tenant); err != nil {
			return err
		}
		if err := x.resume(ctx, tenant, f); err != nil {
			return err
		}
	}
	return x.copy(ctx, tenant, x.j.o.Node, &f.place)
}

// inherit indexes what is left of nodes that write in the folder no more.
func (x *Index) inherit(ctx context.Context, tenant identity.TenantID) error {
	nodes, err := x.j.files.nodes(tenant)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node == x.j.o.Node {
			continue
		}
		var from place
		if from.Seq, err = x.cursor(ctx, tenant, node); err != nil {
			return err
		}
		if err := x.copy(ctx, tenant, node, &from); err != nil {
			return err
		}
	}
	return nil
}

// copy indexes a node's records behind a place, and moves the place as they are kept.
func (x *Index) copy(ctx context.Context, tenant identity.TenantID, node string, from *place) error {
	batch := make([]Event, 0, indexBatch)
	at := *from
	flush := func() error {
		if len(batch) > 0 {
			if err := x.keep(ctx, tenant, node, batch, at.Seq); err != nil {
				return err
			}
			x.live.wake(tenant)
			batch = batch[:0]
		}
		*from = at
		return nil
	}
	for rec, err := range x.j.files.records(ctx, tenant, node, at) {
		var e Event
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && rec.isAccess() && !rec.refused():
			at = rec.at
			continue
		case err == nil:
			e, err = rec.event()
		}
		if rec.at.Offset > 0 {
			at = rec.at
		}
		if err != nil {
			// A damaged place stays damaged: it is passed over, and verifying names it.
			x.j.o.Log.ErrorContext(ctx, "a record of the journal cannot be read", "tenant", tenant, "error", err)
			continue
		}
		if batch = append(batch, e); len(batch) == indexBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// resume finds where the index stands. A journal that ends before that has lost
// records that were in it: the index keeps them apart and says so in the
// journal, which goes on with the numbers that they had.
func (x *Index) resume(ctx context.Context, tenant identity.TenantID, f *following) error {
	l, err := x.j.logOf(tenant)
	if err != nil {
		return err
	}
	last, err := l.last()
	if err != nil {
		return err
	}
	indexed, err := x.cursor(ctx, tenant, x.j.o.Node)
	if err != nil {
		return err
	}
	if indexed > last {
		x.j.o.Log.ErrorContext(ctx, "the journal ends before records that were indexed: it was cut or replaced",
			"tenant", tenant, "indexed", indexed, "found", last)
		if err := x.setApart(ctx, tenant, last); err != nil {
			return err
		}
		e := SystemCause().Event(tenant, JournalShortened, Failed)
		e.Reason = "records-missing"
		e.Message = "The journal ends before records that were in the index. They are kept there under another node's name."
		e.Details = map[string]string{"indexed": fmt.Sprint(indexed), "found": fmt.Sprint(last)}
		if _, err := x.j.Commit(ctx, e); err != nil {
			return err
		}
		indexed = last
	}
	f.place, f.known = place{}, true
	f.place.Seq = indexed
	return nil
}

// cursor is the number of the last record of a node that is in the index.
func (x *Index) cursor(ctx context.Context, tenant identity.TenantID, node string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	var seq int64
	err := x.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		seq, err = store.One(ctx, tx, store.Scalar[int64], `SELECT seq FROM journal_cursors WHERE node = $1`, node)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return 0, fmt.Errorf("audit: reading the index's cursor: %w", err)
	}
	return uint64(max(seq, 0)), nil // #nosec G115 -- not negative
}

const moveCursor = `INSERT INTO journal_cursors (node, seq) VALUES ($1, $2)
	ON CONFLICT (node) DO UPDATE SET seq = excluded.seq`

// keep stores events and cursor in one transaction. A batch that was kept
// before the cursor's owner crashed is kept once. Who writes into a tenant's part
// of the store does so alone, on whichever node: positions become visible in their
// order.
func (x *Index) keep(ctx context.Context, tenant identity.TenantID, node string, batch []Event, upTo uint64) error {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	var body []byte
	err := x.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		end, err := endOf(ctx, tx)
		if err != nil {
			return err
		}
		for i := range batch {
			e := &batch[i]
			body = appendEvent(body[:0], e)
			var ip string
			if e.IP.IsValid() {
				ip = e.IP.String()
			}
			_, err := tx.Exec(ctx, `INSERT INTO events
				(id, node, seq, at, type, outcome, actor_kind, actor_id, actor_name, target_id, session_id, request_id, ip, body, position)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
				string(e.ID), e.Node, int64(e.Seq), store.Millis(e.Time), string(e.Type), string(e.Outcome), // #nosec G115 -- a count
				string(e.Actor.Kind), column(e.Actor.ID), column(e.Actor.Name), column(e.Target.ID), column(string(e.Session)),
				column(string(e.RequestID)), ip, string(body), int64(end)+int64(i)+1) // #nosec G115 -- a count
			if err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, moveCursor, node, int64(upTo)) // #nosec G115 -- a count
		return err
	})
	if err != nil {
		return fmt.Errorf("audit: indexing %d events: %w", len(batch), err)
	}
	return nil
}

// column gives the form in which a text can be searched for: no database keeps NUL
// outside of the body, where it is escaped, and one event must not stop the index.
func column(s string) string { return strings.ReplaceAll(s, "\x00", "\ufffd") }

// setApart renames the node of events that the journal does not hold any more,
// so that their numbers are free, and moves the cursor back.
func (x *Index) setApart(ctx context.Context, tenant identity.TenantID, last uint64) error {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	node, seq := x.j.o.Node, int64(last) // #nosec G115 -- a count
	err := x.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE events SET node = $1 WHERE node = $2 AND seq > $3`,
			node+"@"+time.Now().UTC().Format(time.RFC3339Nano), node, seq); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, moveCursor, node, seq)
		return err
	})
	if err != nil {
		return fmt.Errorf("audit: setting lost events apart: %w", err)
	}
	return nil
}
