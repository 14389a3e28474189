package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

const (
	// usedEvery is how often the last use is written down.
	usedEvery = 10 * time.Second
	// lookEvery is for how long a token may be good on a node because another one was
	// killed before it could tell.
	lookEvery = time.Minute
	// purgeEvery is how often rows that nobody will ask for are deleted, and purgeBatch how
	// many at a time, so that nobody waits long for it.
	purgeEvery = time.Hour
	purgeBatch = 1000
	// keepEnded is how long a token that has ended stays in the list; the journal tells of it
	// for longer.
	keepEnded = 90 * 24 * time.Hour
)

// Run writes down when tokens were last used until ctx ends, and once more then. It
// looks anew at what this node remembers, and through all tenants for what is left.
func (s *Service) Run(ctx context.Context) error {
	used, again, all := time.NewTicker(usedEvery), time.NewTicker(lookEvery), time.NewTicker(purgeEvery)
	defer used.Stop()
	defer again.Stop()
	defer all.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), usedEvery)
			defer cancel()
			return s.flush(last)
		case <-again.C:
			s.look(ctx)
		case <-all.C:
			s.purge(ctx)
		case <-used.C:
			_ = s.flush(ctx) // what was not written is there for the next turn
		}
	}
}

// flush writes the last uses of every tenant. One tenant's failure keeps its
// own for the next time.
func (s *Service) flush(ctx context.Context) error {
	var failures []error
	for tenant, uses := range s.cache.takeUses() {
		err := s.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
			for id, at := range uses {
				if _, err := tx.Exec(ctx, `UPDATE tokens SET last_used_at = $1 WHERE id = $2 AND last_used_at < $1`, store.Millis(at), id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			for id, at := range uses {
				s.cache.used(tenant, id, at)
			}
			failures = append(failures, fmt.Errorf("token: write last uses of %s: %w", tenant, err))
		}
	}
	return errors.Join(failures...)
}

// look looks anew at the tokens that this node remembers. A node that is killed while it
// ends one may not have told: what SQL does not call good is closed on every node (P2, P9).
func (s *Service) look(ctx context.Context) {
	for tenant, ids := range s.cache.held(s.now()) {
		err := s.endOrphans(ctx, tenant)
		if err == nil {
			err = s.endOthers(ctx, tenant, ids)
		}
		if err != nil {
			s.log.WarnContext(ctx, "tokens that may have ended were not looked at anew", "tenant", tenant, "error", err)
		}
	}
}

func (s *Service) endOthers(ctx context.Context, tenant identity.TenantID, ids []string) error {
	good, err := s.Good(ctx, tenant, ids)
	if err != nil {
		return err
	}
	var ended []Token
	for _, id := range ids {
		if !good[id] {
			ended = append(ended, Token{ID: identity.TokenID(id)})
		}
	}
	if len(ended) == 0 {
		return nil
	}
	s.cache.forget(tenant)
	return s.end(ctx, tenant, ended)
}

// endOrphans takes back the tokens of people who have left: see [ownerActive].
func (s *Service) endOrphans(ctx context.Context, tenant identity.TenantID) error {
	for {
		var left []Token
		err := s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
			left, err = store.All(ctx, tx, scan, `SELECT `+columns+` FROM tokens
				WHERE owner_id <> '' AND revoked_at IS NULL AND expires_at > $1 AND NOT `+ownerActive("owner_id")+` LIMIT $2`, store.Millis(s.now()), purgeBatch)
			return err
		})
		if err != nil || len(left) == 0 {
			return err
		}
		if err := s.revoke(ctx, audit.SystemCause(), tenant, left, reasonPerson); err != nil {
			return err
		}
	}
}

// purge ends what people have left behind, and deletes what ended long ago.
func (s *Service) purge(ctx context.Context) {
	now := s.now()
	for _, tenant := range s.tenants() {
		err := s.endOrphans(ctx, tenant)
		for _, old := range []struct {
			query  string
			before time.Time
		}{
			{`DELETE FROM access_tokens WHERE hash IN (SELECT hash FROM access_tokens WHERE expires_at <= $1 LIMIT $2)`, now},
			{`DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at < $1 OR revoked_at < $1 LIMIT $2)`, now.Add(-keepEnded)},
		} {
			for n := int64(purgeBatch); err == nil && n == purgeBatch; {
				err = s.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
					n, err = tx.Exec(ctx, old.query, store.Millis(old.before), purgeBatch)
					return err
				})
			}
		}
		if err != nil {
			s.log.WarnContext(ctx, "tokens of people who have left, or that ended long ago, were not removed", "tenant", tenant, "error", err)
		}
	}
}
