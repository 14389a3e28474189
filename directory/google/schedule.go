package google

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

const (
	// lookEvery is how often some tenants are looked at, at most so many, for one whose
	// account is to be read.
	lookEvery = time.Second
	looks     = 16
	// longestRun bounds one reading: what it has not come to, the next one does.
	longestRun = 6 * time.Hour
	// lookTime bounds one look.
	lookTime = 5 * time.Second
	// failingAfter is how long none may have ended well before an admin is told.
	failingAfter = time.Hour
)

// sightings are of readings by others. Nothing rests on anybody's time of day: a holder
// is gone whose beats have stood still for a lease by our own clock.
type sightings struct {
	mu sync.Mutex
	of map[identity.TenantID]sighting
}

type sighting struct {
	beat
	since time.Time
}

// silent reports whether a beat has been the last for so long.
func (s *sightings) silent(tenant identity.TenantID, b beat, lease time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.holder == "" {
		delete(s.of, tenant)
		return true
	}
	last, ok := s.of[tenant]
	if !ok || last.beat != b {
		s.of[tenant] = sighting{b, time.Now()}
		return false
	}
	return time.Since(last.since) >= lease
}

// Run reads what is due until ctx ends, and waits for what is under way.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	places := newPlaces(together, s.Lease)
	begin := func(tenant identity.TenantID) {
		if !places.enter(tenant) {
			return // with a later look
		}
		work.Go(func() {
			defer places.leave(tenant)
			p := &place{of: places}
			defer p.give()
			if p.take(ctx) != nil {
				return
			}
			if _, err := s.turn(ctx, tenant, p); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "an account is not read", "tenant", tenant, "error", err)
			}
		})
	}
	for next := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case tenant := <-s.asked:
			begin(tenant)
		case <-tick.C:
			all := s.Tenants()
			for range min(looks, len(all)) {
				next = (next + 1) % len(all)
				if due, err := s.due(ctx, all[next]); err == nil && due {
					begin(all[next])
				}
			}
		}
	}
}

// due reports whether an account is to be read now, by nobody else.
func (s *Service) due(ctx context.Context, tenant identity.TenantID) (due bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	err = s.Store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		r, err := load(ctx, tx)
		if err != nil {
			return err
		}
		s.note(tenant, &r)
		due = s.may(tenant, &r)
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		s.note(tenant, nil)
	}
	return due, err
}

// may reports whether an account is to be read by whoever asks.
func (s *Service) may(tenant identity.TenantID, r *record) bool {
	return s.Serves(tenant) && !r.spec.Paused && !r.due.After(s.now()) && s.seen.silent(tenant, r.beat, s.Lease)
}

// Turn reads the account of a tenant to its end, if it is due and nobody else reads it.
// The outcome is nil if it was not.
func (s *Service) Turn(ctx context.Context, tenant identity.TenantID) (*SyncOutcome, error) {
	return s.turn(ctx, tenant, nil)
}

func (s *Service) turn(ctx context.Context, tenant identity.TenantID, p *place) (*SyncOutcome, error) {
	due, err := s.due(ctx, tenant)
	if fault.Is(err, fault.NotFound) || err == nil && !due {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := s.claim(ctx, tenant)
	if r == nil || err != nil {
		return nil, err
	}
	r.place = p
	return r.end(ctx, r.whole(ctx))
}

// claim begins a reading; nil if somebody else has.
func (s *Service) claim(ctx context.Context, tenant identity.TenantID) (*run, error) {
	var now record
	holder, mine := rand.Text(), false
	err := s.Store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		before, err := load(ctx, tx)
		if err != nil {
			return err
		}
		if !s.may(tenant, &before) {
			return nil
		}
		now, mine = before, true
		now.holder, now.run = holder, before.run+1
		_, err = tx.Exec(ctx, `UPDATE google_sync SET holder = $1, run = $2, beats = beats + 1 WHERE id = 1`, holder, now.run)
		return err
	})
	if err != nil || !mine {
		return nil, err
	}
	return &run{service: s, tenant: tenant, record: now, caller: caller(tenant), began: s.now()}, nil
}

