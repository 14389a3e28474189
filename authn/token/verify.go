package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

var errBadToken = fault.New(fault.Unauthenticated, fault.InvalidToken, "The token is not valid: it is unknown, revoked or expired.")

// Verify says whose token a secret is. Whatever does not verify is the same
// [fault.Unauthenticated]: it says nothing about whether there was such a token.
func (s *Service) Verify(ctx context.Context, tenant identity.TenantID, secret string) (*identity.Principal, error) {
	if !wellFormed(secret) {
		return nil, errBadToken
	}
	now := s.now()
	key := cacheKey{tenant, sha256.Sum256([]byte(secret))}
	found, ok := s.cache.get(key)
	if !ok {
		var err error
		if found, err = s.load(ctx, key); err != nil {
			return nil, err
		}
	}
	if !found.Expires.After(now) {
		return nil, errBadToken
	}
	open, err := s.open(ctx, tenant, found.Connection)
	if err != nil {
		return nil, err
	}
	if !open {
		return nil, errBadToken
	}
	s.cache.used(tenant, found.ID, now)
	return found, nil
}

// open reports whether tokens of a connection are good: it is there, and enabled.
// Those of none are.
func (s *Service) open(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) (bool, error) {
	if id == "" {
		return true, nil
	}
	if s.connections == nil {
		return false, nil
	}
	c, err := s.connections.ConnectionByID(ctx, tenant, id)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && c.Enabled, unavailable(err)
}

// ownerActive is the condition that the person whose id is in this place is active, or
// that there is none. The end of their tokens follows their deactivation: a node that
// is killed between the two leaves none that is good.
func ownerActive(place string) string {
	return `(` + place + ` = '' OR EXISTS (SELECT 1 FROM users u WHERE u.id = ` + place + ` AND u.active))`
}

func (s *Service) load(ctx context.Context, key cacheKey) (*identity.Principal, error) {
	if err := httpkit.Haste(ctx); err != nil {
		return nil, err // until it has verified, anybody can have made it up
	}
	turn := s.cache.turn(key.tenant)
	var p *identity.Principal
	err := s.stores.Tenant(key.tenant).Read(ctx, func(tx *store.Tx) (err error) {
		t, err := store.One(ctx, tx, scan, `SELECT `+columns+` FROM tokens WHERE hash = $1 AND client_id = '' AND revoked_at IS NULL AND `+ownerActive("owner_id"), key.hash[:])
		if errors.Is(err, store.ErrNoRows) {
			t, err = granted(ctx, tx, key.hash)
		}
		p = t.principal(key.tenant)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, errBadToken
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("look a token up: %w", err))
	}
	s.cache.put(key, p, turn)
	return p, nil
}

// principal is who shows a token.
func (t Token) principal(tenant identity.TenantID) *identity.Principal {
	p := &identity.Principal{Kind: identity.KindAPIToken, Tenant: tenant, ID: string(t.ID), Name: t.Name, Role: t.Role, Expires: t.ExpiresAt}
	if t.Scope == ScopeSCIM {
		p.Kind, p.Connection, p.Access = identity.KindSCIMToken, t.Connection, t.Access
	}
	return p
}

// goodBatch is how many tokens one query of [Service.Good] asks for.
const goodBatch = 500

// Good gives those of some tokens that are neither revoked nor expired, as SQL
// says.
func (s *Service) Good(ctx context.Context, tenant identity.TenantID, ids []string) (map[string]bool, error) {
	good := make(map[string]bool, len(ids))
	for batch := range slices.Chunk(ids, goodBatch) {
		args, places := []any{store.Millis(s.now())}, make([]string, len(batch))
		for i, id := range batch {
			args, places[i] = append(args, id), "$"+strconv.Itoa(i+2)
		}
		var found []Token
		err := s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
			found, err = store.All(ctx, tx, scan, `SELECT `+columns+` FROM tokens
				WHERE revoked_at IS NULL AND expires_at > $1 AND `+ownerActive("owner_id")+` AND id IN (`+strings.Join(places, ", ")+`)`, args...)
			return err
		})
		if err != nil {
			return nil, unavailable(err)
		}
		for _, t := range found {
			if good[string(t.ID)], err = s.open(ctx, tenant, t.Connection); err != nil {
				return nil, err
			}
		}
	}
	return good, nil
}
