package directory

import (
	"context"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Brake holds back clients that take out too many people ([Config.Brake]).
type Brake interface {
	// Leaving is asked before the record of a change of target by which people are
	// deactivated or deleted, or have no role any more, in the transaction in which that is
	// planned. An error refuses it. So does refuse, if there is one, which is called outside
	// of any transaction, for what has to be recorded and kept about it. Else note, if there
	// is one, goes into the transaction of the change, before it, where it may still give
	// [ErrOvertaken].
	Leaving(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, target audit.Target, who Leavers) (refuse func() error, note func(context.Context, *store.Tx) error, err error)
	// Returned is called in the transaction in which people are active again, or have a
	// role. who reads them, in parts.
	Returned(ctx context.Context, tx *store.Tx, who func(ctx context.Context, tx *store.Tx, each func(ids []string) error) error) error
}

// Leavers gives who leaves by a change, each of them once, and at most so many. It may be
// asked again in another transaction, before the change is made.
type Leavers func(ctx context.Context, tx *store.Tx, most int) ([]identity.UserID, error)

// ErrOvertaken is inside the error of a change that other nodes have left no room for
// since it was planned. Nothing of it is done, and it is planned again.
var ErrOvertaken = &fault.Fault{Kind: fault.Unavailable, Code: "changes-under-way", RetryAfter: time.Second,
	Detail: "Other changes are under way and were faster. Try again in a moment."}

// replans is how often a change is planned again: once there is no room any more, the
// plan itself finds that.
const replans = 3

// leaving adds to the step by which people leave what the brake says of it.
func (s *Service) leaving(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, target audit.Target, who Leavers, do *step) error {
	if s.brake == nil {
		return nil
	}
	refuse, note, err := s.brake.Leaving(ctx, tx, cause, tenant, target, who)
	if err != nil {
		return err
	}
	do.first = refuse
	if write := do.write; note != nil {
		do.write = func(ctx context.Context, tx *store.Tx) error {
			if err := note(ctx, tx); err != nil {
				return err
			}
			return write(ctx, tx)
		}
	}
	return nil
}

// returned is for somebody who is active again.
func (s *Service) returned(ctx context.Context, tx *store.Tx, user identity.UserID) error {
	if s.brake == nil {
		return nil
	}
	return s.brake.Returned(ctx, tx, func(_ context.Context, _ *store.Tx, each func([]string) error) error {
		return each([]string{string(user)})
	})
}

// oneLeaves is [Service.leaving] for one person.
func (s *Service) oneLeaves(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, user identity.UserID, do *step) error {
	return s.leaving(ctx, tx, cause, tenant, audit.Target{Kind: "user", ID: string(user)}, func(context.Context, *store.Tx, int) ([]identity.UserID, error) {
		return []identity.UserID{user}, nil
	}, do)
}
