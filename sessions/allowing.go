package sessions

import (
	"context"
	"errors"
	"slices"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// follow makes sure that the session lives in which a program was allowed, or the one
// that has taken its place, and has the program go by that one.
func (s *Service) follow(ctx context.Context, tenant identity.TenantID, n *NewSession) error {
	if n.Program == nil {
		return nil
	}
	for range admitTries {
		var allowed bool
		err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
			allowed, err = s.allowed(ctx, tx, tenant, n)
			return err
		})
		if err != nil {
			return unavailable(err)
		}
		if allowed {
			return nil
		}
		if n.Program.Carried == nil {
			return errDisowned
		}
		by, err := n.Program.Carried(ctx)
		if err != nil {
			return err
		}
		if by == n.Program.AllowedBy {
			return errDisowned
		}
		n.Program.AllowedBy = by
	}
	return errDisowned
}

// boundProgram has a program's session end with the provider's, as the one does in
// which it was allowed.
func (s *Service) boundProgram(ctx context.Context, tenant identity.TenantID, n *NewSession) error {
	if n.Program == nil {
		return nil
	}
	var until int64
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		until, err = store.One(ctx, tx, store.Scalar[int64], `SELECT until_at FROM sessions WHERE id = $1 AND user_id = $2`, n.Program.AllowedBy, n.User)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil // and so there will be none, as is found out where it would be made
	}
	if err != nil {
		return unavailable(err)
	}
	n.Until = store.Time(until)
	return nil
}

// allowed reports whether the session in which a program was allowed lives: it has not
// ended, nor run out, nor been ended by what SQL has not got yet ([Unsettled]). Who is
// no program needs none.
func (s *Service) allowed(ctx context.Context, tx *store.Tx, tenant identity.TenantID, n *NewSession) (bool, error) {
	if n.Program == nil {
		return true, nil
	}
	by, err := store.One(ctx, tx, func(row store.Row) (Session, error) { return scanSession(tenant, row) },
		`SELECT `+sessionColumns+` FROM sessions s WHERE s.id = $1 AND s.user_id = $2 AND s.ended_at IS NULL`, n.Program.AllowedBy, n.User)
	if errors.Is(err, store.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	limits, idle := s.limits(tenant), time.Duration(0)
	if limits.Idle > 0 {
		idle = limits.Idle + flushEvery // SQL is behind by that
	}
	if NewLive(by, TokenHash{}).expired(time.Now().UnixMilli(), idle, limits.Absolute) {
		return false, nil
	}
	return !slices.ContainsFunc(s.owed(), func(u Unsettled) bool { return u.Tenant == tenant && u.Selector.Selects(&by) }), nil
}
