package sessions

import (
	"context"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Knows reports whether somebody has signed in by the browser that holds a device
// token, and has not had it blocked. The same is asked for whoever it is.
func (s *Service) Knows(ctx context.Context, tenant identity.TenantID, token string, user identity.UserID) (known bool, err error) {
	hash, sent := hashToken(token)
	if !sent {
		return false, nil
	}
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		known, err = store.One(ctx, tx, store.Scalar[bool], `SELECT EXISTS (SELECT 1 FROM devices WHERE token_hash = $1 AND user_id = $2 AND NOT blocked)`, hash[:], user)
		return err
	})
	if err != nil {
		return false, unavailable(err)
	}
	return known, nil
}
