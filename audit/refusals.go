package audit

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"gatehouse/identity"
)

const (
	// refusalWindow is how long alike refusals are taken together.
	refusalWindow = time.Minute
	// refusalsEach is how many of a window are recorded one by one.
	refusalsEach = 10
	// refusalKeys bounds the kinds that are told apart at once; what is beyond
	// is taken together per tenant.
	refusalKeys = 8192
	// refusalBudget is how many a minute are recorded one by one in all.
	refusalBudget = 600
)

// Refusals records refusals, and takes floods of anonymous ones together, so
// that nobody fills the disk from outside. Alike are those of one tenant, type,
// reason and client network (/24, /64). Of these, in a minute that begins with
// the first,
//
//   - the first 10 have a record each;
//   - the 11th has one too, which says that it stands for those that follow
//     until the minute ends (detail "until"); they are given its receipt, so
//     the id that their callers read is that of a record which exists before
//     they are refused (P1);
//   - at the minute's end one record tells how many followed (Count), naming
//     the 11th's (detail "since"). If the process is killed before, this number
//     is lost, and no record.
//
// Of all tenants and kinds together, 600 a minute have a record each; beyond
// that they are counted at once, and those of kinds that are new are taken
// together per tenant. So what strangers can write is bounded, however many
// networks they come from.
//
// So are those of callers who are known and ask too often (reason [RateLimited]), by the
// caller as well. Everything else is recorded as it is.
type Refusals struct {
	j      *Journal
	budget *rate.Limiter // of records one by one

	mu   sync.Mutex
	kept map[refusalKey]*refusal
}

// RateLimited is the reason of a refusal that is only for asking too often.
const RateLimited = "rate-limited"

type refusalKey struct {
	tenant  identity.TenantID
	kind    Type
	reason  string
	actor   string       // the id of one who is known
	network netip.Prefix // of the overflow: none
}

// refusal is one key's window.
type refusal struct {
	until  time.Time
	closed atomic.Bool // nothing is counted any more

	mu      sync.Mutex
	first   Event   // what the closing record resembles
	single  int     // recorded one by one
	opening Receipt // of the 11th record; valid once it is written
	counted int64   // those behind it
}

// NewRefusals records into a journal; [Refusals.Run] closes the windows.
func NewRefusals(j *Journal) *Refusals {
	return &Refusals{j: j, budget: rate.NewLimiter(rate.Every(refusalWindow/refusalBudget), refusalBudget), kept: make(map[refusalKey]*refusal)}
}

// Record records one refusal, or counts it. Errors are those of
// [Journal.Write].
func (r *Refusals) Record(ctx context.Context, e Event) (Receipt, error) {
	if e.Actor.Kind != identity.KindAnonymous && e.Reason != RateLimited {
		return r.write(ctx, e)
	}
	w := r.window(&e)
	w.mu.Lock()
	for w.closed.Load() { // between finding and locking it
		w.mu.Unlock()
		w = r.window(&e)
		w.mu.Lock()
	}
	if w.single < refusalsEach && r.budget.Allow() {
		w.single++
		w.mu.Unlock()
		return r.write(ctx, e)
	}
	// Those that come while the 11th is written wait here for its receipt.
	defer w.mu.Unlock()
	if w.opening.Valid() {
		w.counted++
		receipt := w.opening
		receipt.request = e.RequestID
		return receipt, nil
	}
	details := map[string]string{"aggregated": "first", "until": w.until.UTC().Format(time.RFC3339)}
	maps.Copy(details, e.Details)
	delete(details, "subject") // whoever follows is somebody else, and shown this record
	delete(details, "email")
	e.Details = details
	receipt, err := r.write(ctx, e)
	w.opening = receipt // stays invalid after an error, so that the next one tries
	return receipt, err
}

// write makes durable what the vocabulary wants durable.
func (r *Refusals) write(ctx context.Context, e Event) (Receipt, error) {
	if isAccess(e.Type) || e.Type == RequestRefused {
		return r.j.Write(ctx, &e)
	}
	return r.j.Commit(ctx, e)
}

// window finds the window that a refusal falls into, or begins it.
func (r *Refusals) window(e *Event) *refusal {
	key := refusalKey{tenant: e.Tenant, kind: e.Type, reason: e.Reason, actor: e.Actor.ID, network: networkOf(e.IP)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.kept[key]; w != nil && !w.closed.Load() {
		return w
	}
	first := Event{Tenant: e.Tenant, Type: e.Type, Outcome: e.Outcome, Reason: e.Reason, Message: e.Message,
		Actor: e.Actor, Host: e.Host, IP: key.network.Addr()}
	if len(r.kept) >= refusalKeys || r.budget.Tokens() < 1 {
		key = refusalKey{tenant: e.Tenant}
		if w := r.kept[key]; w != nil && !w.closed.Load() {
			return w
		}
		first = Event{Tenant: e.Tenant, Type: RequestRefused, Outcome: Refused, Reason: "flood", Actor: e.Actor,
			Message: "Refusals of many kinds or from many networks at once."}
	}
	w := &refusal{until: time.Now().Add(refusalWindow), first: first}
	r.kept[key] = w
	return w
}

func networkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 24
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // of no address: no network
	return network
}

// Run closes windows as they end, until ctx is done; then it closes them all.
func (r *Refusals) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.close(context.WithoutCancel(ctx), func(*refusal) bool { return true })
			return nil
		case now := <-tick.C:
			r.close(ctx, func(w *refusal) bool { return !now.Before(w.until) })
		}
	}
}

// close writes what the windows that are over came to. One whose count cannot
// be written stays, and goes on counting, until the next round.
func (r *Refusals) close(ctx context.Context, over func(*refusal) bool) {
	r.mu.Lock()
	ended := make(map[refusalKey]*refusal)
	for key, w := range r.kept {
		if over(w) {
			ended[key] = w
		}
	}
	r.mu.Unlock()
	for key, w := range ended {
		if err := r.total(ctx, w); err != nil {
			continue // the journal has logged why
		}
		r.mu.Lock()
		if r.kept[key] == w {
			delete(r.kept, key)
		}
		r.mu.Unlock()
	}
}

// Forget drops what is counted of a tenant that is deleted, whose journal nobody
// can write any more.
func (r *Refusals) Forget(tenant identity.TenantID) {
	r.mu.Lock()
	var forgotten []*refusal
	for key, w := range r.kept {
		if key.tenant == tenant {
			forgotten = append(forgotten, w)
			delete(r.kept, key)
		}
	}
	r.mu.Unlock()
	for _, w := range forgotten {
		w.mu.Lock() // waits for one that is just being written
		w.counted = 0
		w.closed.Store(true)
		w.mu.Unlock()
	}
	r.j.forget(tenant) // writing one may have opened it again
}

// total closes one window.
func (r *Refusals) total(ctx context.Context, w *refusal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counted > 0 {
		e := w.first
		e.Count = w.counted
		e.Details = map[string]string{"aggregated": "total", "since": string(w.opening.Event()), "until": w.until.UTC().Format(time.RFC3339)}
		if _, err := r.j.Write(ctx, &e); err != nil {
			return err
		}
	}
	w.closed.Store(true)
	return nil
}
