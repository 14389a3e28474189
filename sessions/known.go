package sessions

import (
	"context"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// maxKnown bounds for how many people one browser is a device.
const maxKnown = 100

// KnownTo gives who has signed in by the browser that holds a device token, and has
// not had it blocked.
func (s *Service) KnownTo(ctx context.Context, tenant identity.TenantID, token string) (people []identity.UserID, err error) {
	hash, sent := hashToken(token)
	if !sent {
		return nil, nil
	}
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		people, err = store.All(ctx, tx, store.Scalar[identity.UserID], `SELECT user_id FROM devices WHERE token_hash = $1 AND NOT blocked LIMIT $2`, hash[:], maxKnown)
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return people, nil
}
