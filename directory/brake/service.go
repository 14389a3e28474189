package brake

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Rules are how many people of a tenant clients may take out.
type Rules struct {
	Off    bool
	Share  int           // percent of those who are active
	Window time.Duration // within which
	Least  int           // so many in any case
}

// limit is how many of so many people may leave within the window.
func (r Rules) limit(people int) int {
	return max(r.Least, int(int64(people)*int64(r.Share)/100))
}

// Config is what the brake works with.
type Config struct {
	Store   directory.Stores
	Journal audit.Recorder
	// Rules are a tenant's of this moment.
	Rules func(identity.TenantID) Rules
	// Tenants are all that are served, for [Service.Run].
	Tenants func() []identity.TenantID
	// Decided is called once somebody has decided, for those whom it has held. Nil: nobody
	// waits for that.
	Decided func(context.Context, identity.TenantID)
	Log     *slog.Logger
	Now     func() time.Time // nil: [time.Now]
	// Alone is set where there are no other nodes: what is held, this one knows of, once it
	// has looked at every tenant at its start.
	Alone bool
}

// Service is the brake of every tenant. It is safe for concurrent use and has nothing to
// close.
type Service struct {
	store   directory.Stores
	journal audit.Recorder
	rules   func(identity.TenantID) Rules
	tenants func() []identity.TenantID
	decided func(context.Context, identity.TenantID)
	log     *slog.Logger
	clock   func() time.Time
	alone   bool

	mu   sync.Mutex
	held map[identity.TenantID]string // why, of those that this node knows of
	// counted is how many people there were when somebody last looked, so that not each
	// look counts them.
	counted map[identity.TenantID]counted
}

// counted is what a count has found, of a brake of this version.
type counted struct {
	people  int
	at      time.Time
	version uint64
}

// New makes the brake.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Decided == nil {
		c.Decided = func(context.Context, identity.TenantID) {}
	}
	return &Service{store: c.Store, journal: c.Journal, rules: c.Rules, tenants: c.Tenants, decided: c.Decided, log: c.Log, clock: c.Now, alone: c.Alone, held: map[identity.TenantID]string{}, counted: map[identity.TenantID]counted{}}
}

func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

// effectTime bounds what follows a record, whose caller may go away.
const effectTime = 10 * time.Second

// Leaving is for [directory.Brake].
func (s *Service) Leaving(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, target audit.Target, who directory.Leavers) (refuse func() error, note func(context.Context, *store.Tx) error, err error) {
	rules := s.rules(tenant)
	return s.leaving(ctx, tx, cause, tenant, who, rules, func(held *record) error { return s.keepHeld(ctx, cause, tenant, target, held, rules) })
}

// leaving decides by the rules; hold is for the change by which it comes to be held.
func (s *Service) leaving(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, who directory.Leavers, rules Rules, hold func(*record) error) (refuse func() error, note func(context.Context, *store.Tx) error, err error) {
	if rules.Off || !cause.Actor.Kind.Provisions() {
		return nil, nil, nil
	}
	now := s.now()
	r, err := load(ctx, tx, now)
	if err != nil {
		return nil, nil, err
	}
	if somebody, err := who(ctx, tx, rules.Least+1); err != nil || len(somebody) == 0 {
		return nil, nil, err
	}
	switch r.state {
	case Held:
		s.know(tenant, &r, rules)
		return nil, nil, errHeld(&r, rules)
	case Rejected:
		return nil, nil, errRejected(&r)
	}
	departed, full, err := s.full(ctx, tx, &r, who, rules, now)
	if err != nil {
		return nil, nil, err
	}
	if full {
		r.hold(cause.Actor, departed, now)
		return func() error { return hold(&r) }, nil, nil
	}
	return nil, func(ctx context.Context, tx *store.Tx) error { return s.note(ctx, tx, who, &r, rules) }, nil
}

// full reports whether more would have left by a change than may, and gives how many had
// before it.
func (s *Service) full(ctx context.Context, tx *store.Tx, r *record, who directory.Leavers, rules Rules, now time.Time) (departed int, full bool, err error) {
	from := r.from(now, rules.Window)
	if departed, err = r.departed(ctx, tx, from); err != nil || r.state != Open {
		return departed, false, err
	}
	// Below the least nobody need be counted.
	leave, err := r.leave(ctx, tx, who, rules.Least, from)
	if err != nil || departed+leave <= rules.Least {
		return departed, false, err
	}
	if leave, err = r.leave(ctx, tx, who, rules.limit(r.people), from); err != nil {
		return departed, false, err
	}
	if r.stale(now, departed+leave > rules.limit(r.people)) {
		if err := r.countPeople(ctx, tx, departed, from, now); err != nil {
			return departed, false, err
		}
		if leave, err = r.leave(ctx, tx, who, rules.limit(r.people), from); err != nil {
			return departed, false, err
		}
	}
	return departed, departed+leave > rules.limit(r.people), nil
}

// hold is the brake's own doing.
func (r *record) hold(token audit.Actor, departed int, now time.Time) {
	r.state, r.since, r.until, r.decided = Held, now, time.Time{}, ""
	r.token, r.heldGone, r.heldOf = token, departed, r.people
	r.version++
}

