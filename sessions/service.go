package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

const (
	// effectTime bounds what follows a journalled change. Its caller may go
	// away, the change goes on: a record in the journal must come true.
	effectTime = 10 * time.Second
	// manyTime is the same for what may end very many sessions at once.
	manyTime = time.Minute
	// loadTime bounds the load of a tenant's sessions, which may be a million; whoever
	// comes meanwhile waits up to loadWait, and is told to come again.
	loadTime = 5 * time.Minute
	loadWait = 10 * time.Second
	// loadBatch is how many sessions one query of a load reads.
	loadBatch = 1000
	// sealPurpose binds a sealed logout hint to its use.
	sealPurpose = "sessions/logout-hint"
)

// MaxLogoutHint is the longest logout hint that is kept, in bytes.
const MaxLogoutHint = 16 << 10

// Stores hands out the tenants' data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// Sealer keeps secrets at rest under the tenant's key.
type Sealer interface {
	Seal(ctx context.Context, tenant identity.TenantID, purpose string, plaintext []byte) ([]byte, error)
	Open(ctx context.Context, tenant identity.TenantID, purpose string, sealed []byte) ([]byte, error)
}

// Config is what a [Service] works with.
type Config struct {
	Store   Stores
	Keys    Sealer
	Journal audit.Recorder
	// Limits gives the tenant's limits of this moment. It is asked for every
	// request and must be cheap.
	Limits func(identity.TenantID) Limits
	// Node is this gateway's name in confirmations.
	Node string
	// Dir is where this node keeps what SQL has not got yet ([Unsettled]); empty: in
	// memory alone.
	Dir string
	// Carry takes what others keep by the id of a session over to the one that takes its
	// place, in the transaction that makes that ([Service.Renew]); nil: nobody does.
	Carry func(ctx context.Context, tx *store.Tx, old, made identity.SessionID) error
	// Withhold takes away what is about to become a session of those selected, in the
	// transaction that ends the sessions that they have; nil: there is nothing.
	Withhold func(ctx context.Context, tx *store.Tx, sel Selector) error
	// Registry holds the live sessions; nil: a [Local] one.
	Registry Registry
	// Log is for the operator; nil: nowhere.
	Log *slog.Logger
}

// Service is the room's door: it signs sessions in, finds and ends them.
type Service struct {
	store    Stores
	keys     Sealer
	journal  audit.Recorder
	limits   func(identity.TenantID) Limits
	carry    func(context.Context, *store.Tx, identity.SessionID, identity.SessionID) error
	withhold func(context.Context, *store.Tx, Selector) error
	registry Registry
	log      *slog.Logger
	loads    singleflight.Group
	debts    *debts
	work     sync.WaitGroup // loads
	closed   chan struct{}
}

// New makes the service; [Service.Run] and [Service.Close] belong to it.
func New(c Config) *Service {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Withhold == nil {
		c.Withhold = func(context.Context, *store.Tx, Selector) error { return nil }
	}
	if c.Registry == nil {
		c.Registry = NewLocal(c.Node, c.Log)
	}
	return &Service{store: c.Store, keys: c.Keys, journal: c.Journal, limits: c.Limits, carry: c.Carry, withhold: c.Withhold, registry: c.Registry, log: c.Log,
		debts: newDebts(c.Dir, c.Keys), closed: make(chan struct{})}
}

var (
	errUnknown = fault.New(fault.Unauthenticated, "session-unknown", "You are not signed in. Sign in to go on.")
	errExpired = fault.New(fault.Unauthenticated, "session-expired", "Your sign-in has run out. Sign in again.")
)

// Find gives the live session that a cookie's token stands for, and notes the
// request as its last. An unknown or malformed token, an ended session and one
// that ran out by the limits of this moment are Unauthenticated faults;
// Unavailable means that the sessions cannot be read. This is the request
// path: for a session that lives, one map lookup, no allocation and no SQL.
func (s *Service) Find(ctx context.Context, tenant identity.TenantID, token string) (*Live, error) {
	hash, ok := hashToken(token)
	return s.find(ctx, tenant, hash, ok)
}

// FindProgram is [Service.Find] for the token that a program carries. No cookie's
// token is one, and the other way round.
func (s *Service) FindProgram(ctx context.Context, tenant identity.TenantID, token string) (*Live, error) {
	hash, ok := hashProgramToken(token)
	return s.find(ctx, tenant, hash, ok)
}

func (s *Service) find(ctx context.Context, tenant identity.TenantID, hash TokenHash, ok bool) (*Live, error) {
	live, err := s.lookup(ctx, tenant, hash, ok)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	limits := s.limits(tenant)
	if live.expired(now, limits.Idle, limits.Absolute) {
		over, err := s.over(ctx, live, now, limits.Idle, limits.Absolute)
		switch {
		case err != nil:
			return nil, unavailable(err)
		case over:
			return nil, errExpired
		}
	}
	live.touch(now)
	return live, nil
}

