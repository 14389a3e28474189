package webhooks

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/throttle"
)

// Feed keeps the webhooks, and what is to be sent to them ([feed.Service]).
type Feed interface {
	Pending(ctx context.Context, tenant identity.TenantID) (all []feed.Pending, some bool, err error)
	Claim(ctx context.Context, tenant identity.TenantID, id, holder string) (*feed.Message, error)
	Taken(ctx context.Context, tenant identity.TenantID, m *feed.Message, a feed.Attempt) (mine bool, err error)
	Failed(ctx context.Context, tenant identity.TenantID, m *feed.Message, a feed.Attempt) error
	Release(ctx context.Context, tenant identity.TenantID, id, holder string) error
	Trial(ctx context.Context, tenant identity.TenantID, name string) (*feed.Message, error)
}

// Throttle counts how often something is done ([throttle.Throttle]).
type Throttle interface {
	Allow(ctx context.Context, key string, limit throttle.Limit) (ok bool, retryAfter time.Duration)
}

// Config is what is worked with.
type Config struct {
	Feed Feed
	// Client must be the guarded one.
	Client   *http.Client
	Throttle Throttle // of tests
	// Tenants are all that are served, and Serves tells whether one is: nothing is sent of
	// one that is suspended, or about to be deleted.
	Tenants func() []identity.TenantID
	Serves  func(identity.TenantID) bool
	Log     *slog.Logger
	Now     func() time.Time // nil: [time.Now]
}

const (
	// lookEvery is how often every tenant is looked at, for what another node has left.
	lookEvery = 10 * time.Minute
	// gather is how long is waited after a change for those that follow it at once, and
	// gatherIdle the same for a tenant that had no webhook when it was last looked at.
	gather, gatherIdle = 50 * time.Millisecond, 5 * time.Second
	// lookAgain is when a tenant is looked at again whose store did not answer.
	lookAgain = 5 * time.Second
	// maxLooks is how many tenants are looked at at a time.
	maxLooks = 4
	// maxTurn and turnTime are how many messages a webhook is sent, and for how long
	// another one is begun, before it waits for its turn again.
	maxTurn, turnTime = 20, 3 * time.Second
	// cutEvery is how often it is looked whether a tenant to which something is on its way
	// is served still.
	cutEvery = time.Second
	// storeTime bounds what is asked of the store.
	storeTime = 10 * time.Second
)

// Service sends to the webhooks of every tenant while [Service.Run] runs.
type Service struct {
	feed     Feed
	client   *http.Client
	throttle Throttle
	tenants  func() []identity.TenantID
	serves   func(identity.TenantID) bool
	log      *slog.Logger
	now      func() time.Time
	holder   string // this process

	notify chan struct{} // something was put into woken

	mu    sync.Mutex
	woken map[identity.TenantID]bool // with true: its webhooks have changed
}

// New makes the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{feed: c.Feed, client: client(c.Client), throttle: c.Throttle, tenants: c.Tenants, serves: c.Serves, log: c.Log, now: c.Now, holder: rand.Text(),
		notify: make(chan struct{}, 1), woken: map[identity.TenantID]bool{}}
}

