package token

import (
	"context"
	"errors"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

var (
	errNoToken   = fault.New(fault.NotFound, "no-such-token", "There is no such token.")
	errOwnerGone = fault.New(fault.Denied, "person-inactive", "Whoever is deactivated has no tokens.")
)

// Why tokens are revoked by themselves, as the journal keeps it.
const (
	reasonConnection = "connection-deleted"
	reasonPerson     = "person-left"
)

// closedFor is how long after its revocation something may still be open by a token,
// because the call that was to close it has failed: whoever repeats it closes that.
const closedFor = time.Hour

// Revoke takes a token back: when it returns, the token no longer verifies on any node,
// nor does an access token that it was exchanged for, and what it had open is closed
// (P2). Taking back one that is revoked already changes nothing, but closes what is
// still open.
func (s *Service) Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID) error {
	t, err := s.Find(ctx, tenant, id)
	if err != nil {
		return err
	}
	return s.revoke(ctx, cause, tenant, []Token{t}, "")
}

// Find gives a token by its id, also one that is not good any more.
func (s *Service) Find(ctx context.Context, tenant identity.TenantID, id identity.TokenID) (t Token, err error) {
	err = s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		t, err = store.One(ctx, tx, scan, `SELECT `+columns+` FROM tokens WHERE id = $1`, string(id))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return Token{}, errNoToken
	}
	return t, unavailable(err)
}

// EndUser takes back the API tokens of somebody who is deactivated or deleted (P9): see
// [Service.Revoke]. It may be repeated after an error.
func (s *Service) EndUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID) error {
	return s.revokeAll(ctx, cause, tenant, "owner_id", string(user), reasonPerson)
}

// DropConnection takes back the tokens and clients of a connection that is about to be
// deleted: see [Service.Revoke]. It may be repeated after an error.
func (s *Service) DropConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.ConnectionID) error {
	return s.revokeAll(ctx, cause, tenant, "connection_id", string(id), reasonConnection)
}

func (s *Service) revokeAll(ctx context.Context, cause audit.Cause, tenant identity.TenantID, column, value, reason string) error {
	if value == "" {
		return nil
	}
	found, err := s.of(ctx, tenant, column, value)
	if err != nil || len(found) == 0 {
		return err
	}
	return s.revoke(ctx, cause, tenant, found, reason)
}

// of gives the tokens with a value in a column by which something may be open.
func (s *Service) of(ctx context.Context, tenant identity.TenantID, column, value string) (found []Token, err error) {
	err = s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		found, err = store.All(ctx, tx, scan, `SELECT `+columns+` FROM tokens
			WHERE `+column+` = $1 AND `+column+` <> '' AND expires_at > $2 AND (revoked_at IS NULL OR revoked_at > $2)`, value, store.Millis(s.now().Add(-closedFor)))
		return err
	})
	return found, unavailable(err)
}

// EndConnection closes what tokens of a connection have open that has been disabled. It
// may be repeated after an error.
func (s *Service) EndConnection(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) error {
	found, err := s.of(ctx, tenant, "connection_id", string(id))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	return s.end(ctx, tenant, found)
}

// revoke takes tokens back that are not revoked yet, and closes what any of them has
// open.
func (s *Service) revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, found []Token, reason string) error {
	var events []audit.Event
	for _, t := range found {
		if t.RevokedAt.IsZero() {
			e := cause.Event(tenant, audit.TokenRevoked, audit.Success)
			e.Target, e.Details, e.Reason = target(t), details(t), reason
			events = append(events, e)
		}
	}
	if err := audit.CommitAll(ctx, s.journal, events); err != nil {
		return unavailable(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	// Forgotten before and after: a verification under way may read the row
	// before it changes and remember it in between.
	s.cache.forget(tenant)
	err := s.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		for _, t := range found {
			if _, err := tx.Exec(ctx, `UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL`, store.Millis(s.now()), string(t.ID)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM access_tokens WHERE token_id = $1`, string(t.ID)); err != nil {
				return err
			}
		}
		return nil
	})
	s.cache.forget(tenant)
	// A commit that seems to have failed may have taken effect.
	return unavailable(errors.Join(err, s.end(ctx, tenant, found)))
}

// end closes what tokens have open. They are told of together: one after the other, those
// of somebody who has many would not be in time.
func (s *Service) end(ctx context.Context, tenant identity.TenantID, tokens []Token) error {
	if s.streams == nil || len(tokens) == 0 {
		return nil
	}
	ids := make([]string, len(tokens))
	for i, t := range tokens {
		ids[i] = string(t.ID)
	}
	return s.streams.End(ctx, tenant, ids...)
}