// lookup finds a session by the hash of what may be its token, whether or not it
// ran out.
func (s *Service) lookup(ctx context.Context, tenant identity.TenantID, hash TokenHash, ok bool) (*Live, error) {
	if !ok {
		return nil, errUnknown
	}
	live, err := s.registry.Find(ctx, tenant, hash)
	if errors.Is(err, ErrNotLoaded) {
		if err = s.ready(ctx, tenant); err == nil {
			live, err = s.registry.Find(ctx, tenant, hash)
		}
	}
	switch {
	case err != nil:
		return nil, unavailable(err)
	case live == nil:
		return nil, errUnknown
	}
	return live, nil
}

// over makes sure that a session ran out. Where several nodes serve it, another
// may have seen it since, and written that to SQL within flushEvery.
func (s *Service) over(ctx context.Context, live *Live, now int64, idle, absolute time.Duration) (bool, error) {
	if live.proof == nil || live.expired(now, 0, absolute) {
		return true, nil
	}
	var seen int64
	err := s.store.Tenant(live.session.Tenant).Read(ctx, func(tx *store.Tx) (err error) {
		seen, err = store.One(ctx, tx, store.Scalar[int64], `SELECT seen_at FROM sessions WHERE id = $1`, live.session.ID)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return true, nil
	}
	live.touch(seen)
	return live.expired(now, idle+flushEvery, absolute), err
}

func unavailable(err error) error {
	return fault.OutOfReach(err, "sessions-unavailable", "Sign-ins cannot be checked right now. Try again in a moment.")
}

// ready makes sure that the registry knows the tenant's sessions. Every change
// comes after it, so that none can fall between the load's query and its end.
func (s *Service) ready(ctx context.Context, tenant identity.TenantID) error {
	if s.registry.Loaded(tenant) {
		return nil
	}
	s.work.Add(1)
	loaded := s.loads.DoChan(string(tenant), func() (any, error) { return nil, s.load(ctx, tenant) })
	wait := time.NewTimer(loadWait)
	defer wait.Stop()
	select {
	case got := <-loaded:
		s.work.Done()
		if got.Err != nil {
			return unavailable(fmt.Errorf("load the sessions of %s: %w", tenant, got.Err))
		}
		return nil
	case <-wait.C:
	case <-ctx.Done():
	}
	go func() { // which Close waits for
		defer s.work.Done()
		<-loaded
	}()
	return unavailable(fmt.Errorf("the sessions of %s are being loaded: %w", tenant, cmp.Or(ctx.Err(), context.DeadlineExceeded)))
}

// load is done once, however many wait for it, and so does not end with any of
// them.
func (s *Service) load(ctx context.Context, tenant identity.TenantID) error {
	if s.registry.Loaded(tenant) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-over:
		}
	}()
	settled, err := s.settleFirst(ctx, tenant)
	if err != nil {
		return err
	}
	// Before anybody could use them.
	if err := s.endOrphans(ctx, tenant, closed); err != nil {
		return err
	}
	if err := s.registry.Load(ctx, tenant, s.stored(ctx, tenant)); err != nil {
		return err
	}
	// Another node may serve them still.
	for _, u := range settled {
		if _, err := s.registry.End(ctx, tenant, u.Selector, hashesOf(u.rows), u.Reason); err != nil {
			return err
		}
	}
	return nil
}

// stored reads a tenant's live sessions from SQL, in batches. Nothing writes
// them meanwhile (see ready), except that people are deactivated, whose
// sessions are then ended through the registry.
func (s *Service) stored(ctx context.Context, tenant identity.TenantID) iter.Seq2[*Live, error] {
	return func(yield func(*Live, error) bool) {
		var place Place
		for more := true; more; {
			var batch []*Live
			err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
				batch, place, more, err = liveAfter(ctx, tx, tenant, place, loadBatch)
				return err
			})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, live := range batch {
				if !yield(live, nil) {
					return
				}
			}
		}
	}
}

// Open gives the number of requests and connections that each of the tenant's
// sessions has on this node right now; sessions without any are left out.
func (s *Service) Open(tenant identity.TenantID) map[identity.SessionID]int {
	open := map[identity.SessionID]int{}
	for live := range s.registry.Active(tenant) {
		if n := live.Open(); n > 0 {
			open[live.session.ID] = n
		}
	}
	return open
}

// Forget drops what this node has of a tenant that was deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	s.registry.Forget(tenant)
	if err := s.debts.forget(tenant); err != nil {
		s.log.Warn("a deleted tenant's sealed file stays", "tenant", tenant, "error", err)
	}
}

// LogoutHint gives what the identity provider wants back at sign-out; empty if
// there is nothing, NotFound for a session that never was.
func (s *Service) LogoutHint(ctx context.Context, tenant identity.TenantID, id identity.SessionID) (string, error) {
	var sealed []byte
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		sealed, err = store.One(ctx, tx, store.Scalar[[]byte], `SELECT logout_hint FROM sessions WHERE id = $1`, id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return "", errNoSession
	case err != nil:
		return "", unavailable(err)
	case len(sealed) == 0:
		return "", nil
	}
	hint, err := s.keys.Open(ctx, tenant, sealPurpose, sealed)
	if err != nil {
		return "", fmt.Errorf("open the logout hint of %s: %w", id, err)
	}
	return string(hint), nil
}