// maxKept is how many departures of one change are kept where it does not matter how many
// they are.
const maxKept = 100_000

// note counts departures, in the transaction of the change: writers of a tenant go one
// after the other on all nodes, so that what is found here holds. planned is what was found
// before.
func (s *Service) note(ctx context.Context, tx *store.Tx, who directory.Leavers, planned *record, rules Rules) error {
	now := s.now()
	r, err := load(ctx, tx, now)
	if err != nil {
		return err
	}
	if r.counted.Before(planned.counted) {
		r.people, r.counted = planned.people, planned.counted
	}
	from := r.from(now, rules.Window)
	if err := r.sweep(ctx, tx, from); err != nil {
		return err
	}
	departed, err := r.departed(ctx, tx, from)
	if err != nil {
		return err
	}
	most := maxKept
	if limit := rules.limit(r.people); r.state == Open {
		leave, err := r.leave(ctx, tx, who, limit, from)
		if err != nil {
			return err
		}
		if departed+leave > limit {
			return directory.ErrOvertaken
		}
		most = limit + 1
	}
	if r.state == Held || r.state == Rejected {
		return directory.ErrOvertaken
	}
	people, err := who(ctx, tx, most)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(people, batch) {
		if err := r.add(ctx, tx, some, now); err != nil {
			return err
		}
	}
	return r.save(ctx, tx)
}

// Returned is for [directory.Brake]: whoever is back has not left.
func (s *Service) Returned(ctx context.Context, tx *store.Tx, who func(context.Context, *store.Tx, func([]string) error) error) error {
	r, err := load(ctx, tx, s.now())
	if err != nil || r.gone == 0 {
		return err
	}
	before := r.gone
	err = who(ctx, tx, func(ids []string) error {
		for some := range slices.Chunk(ids, batch) {
			if err := forget(ctx, tx, &r, some); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || r.gone == before {
		return err
	}
	return r.save(ctx, tx)
}

// keepHeld records that the brake is held, and has it stay so. It gives the refusal of
// the departure that was one too many.
func (s *Service) keepHeld(ctx context.Context, cause audit.Cause, tenant identity.TenantID, target audit.Target, held *record, rules Rules) error {
	e := cause.Event(tenant, audit.BrakeHeld, audit.Refused)
	e.Target = target
	e.Reason, e.Message = codeHeld, held.tells(rules)+" Whoever is next stays, until somebody releases or rejects it."
	e.Details = map[string]string{"departures": strconv.Itoa(held.heldGone), "people": strconv.Itoa(held.heldOf), "limit": strconv.Itoa(rules.limit(held.heldOf)),
		"share": strconv.Itoa(rules.Share), "window": inWords(rules.Window), "least": strconv.Itoa(rules.Least)}
	receipt, err := s.journal.Commit(ctx, e)
	if err != nil {
		return fmt.Errorf("brake: journal %s: %w", e.Type, err)
	}
	held.event = string(receipt.Event())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	var now record
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		if now, err = load(ctx, tx, held.since); err != nil || now.state != Open {
			return err // another node has held it, or somebody has decided meanwhile
		}
		held.gone, held.version = now.gone, now.version+1
		now = *held
		return now.save(ctx, tx)
	})
	switch {
	case err != nil:
		return fmt.Errorf("brake: hold: %w", err)
	case now.state == Rejected:
		return errRejected(&now)
	case now.state == Held:
		s.know(tenant, &now, rules)
	}
	return errHeld(held, rules)
}

// The codes of refusals.
const (
	codeHeld     = "mass-change-held"
	codeRejected = "mass-change-rejected"
)

// retryHeld is when a client may ask again what is held: somebody has to look first.
const retryHeld = 10 * time.Minute

// tells is one sentence on what has happened.
func (r *record) tells(rules Rules) string {
	gone := fmt.Sprintf("%d of %d active people were deactivated or deleted, or lost their last role, by SCIM or Google Workspace within %s.", r.heldGone, r.heldOf, inWords(rules.Window))
	if r.heldGone < rules.limit(r.heldOf) { // no single person is one too many then
		gone += " A change of a group would have taken the last role from more than may go."
	}
	return gone
}

func errHeld(r *record, rules Rules) error {
	f := fault.New(fault.TooMany, codeHeld, "%s Whoever is next stays as they are until an admin of this tenant releases or rejects it: in the console under Users, or at /.gatehouse/api/v1/scim/brake.", r.tells(rules))
	f.RetryAfter = retryHeld
	return f.WithEvent(r.event)
}

func errRejected(r *record) error {
	if r.until.IsZero() {
		return fault.New(fault.Denied, codeRejected, "An admin of this tenant has decided that nobody is deactivated or deleted, or loses their last role, by SCIM or Google Workspace. Ask them to release it: in the console under Users, or at /.gatehouse/api/v1/scim/brake.").WithEvent(r.event)
	}
	return fault.New(fault.Denied, codeRejected, "An admin of this tenant has decided that nobody is deactivated or deleted, or loses their last role, by SCIM or Google Workspace until %s.", r.until.Format(time.RFC3339)).WithEvent(r.event)
}

// inWords writes 1h for 1h0m0s.
func inWords(d time.Duration) string {
	text := d.String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-2]
		}
	}
	return text
}
