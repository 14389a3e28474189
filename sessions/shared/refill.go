package shared

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/sessions"
)

const (
	// refillBatch is how many sessions are put into Redis at once. While others end
	// sessions, it shrinks to what fits between two ends, refillLeast at least.
	refillBatch = 1000
	refillLeast = 16
	// refillHolds is how long nobody else fills a part after its filler last said
	// that it goes on.
	refillHolds = 2 * cluster.Lease
	// refillTime bounds one question to SQL.
	refillTime = 5 * time.Second
	// lookEvery is how often a node looks for parts that are not whole, and
	// lookAgain how long it takes one for whole: Redis may drop keys one by one.
	lookEvery = cluster.Lease / 2
	lookAgain = time.Minute
)

var refillScript = script("refill.lua")

// stock is what a node knows of how full the parts are.
type stock struct {
	short chan struct{} // some part was seen not to be whole

	mu      sync.Mutex
	whole   map[identity.TenantID]seen
	missed  map[identity.TenantID]sessions.Place // after which this node has made sessions without a copy
	filling identity.TenantID                    // by this node; empty: none
	filled  int
}

// seen is when, and in which epoch, a part was found to be whole.
type seen struct {
	epoch uint64
	at    time.Duration
}

// Copies is how far the copies of the sessions in Redis go, for people. While SQL
// is away, a session without a copy is served only where it is in memory.
type Copies struct {
	Tenants int               // in use on this node
	Whole   int               // of which all live sessions are in Redis, as last seen
	Filling identity.TenantID // whose copies this node makes right now; empty: none
	Filled  int               // how many of them it has made
}

// Copies tells how far the copies go.
func (r *Registry) Copies() Copies {
	tenants, epoch, s := r.cache.Tenants(), r.bus.State().Epoch, r.copies.stock
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Copies{Tenants: len(tenants), Filling: s.filling, Filled: s.filled}
	for _, tenant := range tenants {
		if at, ok := s.whole[tenant]; ok && at.epoch == epoch {
			c.Whole++
		}
	}
	return c
}

func newStock() *stock {
	return &stock{short: make(chan struct{}, 1), whole: map[identity.TenantID]seen{}, missed: map[identity.TenantID]sessions.Place{}}
}

// lacks notes that a part that was whole may not be so any more.
func (s *stock) lacks(tenant identity.TenantID) {
	s.mu.Lock()
	_, was := s.whole[tenant]
	delete(s.whole, tenant)
	s.mu.Unlock()
	if was {
		select {
		case s.short <- struct{}{}:
		default:
		}
	}
}

// misses notes that a session was made of which Redis has no copy.
func (s *stock) misses(made sessions.Session) {
	place := sessions.Place{CreatedAt: made.CreatedAt.Add(-time.Millisecond), ID: made.ID}
	s.mu.Lock()
	if first, ok := s.missed[made.Tenant]; !ok || place.CreatedAt.Before(first.CreatedAt) {
		s.missed[made.Tenant] = place
	}
	s.mu.Unlock()
	s.lacks(made.Tenant)
}

// forget drops what is known of a tenant that is deleted.
func (s *stock) forget(tenant identity.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.whole, tenant)
	delete(s.missed, tenant)
}

// refill makes the copies in Redis anew from SQL wherever they are not whole:
// Redis has lost its data, a new epoch has begun, a tenant has come into use. One
// node does it per tenant; the others take over if it dies. Everything else goes
// on meanwhile.
func (r *Registry) refill(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	trouble := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.copies.stock.short:
		}
		for _, tenant := range r.cache.Tenants() {
			if !r.due(tenant) {
				continue
			}
			switch err := r.refillPart(ctx, tenant); {
			case err == nil:
				trouble = ""
			case ctx.Err() == nil && err.Error() != trouble:
				trouble = err.Error()
				r.log.WarnContext(ctx, "the copies of the sessions in Redis are not whole, and cannot be filled yet", "tenant", tenant, "error", err)
			}
		}
	}
}

