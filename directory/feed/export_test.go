package feed

import (
	"context"
	"math"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Loaded is how many changes are read at once, of all that a tenant has.
func (s *Service) Loaded(ctx context.Context, tenant identity.TenantID, limit, most int) (n int, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) error {
		rows, err := rowsAfter(ctx, tx, 0, math.MaxInt64, limit, most)
		n = len(rows)
		return err
	})
	return n, err
}
