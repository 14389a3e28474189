package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

const (
	// personTime bounds the wait for SQL where somebody else can be asked as well,
	// and elsewhereTime theirs.
	personTime    = 2 * time.Second
	elsewhereTime = 4 * time.Second
	// unknownRest is how long nobody asks again for somebody of whom neither SQL nor
	// another node could tell, and maxUnknown how many such are remembered.
	unknownRest = time.Second
	maxUnknown  = 1 << 12
)

// Person is what decisions and the app's identity headers are made of. The
// answer may be kept as long as [Service.Version], asked before, stays the
// same; it is shared and must not be changed. A person who is unknown is a
// NotFound fault.
func (s *Service) Person(ctx context.Context, tenant identity.TenantID, id identity.UserID) (identity.Person, error) {
	if p, ok := s.memory.get(tenant, id); ok {
		return p, nil
	}
	// First: what is read after it holds as long as it stays. Who shares an answer
	// has the same version, so nothing has changed since it was asked for.
	key := personKey{tenant, id, s.memory.version(tenant)}
	return s.asked.share(ctx, key, s.elsewhere != nil, func() (identity.Person, error) { return s.ask(context.WithoutCancel(ctx), key) })
}

// Remembered is a person whom this node knows without asking; false if it does not.
func (s *Service) Remembered(tenant identity.TenantID, id identity.UserID) (identity.Person, bool) {
	return s.memory.get(tenant, id)
}

// GiveBack forgets whom other nodes have told of, and gives the tenants that have a
// new [Service.Version] by that. It is to be called soon after SQL can be asked.
func (s *Service) GiveBack() []identity.TenantID { return s.memory.giveBack() }

func (s *Service) ask(ctx context.Context, key personKey) (identity.Person, error) {
	p, err := s.personInSQL(ctx, key)
	if err == nil {
		s.memory.put(key.tenant, key.version, p, false)
		return p, nil
	}
	// What its own time has ended is a SQL that is silent.
	if s.elsewhere == nil || !fault.Is(err, fault.Unavailable) && !errors.Is(err, context.DeadlineExceeded) {
		return identity.Person{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, elsewhereTime)
	defer cancel()
	p, ok := s.elsewhere(ctx, key.tenant, key.user)
	if !ok {
		return identity.Person{}, fault.OutOfReach(fmt.Errorf("look up who %s is: %w", key.user, err), "directory-unavailable", "Who you are cannot be looked up right now. Try again in a moment.")
	}
	s.memory.put(key.tenant, key.version, p, true)
	return p, nil
}

func (s *Service) personInSQL(ctx context.Context, key personKey) (identity.Person, error) {
	if s.elsewhere != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, personTime)
		defer cancel()
	}
	u, err := s.User(ctx, key.tenant, key.user)
	return identity.Person{ID: u.ID, UserName: u.UserName, Email: u.Email, Name: u.DisplayName, Active: u.Active, Groups: u.Groups}, err
}

type personKey struct {
	tenant  identity.TenantID
	user    identity.UserID
	version uint64
}

// questions are shared by those who ask the same at the same time.
type questions struct {
	mu  sync.Mutex
	all map[personKey]*question
}

type question struct {
	done   chan struct{}
	until  time.Time // it is not asked again; zero: not answered yet
	person identity.Person
	err    error
}

// share gives the answer to a question. Whoever is the first to ask does so, for all,
// whatever becomes of ctx meanwhile. rest says that it is not asked again soon after
// nobody could answer.
func (q *questions) share(ctx context.Context, key personKey, rest bool, ask func() (identity.Person, error)) (identity.Person, error) {
	if err := ctx.Err(); err != nil {
		return identity.Person{}, err
	}
	q.mu.Lock()
	this := q.all[key]
	if this != nil && (this.until.IsZero() || time.Now().Before(this.until)) {
		q.mu.Unlock()
		select {
		case <-this.done:
			return this.person, this.err
		case <-ctx.Done():
			return identity.Person{}, ctx.Err()
		}
	}
	this = &question{done: make(chan struct{})}
	if q.all == nil || len(q.all) >= maxUnknown {
		q.all = map[personKey]*question{} // who waits has the question in hand
	}
	q.all[key] = this
	q.mu.Unlock()

	this.err = errUnanswered // should asking panic
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		close(this.done)
		this.until = time.Now().Add(unknownRest)
		if resting := rest && fault.Is(this.err, fault.Unavailable); !resting && q.all[key] == this {
			delete(q.all, key)
		}
	}()
	this.person, this.err = ask()
	return this.person, this.err
}

var errUnanswered = errors.New("directory: the question was dropped")