// whole reads everything, while the lease is kept.
func (r *run) whole(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(httpkit.OnBehalf(ctx, r.tenant), longestRun)
	defer cancel()
	var beating sync.WaitGroup
	defer beating.Wait()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer r.service.under.begin(r.tenant, stop)()
	beating.Go(func() {
		tick := time.NewTicker(r.service.Lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := r.write(ctx, func(*store.Tx) error { return nil }); errors.Is(err, errLost) || errors.Is(err, errNotServed) {
					stop(err)
				}
			}
		}
	})
	defer func() { // what strangers wrote must not end the gateway
		if cause := recover(); cause != nil {
			r.service.Log.ErrorContext(ctx, "reading an account panicked", "tenant", r.tenant, "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("google: panic: %v", cause)
		}
		if cause := context.Cause(ctx); errors.Is(cause, errLost) || errors.Is(cause, errNotServed) {
			err = cause
		}
	}()
	return r.read(ctx)
}

// errLost ends a reading that is not ours any more: the settings were changed, or another
// node has taken over.
var errLost = errors.New("google: the reading has ended")

// errNotServed ends a reading whose tenant is served no more: it was suspended, or is
// being deleted.
var errNotServed = errors.New("google: the tenant is not served")

// served refuses what is not to go on for a tenant that is not served.
func (r *run) served() error {
	if !r.service.Serves(r.tenant) {
		return errNotServed
	}
	return nil
}

// holds gives errLost unless this reading is still the one that may.
func (r *run) holds(ctx context.Context) error {
	return r.service.Store.Tenant(r.tenant).Read(ctx, func(tx *store.Tx) error { return r.fence(ctx, tx) })
}

// fence is [run.holds] for what is done in the same transaction, which is what says so
// for certain: a node can stand still anywhere.
func (r *run) fence(ctx context.Context, tx *store.Tx) error {
	holder, err := store.One(ctx, tx, store.Scalar[string], `SELECT holder FROM google_sync WHERE id = 1`)
	if errors.Is(err, store.ErrNoRows) || err == nil && holder != r.holder {
		return fault.Wrap(errLost, fault.Unavailable, "reading-overtaken", "Another reading of the account has begun, or its settings were changed: this one writes nothing any more.")
	}
	return err
}

// write writes as long as this reading is the one that may.
func (r *run) write(ctx context.Context, fn func(*store.Tx) error) error {
	if err := r.served(); err != nil {
		return err
	}
	return r.keep(ctx, fn)
}

// keep is write for how the reading itself stands, which concerns nobody else.
func (r *run) keep(ctx context.Context, fn func(*store.Tx) error) error {
	return r.service.Store.Tenant(r.tenant).Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE google_sync SET beats = beats + 1 WHERE id = 1 AND holder = $1`, r.holder)
		if err != nil {
			return err
		}
		if n == 0 {
			return errLost
		}
		return fn(tx)
	})
}

// note takes down whether a tenant's account cannot be read.
func (s *Service) note(tenant identity.TenantID, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == nil || r.spec.Paused || r.outcome == nil || r.outcome.Failing == nil {
		delete(s.failing, tenant)
		return
	}
	s.failing[tenant] = r.outcome
}

// Failing gives the tenants whose account could not be read for more than an hour, with a
// sentence why, as far as this node knows. It waits for nothing.
func (s *Service) Failing() map[identity.TenantID]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[identity.TenantID]string{}
	for tenant, o := range s.failing {
		if s.now().Sub(*o.Failing) >= failingAfter {
			all[tenant] = o.Message
		}
	}
	return all
}

// Forget drops what is known of a tenant that was deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	s.note(tenant, nil)
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	delete(s.seen.of, tenant)
}
