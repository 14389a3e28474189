package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Stores hands out the handle on a tenant's data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// SessionEnder ends every session of a person and returns once nothing of
// theirs is served any more (promise P2); a person without sessions is no
// error.
type SessionEnder interface {
	EndUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, reason string) (int, error)
}

// Config is what the directory works with.
type Config struct {
	Store    Stores
	Journal  audit.Recorder
	Sessions SessionEnder
	// Withdraw takes away the roles of a person, group or team in the transaction
	// that deletes it.
	Withdraw Withdrawal
	// Retire takes away what a person may not find again when they come back, in the
	// transaction that reactivates them. Nil: there is nothing.
	Retire func(ctx context.Context, tx *store.Tx, user identity.UserID) error
	// Retain gives for how long a tenant keeps a record of who was deleted
	// ([FormerUser]); 0: not at all. Nil: nobody does.
	Retain func(identity.TenantID) time.Duration
	// Past is what this node has recorded, by which changes are known that were recorded
	// and not made when the process died. Nil: nobody looks for them.
	Past Past
	// Erase removes, with the record of somebody who is deleted, what else names them. Nil:
	// nothing does.
	Erase func(ctx context.Context, tx *store.Tx, id identity.UserID) error
	// MaxMembers is how many people and groups a group may hold; default [MaxMembers].
	MaxMembers int
	// MaxFormer is how many records of who was deleted a tenant keeps; default [MaxFormer].
	MaxFormer int
	// Brake is asked before somebody is deactivated or deleted. Nil: nobody is.
	Brake Brake
	// Roles tells by which groups people have a role, for the brake. Nil: by none.
	Roles Roles
	// Feed keeps what others are told of the directory. Nil: nobody is.
	Feed Feed
	// Announce tells the other nodes that a tenant's directory has changed, and returns
	// once they have taken it in ([Service.Refresh]). Where nothing has changed now, it does
	// so only if an earlier announcement failed. Nil: there are none.
	Announce Announcement
	// Elsewhere gives a person as the other nodes know them at this moment; false if
	// none does. It is asked where SQL cannot be. Nil: there are none.
	Elsewhere func(ctx context.Context, tenant identity.TenantID, id identity.UserID) (identity.Person, bool)
}

// Announcement is what [Config.Announce] does. The people are those whose
// [Service.Person] is another one now, or [Everybody].
type Announcement func(ctx context.Context, tenant identity.TenantID, changed bool, people []identity.UserID) error

// Everybody is who is named where nobody can say who they are: people may come into
// a group by other nodes while it is renamed or deleted.
var Everybody = []identity.UserID{""}

// Withdrawal is what [Config.Withdraw] does.
type Withdrawal func(ctx context.Context, tx *store.Tx, cause audit.Cause, gone audit.Target) error

// Service is the directory of every tenant. It is safe for concurrent use and
// has nothing to close.
type Service struct {
	store    Stores
	journal  audit.Recorder
	sessions SessionEnder
	withdraw Withdrawal
	retire   func(context.Context, *store.Tx, identity.UserID) error
	erase    func(context.Context, *store.Tx, identity.UserID) error
	brake    Brake // nil: there is none
	roles    Roles // nil: nobody has any by a group
	feed     Feed  // nil: there is none
	retain   func(identity.TenantID) time.Duration
	announce Announcement
	// elsewhere is asked where SQL cannot be; nil: there is nobody.
	elsewhere  func(context.Context, identity.TenantID, identity.UserID) (identity.Person, bool)
	maxMembers int
	maxFormer  int
	rehearses  bool // nothing of it comes true ([Service.Rehearse])

	memory  memory
	marks   marks
	asked   questions
	changes store.Turns
}

// New makes the directory.
func New(c Config) *Service {
	if c.Announce == nil {
		c.Announce = func(context.Context, identity.TenantID, bool, []identity.UserID) error { return nil }
	}
	if c.Retire == nil {
		c.Retire = func(context.Context, *store.Tx, identity.UserID) error { return nil }
	}
	if c.Erase == nil {
		c.Erase = func(context.Context, *store.Tx, identity.UserID) error { return nil }
	}
	if c.MaxMembers <= 0 {
		c.MaxMembers = MaxMembers
	}
	if c.MaxFormer <= 0 {
		c.MaxFormer = MaxFormer
	}
	return &Service{store: c.Store, journal: c.Journal, sessions: c.Sessions, withdraw: c.Withdraw, retire: c.Retire, erase: c.Erase, brake: c.Brake, roles: c.Roles, feed: c.Feed, retain: c.Retain, announce: c.Announce, elsewhere: c.Elsewhere, maxMembers: c.MaxMembers, maxFormer: c.MaxFormer, marks: marks{past: c.Past}}
}

