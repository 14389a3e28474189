package signals

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
	"gatehouse/tenants"
)

const (
	// defaultLease is after how long of silence another node takes over.
	defaultLease = 20 * time.Second
	// defaultPause is the time between polls that bring nothing, where the
	// transmitter does not make us wait by itself.
	defaultPause = 5 * time.Second
	// longestPause bounds for how long a transmitter that fails is left alone.
	longestPause = 5 * time.Minute
	// tenantsALook is how many tenants are looked at for what there is to poll, at
	// each look.
	tenantsALook = 16
	// maxPolls bounds how many connections one node polls in turn.
	maxPolls = 2000
	// pollsPerSecond and pollBurst bound how often one transmitter is asked, however
	// much it says that it has.
	pollsPerSecond = 2
	pollBurst      = 10
	// releaseTime bounds giving a place up.
	releaseTime = 2 * time.Second
)

// Receiver does what tokens say ([authn.Service]).
type Receiver interface {
	Heed(ctx context.Context, tenant identity.TenantID, c tenants.Connection, d authn.Delivery, token string) error
	RefuseSignal(ctx context.Context, tenant identity.TenantID, c tenants.Connection, refusal *authn.Refusal) error
}

// Tenants tells which connections there are.
type Tenants interface {
	List() []*tenants.Tenant
	ByID(id identity.TenantID) (*tenants.Tenant, bool)
	Connections(ctx context.Context, tenant identity.TenantID) ([]tenants.Connection, error)
	ConnectionByID(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) (tenants.Connection, error)
}

// PollerConfig names what a [Poller] works with. All parts are required, save
// those that say otherwise.
type PollerConfig struct {
	Receiver Receiver
	Tenants  Tenants
	Store    authn.Stores
	// Client talks to transmitters. It must be the guarded one, of some patience.
	Client *http.Client
	Log    *slog.Logger
	// Lease is after how long of silence another node takes over, and Pause the time
	// between polls that bring nothing; 0 means the defaults.
	Lease, Pause time.Duration
}

// Poller fetches security events where they are not pushed (RFC 8936), for every
// tenant, each connection by one node at a time.
type Poller struct {
	PollerConfig

	leases leases
	slots  *slots
	work   sync.WaitGroup
	next   int             // of the tenants, at the next look
	ended  chan place      // polls that are over
	polls  map[place]*poll // under way; of look alone
}

// poll is the polling of one connection, by one version of it.
type poll struct {
	place
	connection tenants.Connection
	stop       context.CancelFunc
	pace       *rate.Limiter

	ack      []string // what is to be told at the next poll
	errs     map[string]authn.SETError
	failures int  // in a row
	hasty    bool // the last one was answered by nothing for too long
	few      bool // the last answer was too large
}

// NewPoller makes a poller; [Poller.Run] polls.
func NewPoller(c PollerConfig) *Poller {
	c.Lease, c.Pause = cmp.Or(c.Lease, defaultLease), cmp.Or(c.Pause, defaultPause)
	return &Poller{PollerConfig: c, slots: newSlots(), ended: make(chan place), polls: map[place]*poll{},
		leases: leases{stores: c.Store, holder: rand.Text(), life: c.Lease, seen: map[place]sighting{}}}
}

// Run polls until ctx ends, and waits for what is under way.
func (p *Poller) Run(ctx context.Context) error {
	tick := time.NewTicker(p.Lease / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			go func() { p.work.Wait(); close(p.ended) }()
			for over := range p.ended {
				delete(p.polls, over)
			}
			return nil
		case over := <-p.ended:
			delete(p.polls, over)
		case <-tick.C:
			p.look(ctx)
		}
	}
}

// look stops what is not to be polled any more, and begins what is to be.
func (p *Poller) look(ctx context.Context) {
	for _, under := range p.polls {
		if !p.stands(ctx, under) {
			under.stop()
		}
	}
	all := p.Tenants.List()
	for range min(tenantsALook, len(all)) {
		p.next = (p.next + 1) % len(all)
		if all[p.next].Status == tenants.Active {
			p.lookAt(ctx, all[p.next].ID)
		}
	}
	p.leases.keepSeen(func(at place) bool { _, ok := p.Tenants.ByID(at.tenant); return ok })
}