// due reports whether a part is to be looked at.
func (r *Registry) due(tenant identity.TenantID) bool {
	if !r.bus.Fresh() {
		return false
	}
	epoch := r.bus.State().Epoch
	s := r.copies.stock
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.whole[tenant]
	return !ok || at.epoch != epoch || r.proof.Now() >= at.at+lookAgain
}

// refillPart fills the part of a tenant, unless it is whole or another does so.
//
// Nothing that has ended comes back by this. Each batch is put in only into the
// part as it was at a rev that was read before SQL was asked for the batch
// (fill.lua). Who ends a session commits that to SQL and then takes its copy out,
// which changes the rev. So if SQL still called it live, its copy is taken out
// later: after the batch is in, or before, and then the batch is refused. The same
// holds if the end could not be told to Redis, if Redis lost its data, a replica
// took over or an epoch began: each of these drops the part, and with it its rev
// (part.lua), before anybody relies on it again. How late a batch comes does not
// matter.
func (r *Registry) refillPart(ctx context.Context, tenant identity.TenantID) error {
	f := filling{Registry: r, tenant: tenant, size: refillBatch, epoch: r.bus.State().Epoch, missed: r.copies.stock.take(tenant)}
	goes, err := f.claim(ctx, false)
	if err != nil && f.missed.ID != "" {
		r.copies.stock.misses(sessions.Session{Tenant: tenant, ID: f.missed.ID, CreatedAt: f.missed.CreatedAt})
	}
	if err != nil || !goes {
		return err
	}
	f.missed = sessions.Place{}
	ctx, cancel := context.WithCancel(ctx)
	defer f.reads.Wait()
	defer cancel()
	began := time.Now()
	r.log.InfoContext(ctx, "fills the copies of a tenant's sessions in Redis from SQL", "tenant", tenant, "epoch", f.epoch, "resumed", f.place != (sessions.Place{}))
	r.copies.stock.begin(tenant)
	defer r.copies.stock.begin("")
	for goes && ctx.Err() == nil {
		more, err := f.batch(ctx)
		if err != nil {
			return err
		}
		if goes, err = f.claim(ctx, !more); err != nil {
			return err
		}
	}
	r.log.InfoContext(ctx, "filled the copies of a tenant's sessions in Redis", "tenant", tenant, "epoch", f.epoch,
		"sessions", f.filled, "refused", f.refused, "whole", f.whole, "took", time.Since(began))
	return ctx.Err()
}

// take gives what is missing, and leaves it to the caller.
func (s *stock) take(tenant identity.TenantID) sessions.Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	missed := s.missed[tenant]
	delete(s.missed, tenant)
	return missed
}

func (s *stock) begin(tenant identity.TenantID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling, s.filled = tenant, 0
}

// filling is one node at the filling of one part.
type filling struct {
	*Registry
	tenant identity.TenantID
	epoch  uint64
	rev    string         // of the part, read before SQL is asked
	place  sessions.Place // up to which the sessions are in
	missed sessions.Place // after which some are not, though the part is whole
	size   int            // of the next batch
	next   *reading       // what SQL has been asked for ahead; nil: nothing
	reads  sync.WaitGroup
	whole  bool

	filled, refused int
}

// claim says that this node goes on, or is done, and reads the rev; false if there
// is nothing left for it to do.
func (f *filling) claim(ctx context.Context, done bool) (bool, error) {
	last := "0"
	if done {
		last = "1"
	}
	answer, err := f.copies.run(ctx, refillScript, f.tenant, f.id, refillHolds.Milliseconds(), formatPlace(f.place), last, formatPlace(f.missed)).StringSlice()
	switch {
	case err != nil:
		return false, fmt.Errorf("shared: claim the copies: %w", err)
	case len(answer) == 1 && answer[0] == "whole":
		f.whole = true
		f.copies.stock.mu.Lock()
		f.copies.stock.whole[f.tenant] = seen{f.epoch, f.proof.Now()}
		f.copies.stock.mu.Unlock()
		return false, nil
	case len(answer) == 1 && answer[0] == "taken":
		return false, nil
	case len(answer) == 3 && answer[0] == "yours":
		f.rev = answer[1]
		// The part may have been lost since, and is filled from its beginning.
		f.place, err = parsePlace(answer[2])
		return err == nil, err
	}
	return false, errAnswer
}

