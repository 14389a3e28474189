package sessions

import (
	"context"
	"fmt"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Cut ends all sessions of a tenant whose data cannot be read or written any
// more, and is to be deleted: where they are served, and nowhere else. When it
// returns without an error, P2 holds for them. The caller has recorded why, and
// sees to it that nobody finds the tenant.
func (s *Service) Cut(ctx context.Context, tenant identity.TenantID, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	// A registry ends nothing of a tenant that it was given nothing of.
	_, err, _ := s.loads.Do(string(tenant), func() (any, error) {
		if s.registry.Loaded(tenant) {
			return nil, nil
		}
		return nil, s.registry.Load(ctx, tenant, func(func(*Live, error) bool) {})
	})
	if err != nil {
		return unavailable(fmt.Errorf("cut the sessions of %s: %w", tenant, err))
	}
	ended, err := s.registry.End(ctx, tenant, Selector{All: true}, nil, reason)
	if err != nil {
		return unavailable(fmt.Errorf("cut the sessions of %s: %w", tenant, err))
	}
	if done := (Revocation{Nodes: ended.Nodes}); ended.Lingering > 0 || !done.Confirmed() {
		f := fault.Wrap(fmt.Errorf("%w: %d", ErrUnconfirmed, ended.Lingering), fault.Unavailable, "revocation-unconfirmed",
			"The sessions are ended, but a connection has not been seen to close yet. Try again in a moment.")
		f.RetryAfter = time.Second
		return f
	}
	return nil
}
