package token

import (
	"context"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// Overlap is how long a token stays good beside the one that takes its place where
// nobody says otherwise. It lies between MinOverlap and MaxOverlap.
const (
	Overlap    = 24 * time.Hour
	MinOverlap = time.Minute
	MaxOverlap = 7 * 24 * time.Hour
)

var (
	errEnded   = fault.New(fault.Conflict, "token-ended", "This token is revoked or expired. Make a new one.")
	errRotated = fault.New(fault.Conflict, "token-rotated", "Another token takes the place of this one already. Rotate that one.")
	errNotSCIM = fault.New(fault.Conflict, "not-rotated", "Tokens for the API are not rotated: make a new one, and revoke this one once it is in use.")
)

// Rotate makes a SCIM token that takes the place of another one: of the same name,
// connection and access, and, for the secret of an OAuth client, of the same client. The
// old one is good for the overlap, but no longer than it was to be.
func (s *Service) Rotate(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, overlap time.Duration, expires time.Time) (Token, string, error) {
	if overlap < MinOverlap || overlap > MaxOverlap {
		return Token{}, "", invalid("The overlap lies between a minute and 7 days.")
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	old, err := s.Find(ctx, tenant, id)
	switch {
	case err != nil:
		return Token{}, "", err
	case old.Scope != ScopeSCIM:
		return Token{}, "", errNotSCIM
	case !old.RevokedAt.IsZero() || !old.ExpiresAt.After(now):
		return Token{}, "", errEnded
	case old.Successor != "":
		return Token{}, "", errRotated
	}
	spec := Spec{Name: old.Name, Scope: old.Scope, Connection: old.Connection, Access: old.Access, Expires: expires}
	if err := spec.check(now); err != nil {
		return Token{}, "", err
	}
	if err := s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) error { return room(ctx, tx, now, "") }); err != nil {
		return Token{}, "", unavailable(err)
	}
	made := old
	made.ID, made.CreatedBy, made.CreatedAt, made.LastUsedAt = identity.NewTokenID(), creator(cause.Actor), now, time.Time{}
	made.ExpiresAt = expires.UTC().Truncate(time.Millisecond)
	until := old.ExpiresAt
	if end := now.Add(overlap); end.Before(until) {
		until = end
	}
	secret, hash := newSecret()
	e := cause.Event(tenant, audit.TokenRotated, audit.Success)
	e.Target, e.Details = target(old), details(old)
	e.Details["successor"], e.Details["until"], e.Details["expires"] = string(made.ID), until.Format(time.RFC3339), made.ExpiresAt.Format(time.RFC3339)
	err = s.change(ctx, tenant, e, func(ctx context.Context, tx *store.Tx) error {
		s.cache.forget(tenant)
		n, err := tx.Exec(ctx, `UPDATE tokens SET successor_id = $1, expires_at = $2 WHERE id = $3 AND successor_id = '' AND revoked_at IS NULL`,
			string(made.ID), store.Millis(until), string(old.ID))
		if err == nil && n == 0 {
			err = errRotated // another call was faster
		}
		if err != nil {
			return err
		}
		return insert(ctx, tx, made, hash)
	})
	s.cache.forget(tenant)
	if err != nil {
		return Token{}, "", err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	// A node that does not hear of it is told again until it does, long before the old
	// token is to end there; without its secret the new one would be lost.
	_ = s.announce(ctx, tenant)
	return made, secret, nil
}

// TakeOver makes a token for the API somebody else's: it ends with them, and no more
// with whose it was. Whoever has its secret keeps it.
func (s *Service) TakeOver(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, by identity.UserID) (Token, error) {
	t, err := s.Find(ctx, tenant, id)
	switch {
	case err != nil:
		return Token{}, err
	case t.Scope != ScopeAPI:
		return Token{}, fault.New(fault.Conflict, "not-owned", "A SCIM token is nobody's: it does not end with who has made it.")
	case by == "":
		return Token{}, fault.New(fault.Denied, "person-needed", "Only a person can take a token over, since it ends with them. Sign in.")
	case !t.RevokedAt.IsZero() || !t.ExpiresAt.After(s.now()):
		return Token{}, errEnded
	case t.Owner == by:
		return t, nil
	}
	e := cause.Event(tenant, audit.TokenTakenOver, audit.Success)
	e.Target, e.Details = target(t), details(t)
	err = s.change(ctx, tenant, e, func(ctx context.Context, tx *store.Tx) error {
		if err := roomOf(ctx, tx, s.now(), by); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE tokens SET owner_id = $1 WHERE id = $2 AND owner_id = $3 AND revoked_at IS NULL AND `+ownerActive("$1")+` AND `+ownerActive("$3"),
			string(by), string(id), string(t.Owner))
		if err == nil && n == 0 { // it, or who takes it over, has ended
			err = errEnded
		}
		return err
	})
	t.Owner = by
	return t, err
}

// checkConnection refuses a connection whose provider has nothing to push.
func (s *Service) checkConnection(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) error {
	if s.connections == nil {
		return invalid("There is no such connection.")
	}
	c, err := s.connections.ConnectionByID(ctx, tenant, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return invalid("There is no such connection.")
	case err == nil && c.Type == tenants.Local:
		return invalid("Local accounts come from no identity provider: nobody provisions them.")
	}
	return unavailable(err)
}