// batch puts the next sessions in; more is false once there are none.
func (f *filling) batch(ctx context.Context) (more bool, err error) {
	read := f.next
	if read == nil || read.rev != f.rev || formatPlace(read.from) != formatPlace(f.place) {
		read = f.read(ctx, f.place)
	}
	f.next = nil
	<-read.done
	if read.err != nil {
		return true, fmt.Errorf("shared: read live sessions: %w", read.err)
	}
	if read.more && f.size == refillBatch {
		f.next = f.read(ctx, read.end)
	}
	lives := slices.DeleteFunc(read.lives, f.withholds)
	if len(lives) > 0 {
		in, err := f.copies.fill(ctx, f.tenant, read.rev, lives...)
		if err != nil {
			return true, fmt.Errorf("shared: fill the copies: %w", err)
		}
		if !in {
			f.refused++
			f.size = max(f.size/2, refillLeast)
			return true, nil
		}
	}
	f.place = read.end
	f.filled += len(read.lives)
	f.size = min(f.size*2, refillBatch)
	f.copies.stock.mu.Lock()
	f.copies.stock.filled = f.filled
	f.copies.stock.mu.Unlock()
	return read.more, nil
}

// reading is a batch that SQL is asked for, after the part had this rev.
type reading struct {
	rev   string
	from  sessions.Place
	done  chan struct{}
	lives []*sessions.Live
	end   sessions.Place
	more  bool
	err   error
}

// read asks SQL for a batch. While Redis takes one in SQL reads the next, which
// counts if the part still has that rev by then.
func (f *filling) read(ctx context.Context, from sessions.Place) *reading {
	r, size := &reading{rev: f.rev, from: from, done: make(chan struct{})}, f.size
	f.reads.Go(func() {
		defer close(r.done)
		ctx, cancel := context.WithTimeout(ctx, refillTime)
		defer cancel()
		r.lives, r.end, r.more, r.err = f.record.After(ctx, f.tenant, from, size)
	})
	return r
}

// A place is written as it is read: by whichever node goes on from there.
func formatPlace(p sessions.Place) string {
	if p.ID == "" {
		return ""
	}
	return strconv.FormatInt(p.CreatedAt.UnixMilli(), 10) + " " + string(p.ID)
}

var errPlace = errors.New("shared: redis: not a place")

func parsePlace(text string) (sessions.Place, error) {
	if text == "" {
		return sessions.Place{}, nil
	}
	at, id, ok := strings.Cut(text, " ")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || id == "" || len(id) > maxPlace {
		return sessions.Place{}, errPlace
	}
	return sessions.Place{CreatedAt: time.UnixMilli(ms).UTC(), ID: identity.SessionID(id)}, nil
}

// maxPlace bounds a session's id.
const maxPlace = 64

// fill puts sessions of a tenant into the part as it was at rev; false if the part
// has changed since.
func (c *copies) fill(ctx context.Context, tenant identity.TenantID, rev string, lives ...*sessions.Live) (bool, error) {
	args := make([]any, 1, 1+2*len(lives))
	args[0] = rev
	for _, live := range lives {
		sealed, err := c.seal(ctx, tenant, live)
		if err != nil {
			return false, err
		}
		hash := live.Hash()
		args = append(args, hash[:], sealed)
	}
	n, err := c.run(ctx, fillScript, tenant, args...).Int()
	return n == 1, err
}

// add makes the copy of a session that is being made. Nobody knows the token yet,
// so the copy may come before the row; it is not needed for the sign-in, and is
// made later if it cannot be made now. A rev goes with it all the same: a step
// that Redis hears late must not bring back what has ended meanwhile.
func (c *copies) add(ctx context.Context, live *sessions.Live, fresh bool) {
	s := live.Session()
	for try := 0; fresh && try < attempts; try++ {
		copied, err := c.get(ctx, s.Tenant, live.Hash())
		if err != nil {
			break
		}
		in, err := c.fill(ctx, s.Tenant, copied.rev, live)
		if in {
			return
		}
		if err != nil {
			break
		}
	}
	c.stock.misses(s)
}