// Wake says that a tenant's directory has changed, or its webhooks. It waits for nothing.
func (s *Service) Wake(tenant identity.TenantID, webhooks bool) {
	s.mu.Lock()
	s.woken[tenant] = s.woken[tenant] || webhooks
	s.mu.Unlock()
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

func (s *Service) takeWoken() map[identity.TenantID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	woken := s.woken
	s.woken = map[identity.TenantID]bool{}
	return woken
}

// place is one webhook of one tenant.
type place struct {
	tenant identity.TenantID
	id     string
}

// sent says that a webhook has had its turn, and whether it was slow to answer.
type sent struct {
	place
	slow bool
}

// looked is what a look at a tenant has found.
type looked struct {
	tenant  identity.TenantID
	pending []feed.Pending
	some    bool
	err     error
}

// round is what [Service.Run] keeps: it alone reads and writes it.
type round struct {
	*Service
	work    sync.WaitGroup
	looks   chan looked
	sent    chan sent
	looking map[identity.TenantID]bool
	sending map[place]context.CancelFunc
	lanes   *lanes
	some    map[identity.TenantID]bool      // who had a webhook when it was last looked at
	due     map[identity.TenantID]time.Time // when a tenant is to be looked at
}

// Run sends until ctx ends, and waits for what is under way.
func (s *Service) Run(ctx context.Context) error {
	r := &round{Service: s, looks: make(chan looked), sent: make(chan sent), looking: map[identity.TenantID]bool{}, sending: map[place]context.CancelFunc{},
		lanes: newLanes(), some: map[identity.TenantID]bool{}, due: map[identity.TenantID]time.Time{}}
	all := time.NewTicker(lookEvery)
	defer all.Stop()
	soon := time.NewTimer(0)
	defer soon.Stop()
	r.everybody()
	for {
		soon.Reset(r.begin(ctx))
		select {
		case <-ctx.Done():
			go func() { r.work.Wait(); close(r.sent) }()
			for r.sent != nil {
				select {
				case <-r.looks:
				case _, open := <-r.sent:
					if !open {
						return nil
					}
				}
			}
		case <-soon.C:
		case <-all.C:
			r.everybody()
		case <-s.notify:
			for tenant, webhooks := range s.takeWoken() {
				wait := gatherIdle
				if webhooks {
					wait = 0
				} else if r.some[tenant] {
					wait = gather
				}
				r.at(tenant, r.now().Add(wait))
			}
		case found := <-r.looks:
			r.take(ctx, found)
		case over := <-r.sent:
			delete(r.sending, over.place)
			if over.slow {
				r.lanes.slowUntil[over.place] = r.now().Add(slowFor)
			}
			r.at(over.tenant, r.now())
		}
	}
}

// everybody has every tenant looked at.
func (r *round) everybody() {
	now := r.now()
	served := map[identity.TenantID]bool{}
	for _, tenant := range r.tenants() {
		served[tenant] = true
		r.at(tenant, now)
	}
	r.lanes.keep(served, now)
	for tenant := range r.some {
		if !served[tenant] {
			delete(r.some, tenant)
			delete(r.due, tenant)
		}
	}
}

// at has a tenant looked at at this time, or before it.
func (r *round) at(tenant identity.TenantID, t time.Time) {
	if was, ok := r.due[tenant]; !ok || t.Before(was) {
		r.due[tenant] = t
	}
}

// begin begins the looks that are due, cuts what is on its way of a tenant that is served
// no longer, and gives the time until there is something to do again.
func (r *round) begin(ctx context.Context) time.Duration {
	now, next := r.now(), lookEvery
	for at, cut := range r.sending {
		if next = cutEvery; !r.serves(at.tenant) {
			cut()
		}
	}
	for tenant, t := range r.due {
		switch {
		case r.looking[tenant]: // it is looked at again after that
		case !r.serves(tenant):
			delete(r.due, tenant)
		case t.After(now):
			next = min(next, t.Sub(now))
		case len(r.looking) < maxLooks:
			delete(r.due, tenant)
			r.looking[tenant] = true
			r.work.Go(func() {
				asking, cancel := context.WithTimeout(ctx, storeTime)
				defer cancel()
				found := looked{tenant: tenant}
				found.pending, found.some, found.err = r.feed.Pending(asking, tenant)
				r.looks <- found
			})
		}
	}
	return next
}

// take begins what a look has found.
func (r *round) take(ctx context.Context, found looked) {
	delete(r.looking, found.tenant)
	if found.err != nil {
		r.log.DebugContext(ctx, "what a tenant's webhooks wait for is not known", "tenant", found.tenant, "error", found.err)
		r.at(found.tenant, r.now().Add(lookAgain))
		return
	}
	if delete(r.some, found.tenant); found.some {
		r.some[found.tenant] = true
	}
	now := r.now()
	for _, p := range found.pending {
		at := place{found.tenant, p.ID}
		switch {
		case r.sending[at] != nil: // it is looked at again after that
		case p.At.After(now):
			r.at(found.tenant, p.At)
		default:
			turn, cut := context.WithCancel(ctx)
			entry := r.lanes.of(at, p.Failing, now)
			r.sending[at] = cut
			r.work.Go(func() {
				defer cut()
				slow := r.serve(turn, at, entry)
				r.sent <- sent{at, slow}
			})
		}
	}
}

// serve sends a webhook what it waits for, and waits a little where the store does not
// answer.
func (s *Service) serve(ctx context.Context, at place, in entry) (slow bool) {
	slow, err := s.turn(ctx, at, in)
	if err == nil || ctx.Err() != nil {
		return slow
	}
	s.log.WarnContext(ctx, "a webhook is sent nothing for now", "tenant", at.tenant, "webhook", at.id, "error", err)
	select {
	case <-ctx.Done():
	case <-time.After(lookAgain):
	}
	return slow
}

// turn sends a webhook what it waits for, in its turn, which a slow answer ends.
func (s *Service) turn(ctx context.Context, at place, in entry) (slow bool, err error) {
	leave, ok := in.enter(ctx)
	if !ok {
		return false, nil
	}
	defer leave()
	began := time.Now()
	for n, more := 0, true; more && !slow && err == nil && n < maxTurn && time.Since(began) < turnTime; n++ {
		more, slow, err = s.one(ctx, at)
	}
	// What another node is to go on with need not wait until the lease is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	return slow, errors.Join(err, s.feed.Release(ctx, at.tenant, at.id, s.holder))
}

// one sends one message; more says that the next may follow at once.
func (s *Service) one(ctx context.Context, at place) (more, slow bool, err error) {
	m, err := s.claim(ctx, at)
	if err != nil || m == nil {
		return false, false, err
	}
	a := s.send(ctx, at.tenant, m)
	slow = a.Took >= slowAnswer
	if ctx.Err() != nil && !a.Taken() {
		return false, slow, nil // it is not the receiver's fault
	}
	// What was taken is to be known even if the gateway is about to stop.
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	if a.Taken() {
		more, err = s.feed.Taken(keeping, at.tenant, m, a)
		return more, slow, err
	}
	s.log.InfoContext(ctx, "a webhook did not take a message", "tenant", at.tenant, "webhook", m.Webhook, "status", a.Status, "problem", a.Problem)
	return false, slow, s.feed.Failed(keeping, at.tenant, m, a)
}

func (s *Service) claim(ctx context.Context, at place) (*feed.Message, error) {
	if !s.serves(at.tenant) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	return s.feed.Claim(ctx, at.tenant, at.id, s.holder)
}

// tests is how often a tenant's webhooks are tested: enough to mend a receiver by, too
// seldom to look around with.
var tests = throttle.Limit{Every: 10 * time.Second, Burst: 6}

// Test sends a webhook a message of its own, and gives what became of it. It changes
// nothing of how far the webhook has come. More than a few a minute are
// [fault.TooMany].
func (s *Service) Test(ctx context.Context, tenant identity.TenantID, name string) (feed.Attempt, error) {
	m, err := s.feed.Trial(ctx, tenant, name)
	if err != nil {
		return feed.Attempt{}, err
	}
	if ok, wait := s.throttle.Allow(ctx, "webhook-test "+string(tenant), tests); !ok {
		f := fault.New(fault.TooMany, "too-many-tests", "Webhooks are tested six times at once, and then every ten seconds. Try again in a few seconds.")
		f.RetryAfter = wait
		return feed.Attempt{}, f
	}
	a := s.send(ctx, tenant, m)
	if a.Taken() {
		_, err = s.feed.Taken(ctx, tenant, m, a)
	} else {
		err = s.feed.Failed(ctx, tenant, m, a)
	}
	return a, err
}
