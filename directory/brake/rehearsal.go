package brake

import (
	"context"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Rehearsing is the brake in [directory.Service.Rehearse]: it says what it would say, and
// neither records nor keeps that it is held.
func (s *Service) Rehearsing() directory.Brake { return rehearsal{s} }

type rehearsal struct{ *Service }

func (r rehearsal) Leaving(ctx context.Context, tx *store.Tx, cause audit.Cause, tenant identity.TenantID, target audit.Target, who directory.Leavers) (refuse func() error, note func(context.Context, *store.Tx) error, err error) {
	rules := r.rules(tenant)
	return r.leaving(ctx, tx, cause, tenant, who, rules, func(held *record) error { return errHeld(held, rules) })
}
