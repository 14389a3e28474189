package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	// subscriberBuffer is how far a reader of the live stream may fall behind.
	subscriberBuffer = 256
	// maxSubscribers bounds the live streams of one tenant.
	maxSubscribers = 128
	// readBatch is how much of the index is read at once for those who follow it.
	readBatch = 256
	// othersEvery is how often the index is asked for what other nodes have put in.
	othersEvery = 500 * time.Millisecond
)

// Indexed is an event as the index has it.
type Indexed struct {
	Event

	// Position is its place among the tenant's events, in the order in which they
	// came into the index from whichever node. It has holes.
	Position uint64
}

// subscribers are the readers of the live stream, by tenant.
type subscribers struct {
	others  bool           // nodes that are not this one write into the index, too
	reading sync.WaitGroup // what reads for them

	mu      sync.Mutex
	over    bool // nobody reads any more
	tenants map[identity.TenantID]*audience
}

// audience is who follows one tenant's log: however many they are, the index is
// read once for all of them.
type audience struct {
	all  map[*subscriber]struct{}
	wake chan struct{} // holds one: there is more in the index
	end  context.CancelFunc
}

type subscriber struct{ events chan Indexed }

// HearOthers has the live stream tell of what other nodes put into the index as
// well; before [Index.Subscribe].
func (x *Index) HearOthers() { x.live.others = true }

// Subscribe gives a tenant's events as they come into the index, of all nodes and
// in the order of their positions, from now on. The channel is closed when its
// reader is too slow, when there are too many readers, and when the index stops;
// read what was missed with [Index.After]. Call cancel when done.
func (x *Index) Subscribe(ctx context.Context, tenant identity.TenantID) (events <-chan Indexed, cancel func(), err error) {
	s := &subscriber{events: make(chan Indexed, subscriberBuffer)}
	if !x.live.join(tenant, s) {
		end, err := x.end(ctx, tenant)
		if err != nil {
			return nil, nil, err
		}
		x.live.begin(tenant, s, func(ctx context.Context, a *audience) { x.read(ctx, tenant, a, end) }) //nolint:contextcheck // it is read for all who follow, and goes on when this one leaves
	}
	return s.events, func() { x.live.remove(tenant, s) }, nil
}

// Locate finds where an event stands, as one that was seen last: what came after
// it are the events after its position, save those of the same node up to its
// number. The fault is NotFound if the tenant has none of that id.
func (x *Index) Locate(ctx context.Context, tenant identity.TenantID, id identity.EventID) (Indexed, error) {
	var found Indexed
	err := x.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		found, err = store.One(ctx, tx, scanIndexed, `SELECT position, body FROM events WHERE id = $1`, string(id))
		return err
	})
	if !errors.Is(err, store.ErrNoRows) {
		return found, err
	}
	// It has not come into the index yet, or never does: an allowed request.
	if found.Event, err = x.j.files.find(ctx, tenant, id); err != nil {
		return Indexed{}, err
	}
	err = x.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		found.Position, err = store.One(ctx, tx, scanPosition, `SELECT coalesce(
			(SELECT min(position) - 1 FROM events WHERE node = $1 AND seq > $2 AND position > 0), (SELECT max(position) FROM events), 0)`,
			found.Node, int64(found.Seq)) // #nosec G115 -- a count
		return err
	})
	return found, err
}

// After gives what is in the index behind a position, part by part.
func (x *Index) After(ctx context.Context, tenant identity.TenantID, position uint64) iter.Seq2[Indexed, error] {
	return func(yield func(Indexed, error) bool) {
		for more := true; more; {
			batch, err := x.batch(ctx, tenant, position)
			if err != nil {
				yield(Indexed{}, err)
				return
			}
			for _, e := range batch {
				position = e.Position
				if !yield(e, nil) {
					return
				}
			}
			more = len(batch) == readBatch
		}
	}
}

func (x *Index) batch(ctx context.Context, tenant identity.TenantID, after uint64) (batch []Indexed, err error) {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	err = x.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		batch, err = store.All(ctx, tx, scanIndexed, `SELECT position, body FROM events WHERE position > $1 ORDER BY position LIMIT $2`,
			int64(after), readBatch) // #nosec G115 -- a count
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("audit: reading on in the index: %w", err)
	}
	return batch, nil
}