// Version is a number that changes whenever anything in the tenant's directory
// does. What was read after asking for it holds as long as it stays the same.
func (s *Service) Version(tenant identity.TenantID) uint64 { return s.memory.version(tenant) }

// Refresh has the directory of a tenant read anew, and of its people these, or
// [Everybody]: another node has changed them.
func (s *Service) Refresh(tenant identity.TenantID, people []identity.UserID) {
	s.memory.change(tenant, people)
}

// RefreshAll is [Service.Refresh] for everybody in every tenant.
func (s *Service) RefreshAll() { s.memory.changeEverywhere() }

// Forget drops what is remembered of a tenant that was deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	s.memory.drop(tenant)
	s.marks.doubt(tenant)
}

// step is a change that was checked and can be made.
type step struct {
	first  func() error // what must come before the record; nil: nothing
	events []audit.Event
	people []identity.UserID // whose [Service.Person] it changes; Everybody: anybody's
	rows   int               // how many it writes, where that can be many
	write  func(context.Context, *store.Tx) error
	news   news          // what the events do not say of it
	unmade []audit.Event // of the events, those that write found no room for any more
	// effects are what it has made, once it is made, for [WithWitness]; nil: nobody asks.
	effects func() []Effect
}

// change is the one way of every change: checked against what stands, then
// committed, one change of a tenant at a time, and told to the other nodes after
// that. plan gives nil if there is nothing to change.
func (s *Service) change(ctx context.Context, tenant identity.TenantID, plan func(*store.Tx) (*step, error)) error {
	done, err := s.alter(ctx, tenant, plan)
	if done == nil {
		return s.tell(ctx, tenant, false, nil, err)
	}
	return s.tell(ctx, tenant, true, done.people, err)
}

// errUntold is inside the error of a change that was made, and of which the other
// nodes may not know.
var errUntold = errors.New("directory: the other nodes may not know of it")

// tell tells the other nodes of a change that has ended with err.
func (s *Service) tell(ctx context.Context, tenant identity.TenantID, changed bool, people []identity.UserID, err error) error {
	ctx, cancel := effect(ctx)
	defer cancel()
	untold := s.announce(ctx, tenant, changed, people)
	if untold != nil && err == nil {
		return fmt.Errorf("%w: %w", errUntold, untold)
	}
	return errors.Join(err, untold)
}

// alter makes a change. It gives the step that may have been made, whatever the
// error; nil if there was none.
func (s *Service) alter(ctx context.Context, tenant identity.TenantID, plan func(*store.Tx) (*step, error)) (*step, error) {
	done, err := s.changes.Take(ctx, tenant)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := s.agree(ctx, tenant); err != nil {
		return nil, err
	}
	do, err := s.attempt(ctx, tenant, plan)
	for range replans {
		if !errors.Is(err, ErrOvertaken) {
			break
		}
		do, err = s.attempt(ctx, tenant, plan)
	}
	return do, err
}

