package shared

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/sessions"
)

const (
	// watchEvery is how long a stream may stay open after nobody can say any more
	// whether its session lives; nothing passes it meanwhile ([sessions.Live.Current]).
	watchEvery = cluster.Lease / 8
	// proveTime bounds one question for open streams.
	proveTime = cluster.Lease / 4
)

// keep does something again and again.
func (r *Registry) keep(ctx context.Context, do func(context.Context)) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do(ctx)
		}
	}
}

// verify makes sure of all that is here, because ends may have been missed, or
// never been told of by a node that died. A sign-in whose row is being written
// meanwhile fails, and is to be repeated.
func (r *Registry) verify(ctx context.Context) error {
	r.ledger.missed() // first: what is looked up now is not held
	for _, tenant := range r.cache.Tenants() {
		all := slices.Collect(r.cache.All(tenant))
		for batch := range slices.Chunk(all, sessions.MaxAsked) {
			over, err := r.confront(ctx, tenant, batch, func(*sessions.Live) {})
			if err != nil {
				return fmt.Errorf("shared: verify the sessions of %s: %w", tenant, err)
			}
			if len(over) > 0 {
				r.takeOut(ctx, tenant, hashesOf(over)...)
			}
		}
	}
	return nil
}

// confront asks SQL for sessions of a tenant and ends here what is over, which it
// gives.
func (r *Registry) confront(ctx context.Context, tenant identity.TenantID, batch []*sessions.Live, lives func(*sessions.Live)) (over []*sessions.Live, err error) {
	known, err := r.record.Which(ctx, tenant, hashesOf(batch))
	if err != nil {
		return nil, err
	}
	for _, live := range batch {
		if s := live.Session(); known[live.Hash()] && !r.withheld.covers(&s) {
			lives(live)
		} else {
			over = append(over, live)
		}
	}
	if len(over) > 0 {
		r.cache.Shut(ctx, tenant, over, ReasonGone)()
	}
	return over, nil
}

func hashesOf(lives []*sessions.Live) []sessions.TokenHash {
	hashes := make([]sessions.TokenHash, len(lives))
	for i, live := range lives {
		hashes[i] = live.Hash()
	}
	return hashes
}

// proveStreams asks SQL, while this node lives by it, for the sessions with
// something open, before the last answer has run out.
func (r *Registry) proveStreams(ctx context.Context) {
	if !r.bus.Apart() {
		return
	}
	due := r.proof.Now() + cluster.Lease/2
	for _, tenant := range r.cache.Tenants() {
		var open []*sessions.Live
		for live := range r.cache.Active(tenant) {
			if live.Open() > 0 && live.Proven() < due {
				open = append(open, live)
			}
		}
		for batch := range slices.Chunk(open, sessions.MaxAsked) {
			sent := r.proof.Now()
			if !r.bus.Apart() {
				return
			}
			ctx, cancel := context.WithTimeout(ctx, proveTime)
			_, err := r.confront(ctx, tenant, batch, func(live *sessions.Live) { live.Prove(sent + cluster.Lease) })
			cancel()
			if err != nil {
				r.log.WarnContext(ctx, "open streams could not be made sure of", "tenant", tenant, "error", err)
				return
			}
		}
	}
}

// cutStreams closes what sessions have open that nobody can make sure of. They
// are not over: who comes again is looked up.
func (r *Registry) cutStreams(ctx context.Context) {
	if r.bus.Fresh() {
		return
	}
	for _, tenant := range r.cache.Tenants() {
		var lost []*sessions.Live
		for live := range r.cache.Active(tenant) {
			if live.Open() > 0 && !live.Current() {
				lost = append(lost, live)
			}
		}
		if len(lost) > 0 {
			r.log.WarnContext(ctx, "closed what is open in sessions that nobody can make sure of", "tenant", tenant, "sessions", len(lost))
			r.cache.Shut(ctx, tenant, lost, ReasonUnproven)()
		}
	}
}