// lookAt begins what there is of one tenant. Without the store nothing is begun,
// which is noticed elsewhere.
func (p *Poller) lookAt(ctx context.Context, tenant identity.TenantID) {
	asking, cancel := context.WithTimeout(ctx, p.Lease/4)
	defer cancel()
	all, err := p.Tenants.Connections(asking, tenant)
	if err != nil {
		p.Log.DebugContext(ctx, "what there is to poll is not known", "tenant", tenant, "error", err)
		return
	}
	wanted := map[place]bool{}
	defer p.leases.keepSeen(func(at place) bool { return at.tenant != tenant || wanted[at] })
	for _, c := range all {
		at := place{tenant, c.ID}
		if wanted[at] = polled(c); !wanted[at] || p.polls[at] != nil {
			continue
		}
		if len(p.polls) >= maxPolls {
			p.Log.WarnContext(ctx, "a connection is not polled: this node polls too many already", "tenant", tenant, "connection", c.Name)
			return
		}
		mine, err := p.leases.claim(asking, at)
		if err != nil {
			p.Log.DebugContext(ctx, "a connection is not polled: its lease cannot be had", "tenant", tenant, "connection", c.Name, "error", err)
			return
		}
		if mine {
			p.begin(ctx, at, c)
		}
	}
}

func polled(c tenants.Connection) bool { return c.Enabled && c.Signals != nil && c.Signals.Poll != nil }

// stands reports whether a connection is still what it was when its polling began.
func (p *Poller) stands(ctx context.Context, under *poll) bool {
	if t, ok := p.Tenants.ByID(under.tenant); !ok || t.Status != tenants.Active {
		return false
	}
	now, err := p.Tenants.ConnectionByID(ctx, under.tenant, under.place.connection)
	return err == nil && now.Version == under.connection.Version && polled(now)
}

func (p *Poller) begin(ctx context.Context, at place, c tenants.Connection) {
	ctx, stop := context.WithCancel(httpkit.OnBehalf(ctx, at.tenant))
	under := &poll{place: at, connection: c, stop: stop, pace: rate.NewLimiter(pollsPerSecond, pollBurst)}
	p.polls[at] = under
	p.work.Go(func() {
		defer func() { p.ended <- at }()
		defer stop()
		p.keep(ctx, under)
		p.release(ctx, at)
	})
}

func (p *Poller) release(ctx context.Context, at place) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := p.leases.release(ctx, at); err != nil { // it runs out
		p.Log.DebugContext(ctx, "a lease was not given up", "tenant", at.tenant, "error", err)
	}
}

