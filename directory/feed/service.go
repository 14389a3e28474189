package feed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
)

// People are those whom the changes are about.
type People interface {
	User(ctx context.Context, tenant identity.TenantID, id identity.UserID) (directory.User, error)
	Group(ctx context.Context, tenant identity.TenantID, id identity.GroupID, withMembers bool) (directory.Group, error)
}

// Keys seals what must be readable again.
type Keys interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// Config is what the feed works with.
type Config struct {
	Store   directory.Stores
	Keys    Keys
	Journal audit.Recorder
	// Tenants are all that are served, for [Service.Run].
	Tenants func() []identity.TenantID
	Log     *slog.Logger
	Now     func() time.Time // nil: [time.Now]
	// KeepChanges is how many changes of a tenant are kept; 0: 1,000,000.
	KeepChanges uint64
	// KeepBytes is how many bytes of them may name members; 0: 256 MiB.
	KeepBytes int
}

// Service is the feed of every tenant. It is safe for concurrent use.
type Service struct {
	store       directory.Stores
	keys        Keys
	journal     audit.Recorder
	tenants     func() []identity.TenantID
	log         *slog.Logger
	clock       func() time.Time
	keepChanges uint64
	keepBytes   int
	people      People
	full        chan identity.TenantID // whose changes are to be swept out of turn

	mu      sync.Mutex
	waiting map[identity.TenantID]*waiters
	stopped map[identity.TenantID]string // whose webhooks are, and which
	grown   map[identity.TenantID]int    // about how many bytes were written since
	closed  bool
	watcher func(tenant identity.TenantID, webhooks bool)
}

// waiters are those who wait for changes of one tenant.
type waiters struct {
	changed chan struct{} // closed once something has changed
	users   int
}

// New makes the feed. What it reads people by is joined later ([Service.Join]): the
// directory is made with the feed.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.KeepChanges == 0 {
		c.KeepChanges = keepChanges
	}
	if c.KeepBytes == 0 {
		c.KeepBytes = keepBytes
	}
	return &Service{store: c.Store, keys: c.Keys, journal: c.Journal, tenants: c.Tenants, log: c.Log, clock: c.Now, keepChanges: c.KeepChanges, keepBytes: c.KeepBytes,
		waiting: map[identity.TenantID]*waiters{}, stopped: map[identity.TenantID]string{}, grown: map[identity.TenantID]int{}, full: make(chan identity.TenantID, 16)}
}

// Join gives the directory that the feed is of, before anything is read.
func (s *Service) Join(people People) { s.people = people }

func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

// sweepEvery is how often what is too old is let go of.
const sweepEvery = time.Hour

// lookAgain is how often those tenants are looked at that have webhooks which are stopped,
// about which an admin may have decided at another node.
const lookAgain = 10 * time.Second

// Run lets go of what is too old or too much until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick, again := time.NewTicker(sweepEvery), time.NewTicker(lookAgain)
	defer tick.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			for _, stopped := range s.Stopped() {
				s.lookAt(ctx, stopped.Tenant)
			}
		case tenant := <-s.full:
			s.sweep(ctx, tenant)
		case <-tick.C:
			for _, tenant := range s.tenants() {
				s.sweep(ctx, tenant)
			}
		}
	}
}

func (s *Service) sweep(ctx context.Context, tenant identity.TenantID) {
	if err := s.Sweep(ctx, tenant); err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "old changes of a directory are kept for longer", "tenant", tenant, "error", err)
	}
}

// maxWaiting is how many may wait for changes of one tenant at a time.
const maxWaiting = 16

// Await gives a channel that is closed once the tenant's directory has changed after
// this call, on any node; done ends it. nil if too many wait already, or the gateway is
// about to stop: then nobody is to wait.
func (s *Service) Await(tenant identity.TenantID) (changed <-chan struct{}, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waiting[tenant]
	if s.closed || w != nil && w.users >= maxWaiting {
		return nil, func() {}
	}
	if w == nil {
		w = &waiters{changed: make(chan struct{})}
		s.waiting[tenant] = w
	}
	w.users++
	return w.changed, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.users--; w.users == 0 && s.waiting[tenant] == w {
			delete(s.waiting, tenant)
		}
	}
}

// Waiting is how many wait for changes of a tenant.
func (s *Service) Waiting(tenant identity.TenantID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waiting[tenant]; w != nil {
		return w.users
	}
	return 0
}

// Watch has a function called whenever a tenant's directory has changed, or its webhooks,
// which must not wait.
func (s *Service) Watch(watcher func(tenant identity.TenantID, webhooks bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watcher = watcher
}

// Wake tells those who wait that a tenant's directory has changed.
func (s *Service) Wake(tenant identity.TenantID) { s.wake(tenant, false) }

func (s *Service) wake(tenant identity.TenantID, webhooks bool) {
	s.mu.Lock()
	watcher := s.watcher
	s.wakeLocked(tenant)
	s.mu.Unlock()
	if watcher != nil {
		watcher(tenant, webhooks)
	}
}

func (s *Service) wakeLocked(tenant identity.TenantID) {
	if w := s.waiting[tenant]; w != nil {
		close(w.changed)
		delete(s.waiting, tenant)
	}
}

// Dismiss has nobody wait any more: the gateway is about to stop.
func (s *Service) Dismiss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for tenant := range s.waiting {
		s.wakeLocked(tenant)
	}
}
