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
	// Leaving is asked before the record of somebody's deactivation or deletion, in the
	// transaction in which that is planned. An error refuses it. So does refuse, if there
	// is one, which is called outside of any transaction, for what has to be recorded and
	// kept about it. Else note, if there is one, goes into the transaction of the change,
	// where it may still give [ErrOvertaken].
	Leaving(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, user identity.UserID) (refuse func() error, note func(context.Context, *store.Tx) error, err error)
	// Returned is called in the transaction in which somebody is active again.
	Returned(ctx context.Context, tx *store.Tx, user identity.UserID) error
}

// ErrOvertaken is inside the error of a change that other nodes have left no room for
// since it was planned. Nothing of it is done, and it is planned again.
var ErrOvertaken = &fault.Fault{Kind: fault.Unavailable, Code: "changes-under-way", RetryAfter: time.Second,
	Detail: "Other changes are under way and were faster. Try again in a moment."}

// replans is how often a change is planned again: once there is no room any more, the
// plan itself finds that.
const replans = 3

// leaving adds to the step by which somebody leaves what the brake says of it.
func (s *Service) leaving(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, user identity.UserID, do *step) error {
	if s.brake == nil {
		return nil
	}
	refuse, note, err := s.brake.Leaving(ctx, tx, cause, tenant, user)
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
	return s.brake.Returned(ctx, tx, user)
}