// keep polls one connection for as long as its lease can be kept.
func (p *Poller) keep(ctx context.Context, under *poll) {
	var beating sync.WaitGroup
	defer beating.Wait()
	defer under.stop()
	beating.Go(func() {
		tick := time.NewTicker(p.Lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if !p.renew(ctx, under) {
					under.stop()
				}
			}
		}
	})
	for under.pace.Wait(ctx) == nil && p.renew(ctx, under) {
		pause, ok := p.contained(ctx, under)
		if !ok {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (p *Poller) renew(ctx context.Context, under *poll) bool {
	ctx, cancel := context.WithTimeout(ctx, p.Lease/4)
	defer cancel()
	mine, err := p.leases.renew(ctx, under.place)
	if err != nil && !errors.Is(err, context.Canceled) {
		p.Log.WarnContext(ctx, "a connection is polled no more: its lease cannot be kept", "tenant", under.tenant, "connection", under.connection.Name, "error", err)
	}
	return mine
}

// turn polls once and has done what the tokens say; not ok if this is to end. It
// gives the time until the next one.
func (p *Poller) turn(ctx context.Context, under *poll) (pause time.Duration, ok bool) {
	crowded, ok := p.slots.take(ctx, under.tenant)
	if !ok {
		return 0, false
	}
	r := request{MaxEvents: maxEvents, ReturnImmediately: crowded || under.hasty, Ack: under.ack, SetErrs: under.errs}
	if under.few {
		r.MaxEvents = 1
	}
	began := time.Now()
	a, err := p.ask(ctx, under, r)
	if ctx.Err() != nil || !p.stands(ctx, under) {
		return 0, false // what came is not acknowledged, and comes again
	}
	if err != nil {
		return p.fail(ctx, under, r, err), true
	}
	under.ack, under.errs, under.failures, under.hasty, under.few = nil, nil, 0, false, false
	switch later := p.heed(ctx, under, a.sets); {
	case later:
		return jitter(p.Pause), true
	case len(a.sets) > 0 || a.more:
		return 0, true // the transmitter waits to hear what became of them
	}
	return jitter(max(0, p.Pause-time.Since(began))), true
}

// ask polls once, in a slot that was taken.
func (p *Poller) ask(ctx context.Context, under *poll, r request) (answer, error) {
	defer p.slots.free(under.tenant)
	return ask(ctx, p.Client, *under.connection.Signals.Poll, r)
}

// contained is [Poller.turn] that does not end the gateway: what strangers wrote comes
// again, after a long pause, should reading it panic.
func (p *Poller) contained(ctx context.Context, under *poll) (pause time.Duration, ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			p.Log.ErrorContext(ctx, "a poll panicked", "tenant", under.tenant, "connection", under.connection.Name, "panic", cause, "stack", string(debug.Stack()))
			pause, ok = longestPause, true
		}
	}()
	return p.turn(ctx, under)
}

// fail notes that a poll was not answered, and gives the time until the next one.
func (p *Poller) fail(ctx context.Context, under *poll, r request, err error) time.Duration {
	if slow, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && slow.Timeout() && !r.ReturnImmediately {
		// There may have been nothing for longer than we wait. An answer that need not
		// be waited for tells.
		under.hasty = true
		return 0
	}
	under.few = errors.Is(err, httpkit.ErrEgressTooLarge)
	if under.failures++; under.failures == 1 {
		if err := p.Receiver.RefuseSignal(ctx, under.tenant, under.connection, unanswered(err)); err != nil {
			p.Log.WarnContext(ctx, "a poll that failed is not in the journal", "tenant", under.tenant, "error", err)
		}
	}
	pause := min(longestPause, p.Pause<<min(under.failures-1, 10))
	if refused, ok := errors.AsType[*refusedPoll](err); ok {
		pause = max(pause, refused.retryAfter)
	}
	return jitter(pause)
}

// jitter spreads a pause, so that not all ask again at once.
func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(mathrand.Int64N(int64(d)+1)) // #nosec G404 -- nobody gains by guessing it
}

// heed does what tokens say, and notes what the transmitter is to be told of
// each. later: some could not be heeded for want of something here; they are told
// nothing of, and come again.
func (p *Poller) heed(ctx context.Context, under *poll, sets map[string]string) (later bool) {
	under.errs = map[string]authn.SETError{}
	for _, id := range slices.Sorted(maps.Keys(sets)) {
		err := p.heedOne(ctx, under, id, sets[id])
		refusal, refused := errors.AsType[*authn.Refusal](err)
		switch {
		case err == nil:
			under.ack = append(under.ack, id)
		case refused && refusal.Reason != authn.ProviderUnreachable:
			under.errs[id] = refusal.SETError()
		default:
			p.Log.WarnContext(ctx, "a security event is not heeded yet", "tenant", under.tenant, "connection", under.connection.Name, "error", err)
			later = true
		}
	}
	return later
}

// heedOne does what one token says. What panics over it is not the end of those behind
// it: a token that cannot be read is refused already, so that this one may be good, and
// comes again.
func (p *Poller) heedOne(ctx context.Context, under *poll, id, token string) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			p.Log.ErrorContext(ctx, "heeding a security event panicked", "tenant", under.tenant, "connection", under.connection.Name, "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("signals: panic: %v", cause)
		}
	}()
	return p.Receiver.Heed(ctx, under.tenant, under.connection, authn.Delivery{Cause: audit.Cause{Actor: audit.ActorOf(nil)}, ID: id}, token)
}