// attempt plans a change and makes it. The caller has the tenant's turn.
func (s *Service) attempt(ctx context.Context, tenant identity.TenantID, plan func(*store.Tx) (*step, error)) (do *step, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		if err := fenced(ctx, tx); err != nil {
			return err
		}
		do, err = plan(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	// SQL has answered: what others have told while it did not is not to outlive a
	// call that finds nothing left to do.
	s.GiveBack()
	if do == nil {
		return nil, nil
	}
	if do.first != nil {
		if err := do.first(); err != nil {
			return nil, err
		}
	}
	return do, s.commit(ctx, tenant, do)
}

// commit makes a change: the record first (promise P1), then SQL, then a new
// version. The caller has the tenant's turn, and may leave once there is a
// record: it comes true without them. A change that was announced and then
// failed is said to have failed by a second record.
func (s *Service) commit(ctx context.Context, tenant identity.TenantID, do *step) error {
	if err := audit.CommitAll(ctx, s.journal, do.events); err != nil {
		s.marks.doubt(tenant) // some of the records may be there
		return fmt.Errorf("directory: journal: %w", err)
	}
	lasting := context.WithoutCancel(ctx)
	if s.rehearses { // what does not come true is over with whoever asks for it
		lasting = ctx
	}
	bounded, cancel := context.WithTimeout(lasting, effectTime+time.Duration(do.rows)*rowTime)
	written := false
	err := s.store.Tenant(tenant).Write(bounded, func(tx *store.Tx) error {
		do.unmade, written = nil, false
		if err := fenced(bounded, tx); err != nil {
			return err
		}
		if err := do.write(bounded, tx); err != nil {
			return err
		}
		if err := s.note(bounded, tx, tenant, do); err != nil {
			return err
		}
		written = true
		return s.marks.put(bounded, tx, do)
	})
	cancel()
	// A commit whose outcome is unknown may have taken effect, so the version
	// moves on either way.
	s.memory.change(tenant, do.people)
	ctx, cancel = effect(ctx)
	defer cancel()
	switch {
	case err == nil:
		s.recordFailure(ctx, tenant, do.unmade)
		do.tell(ctx)
		return nil
	case written && s.marks.past != nil: // was it committed? Nobody knows before it is looked up
		s.marks.doubt(tenant)
		_ = s.agree(ctx, tenant) // else before the next change
	default:
		s.recordFailure(ctx, tenant, do.events)
	}
	return fmt.Errorf("directory: write: %w", err)
}

// effectTime bounds what follows a record, and rowTime what is added to that for each
// row of a large change: a group of many can go on a busy machine as well.
const (
	effectTime = 10 * time.Second
	rowTime    = 100 * time.Microsecond
)

// effect bounds what follows a record, whose caller may go away.
func effect(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), effectTime)
}

// recordFailure says of changes that were announced that they were not made. What keeps
// it from that is no error: the caller already reports the failure that matters.
func (s *Service) recordFailure(ctx context.Context, tenant identity.TenantID, events []audit.Event) {
	failed := make([]audit.Event, len(events))
	for i, e := range events {
		e.Outcome, e.Reason = audit.Failed, "store-failed"
		e.Message = "The change was announced by an earlier record of this request, but could not be stored."
		failed[i] = e
	}
	if len(failed) > 0 && audit.CommitAll(ctx, s.journal, failed) != nil {
		s.marks.doubt(tenant)
	}
}

// endSessions keeps promise P9. It goes on when the caller is gone, because
// the change that asks for it is already in effect.
func (s *Service) endSessions(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	if _, err := s.sessions.EndUser(ctx, cause, tenant, user, reason); err != nil {
		return fmt.Errorf("directory: end sessions of %s: %w", user, err)
	}
	return nil
}

// deletion removes from a table what the event is about, with its roles: of this
// version, or of any if it is 0. The people are those whom that changes.
func (s *Service) deletion(cause audit.Cause, e audit.Event, table string, ifVersion uint64, people []identity.UserID) *step {
	return &step{events: []audit.Event{e}, people: people, write: func(ctx context.Context, tx *store.Tx) error {
		if err := s.withdraw(ctx, tx, cause, e.Target); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE id = $1 AND ($2 = 0 OR version = $2)`, e.Target.ID, ifVersion)
		if err == nil && n == 0 && ifVersion != 0 { // another node was faster
			err = errVersion()
		}
		return err
	}}
}

// checkFree refuses, with taken, a key that another record of the table has.
func checkFree[ID ~string](ctx context.Context, tx *store.Tx, table, column, key string, except ID, taken error) error {
	n, err := store.One(ctx, tx, store.Scalar[int], `SELECT count(*) FROM `+table+` WHERE `+column+` = $1 AND id <> $2`, key, except)
	if err == nil && n > 0 {
		return taken
	}
	return err
}

// differences are the names of what a change touches; never the values, which
// are people's own and may be more than a log should hold.
type differences []string

func (d *differences) add(name string, differs bool) {
	if differs {
		*d = append(*d, name)
	}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