// end is the position of what came into the index last.
func (x *Index) end(ctx context.Context, tenant identity.TenantID) (position uint64, err error) {
	err = x.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		position, err = endOf(ctx, tx)
		return err
	})
	return position, err
}

func endOf(ctx context.Context, tx *store.Tx) (uint64, error) {
	return store.One(ctx, tx, scanPosition, `SELECT coalesce(max(position), 0) FROM events`)
}

func scanPosition(row store.Row) (uint64, error) {
	var position int64
	err := row.Scan(&position)
	return uint64(max(position, 0)), err // #nosec G115 -- not negative
}

func scanIndexed(row store.Row) (e Indexed, err error) {
	var position int64
	e.Event, err = scanEvent(rowAfter{row, []any{&position}})
	e.Position = uint64(max(position, 0)) // #nosec G115 -- not negative
	return e, err
}

// rowAfter is the rest of a row behind its first columns.
type rowAfter struct {
	row   store.Row
	first []any
}

func (r rowAfter) Scan(dest ...any) error { return r.row.Scan(append(r.first, dest...)...) }

// read passes on what comes into the index behind a position, until ctx ends. It
// looks when this node has put something in, and every now and then for others.
func (x *Index) read(ctx context.Context, tenant identity.TenantID, a *audience, position uint64) {
	var others <-chan time.Time
	if x.live.others {
		tick := time.NewTicker(othersEvery)
		defer tick.Stop()
		others = tick.C
	}
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-others:
		case <-again:
		}
		behind := again != nil
		again = nil
		for e, err := range x.After(ctx, tenant, position) {
			if err == nil {
				position = e.Position
				x.live.publish(a, tenant, e)
				continue
			}
			again = time.After(indexRetry)
			if !behind && ctx.Err() == nil {
				x.j.o.Log.WarnContext(ctx, "the live log is behind", "tenant", tenant, "error", err)
			}
		}
	}
}

// join adds a subscriber to those whom the index is read for already.
func (l *subscribers) join(tenant identity.TenantID, s *subscriber) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joinLocked(tenant, s)
}

func (l *subscribers) joinLocked(tenant identity.TenantID, s *subscriber) bool {
	a := l.tenants[tenant]
	switch {
	case l.over, a != nil && len(a.all) >= maxSubscribers:
		close(s.events)
		return true
	case a == nil:
		return false
	}
	a.all[s] = struct{}{}
	return true
}

// begin has the index read for a subscriber, unless it is by now.
func (l *subscribers) begin(tenant identity.TenantID, s *subscriber, read func(context.Context, *audience)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.joinLocked(tenant, s) {
		return
	}
	if l.tenants == nil {
		l.tenants = make(map[identity.TenantID]*audience)
	}
	ctx, end := context.WithCancel(context.Background())
	a := &audience{all: map[*subscriber]struct{}{s: {}}, wake: make(chan struct{}, 1), end: end}
	a.wake <- struct{}{} // something may have come since the end was asked for
	l.tenants[tenant] = a
	l.reading.Go(func() { read(ctx, a) })
}

func (l *subscribers) remove(tenant identity.TenantID, s *subscriber) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close(tenant, s)
}

// close ends one subscription, once. The caller holds the lock.
func (l *subscribers) close(tenant identity.TenantID, s *subscriber) {
	a := l.tenants[tenant]
	if a == nil {
		return
	}
	if _, ok := a.all[s]; !ok {
		return
	}
	delete(a.all, s)
	if len(a.all) == 0 {
		delete(l.tenants, tenant)
		a.end()
	}
	close(s.events)
}

// wake tells that there is more in a tenant's index.
func (l *subscribers) wake(tenant identity.TenantID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.tenants[tenant]; a != nil {
		select {
		case a.wake <- struct{}{}:
		default: // it is told already
		}
	}
}

// publish hands an event to all who keep up.
func (l *subscribers) publish(a *audience, tenant identity.TenantID, e Indexed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range a.all {
		select {
		case s.events <- e:
		default:
			l.close(tenant, s)
		}
	}
}

func (l *subscribers) end(tenant identity.TenantID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.tenants[tenant]; a != nil {
		for s := range a.all {
			l.close(tenant, s)
		}
	}
}

func (l *subscribers) closeAll() {
	l.mu.Lock()
	l.over = true
	for tenant, a := range l.tenants {
		for s := range a.all {
			l.close(tenant, s)
		}
	}
	l.mu.Unlock()
	l.reading.Wait()
}
