package shared

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/sessions"
)

// While SQL is away, a revocation is told to the nodes as any other, and kept for
// those who join later ([cluster.Message]). Each node goes by it whatever SQL says, until SQL
// is known to have got it and no copy in Redis can tell otherwise.

const topicWithhold = "sessions.withhold"

// withholding is what the nodes tell each other.
type withholding struct {
	From string             `json:"from"`
	What sessions.Unsettled `json:"what"`
}

// cleanTime is how long whoever wrote a revocation to SQL may take to take the
// copies of its sessions out of Redis. Then they are taken to be there still, and
// the whole part is dropped.
const cleanTime = 10 * time.Second

// maxWithheld bounds them over all tenants: those who join are told of as many
// (package cluster).
const maxWithheld = 4 * sessions.MaxUnsettled

// withheld are the revocations that a node goes by without SQL.
type withheld struct {
	mu  sync.RWMutex
	all map[identity.TenantID]map[string]*withholdingUntil
	n   int
}

// withholdingUntil is one of them, and how far it is on its way out.
type withholdingUntil struct {
	sessions.Unsettled
	settled time.Duration // since when SQL is known to have it, by the proof's clock; 0: it is not
	cleaned bool          // the copies of its sessions are gone
}

var errTooMany = errors.New("shared: too many revocations wait for SQL")

func (w *withheld) add(u sessions.Unsettled) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.all[u.Tenant]
	switch {
	case of[u.ID] != nil:
		return nil
	case len(of) >= sessions.MaxUnsettled, w.n >= maxWithheld:
		return errTooMany
	case of == nil:
		of = map[string]*withholdingUntil{}
		w.all[u.Tenant] = of
	}
	of[u.ID] = &withholdingUntil{Unsettled: u}
	w.n++
	return nil
}

func (w *withheld) drop(u sessions.Unsettled) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.all[u.Tenant]
	if of[u.ID] == nil {
		return
	}
	w.n--
	if delete(of, u.ID); len(of) == 0 {
		delete(w.all, u.Tenant)
	}
}

func (w *withheld) forget(tenant identity.TenantID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n -= len(w.all[tenant])
	delete(w.all, tenant)
}

// covers reports whether a session is over, whatever SQL says.
func (w *withheld) covers(s *sessions.Session) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, u := range w.all[s.Tenant] {
		if u.Selector.Selects(s) {
			return true
		}
	}
	return false
}

// withholds reports whether a session is over here, whatever SQL says. Such a one is
// not copied to Redis either: SQL may be told of its end by a node that dies before
// it has taken the copy out.
func (r *Registry) withholds(live *sessions.Live) bool {
	s := live.Session()
	return r.withheld.covers(&s)
}

// settle notes that SQL has got one.
func (w *withheld) settle(u sessions.Unsettled, at time.Duration, cleaned bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.all[u.Tenant][u.ID]; known != nil {
		known.cleaned = known.cleaned || cleaned
		if known.settled == 0 {
			known.settled = at
		}
	}
}

// list gives those that SQL is known to have, or those that it is not.
func (w *withheld) list(settled bool) (found []withholdingUntil) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, of := range w.all {
		for u := range maps.Values(of) {
			if (u.settled != 0) == settled {
				found = append(found, *u)
			}
		}
	}
	return found
}

// Partial implements [sessions.Registry]: what is not here is looked up, and the
// other nodes have more.
func (r *Registry) Partial() bool { return true }

// Withhold implements [sessions.Registry]: this node, then every other.
func (r *Registry) Withhold(ctx context.Context, u sessions.Unsettled) error {
	body, err := json.Marshal(withholding{From: r.id, What: u})
	if err != nil {
		return err
	}
	if err := r.withhold(u); err != nil {
		return err
	}
	_, err = r.bus.Publish(ctx, cluster.Message{Topic: topicWithhold, Tenant: u.Tenant, Body: body, Keep: u.ID})
	return err
}

// withhold has this node go by a revocation.
func (r *Registry) withhold(u sessions.Unsettled) error {
	if err := r.withheld.add(u); err != nil {
		return err
	}
	r.ledger.ended(u.Tenant, u.Selector) // what is looked up now is not held
	return nil
}

// hearWithheld has this node go by what another withholds.
func (r *Registry) hearWithheld(_ context.Context, m cluster.Message) func(context.Context) ([]byte, error) {
	var w withholding
	err := json.Unmarshal(m.Body, &w)
	switch {
	case err == nil && w.From == r.id:
		return nil
	case err == nil && w.What.Tenant != m.Tenant:
		err = errAnswer
	case err == nil:
		err = r.withhold(w.What)
	}
	if err == nil {
		return nil
	}
	return func(context.Context) ([]byte, error) { return nil, err }
}

// Withheld implements [sessions.Registry].
func (r *Registry) Withheld() (all []sessions.Unsettled) {
	for _, u := range r.withheld.list(false) {
		all = append(all, u.Unsettled)
	}
	return all
}

// Settled implements [sessions.Registry].
func (r *Registry) Settled(u sessions.Unsettled, ended bool) {
	r.withheld.settle(u, r.proof.Now(), ended)
}

// release forgets what SQL has got, once no copy of its sessions is left in Redis:
// whoever ended them there has taken the copies out, or they go with the part.
func (r *Registry) release(ctx context.Context) {
	for _, u := range r.withheld.list(true) {
		done := u.cleaned
		if !done {
			kept, err := r.bus.Kept(ctx, u.ID)
			switch {
			case err != nil:
				return // while Redis is away the copies are not asked for
			case !kept:
				r.withheld.drop(u.Unsettled)
				continue
			case r.proof.Now()-u.settled < cleanTime:
				continue
			}
			r.copies.distrust(u.Tenant)
			_, err = r.copies.get(ctx, u.Tenant, sessions.TokenHash{}) // drops the part
			done = err == nil
		}
		if done && r.bus.Unkeep(ctx, u.ID) == nil {
			r.withheld.drop(u.Unsettled)
		}
	}
}
