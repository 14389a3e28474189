package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
)

const (
	// maxTokens bounds the tokens of one tenant that are good.
	maxTokens = 1000
	// usedEvery is how often the last use is written down.
	usedEvery = 10 * time.Second
	// effectTime bounds what follows a record. Its caller may go away, it goes
	// on: what the journal says must come true.
	effectTime = 10 * time.Second
)

// Stores gives the handle on one tenant's data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// Streams are the requests and connections that are open now.
type Streams interface {
	// End closes what a token has open, and returns once it is closed.
	End(ctx context.Context, tenant identity.TenantID, principal string) error
}

// Config names what the service is built of.
type Config struct {
	Store   Stores
	Journal audit.Recorder
	Streams Streams          // nil: nothing is ever open
	Now     func() time.Time // nil: [time.Now]
}

// Service keeps the tokens of every tenant.
type Service struct {
	stores  Stores
	journal audit.Recorder
	streams Streams
	now     func() time.Time
	cache   *cache
}

// New makes the service. [Service.Run] must run beside it.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{stores: c.Store, journal: c.Journal, streams: c.Streams, now: c.Now, cache: newCache()}
}

// Create makes a token. The secret is in the answer and nowhere else.
func (s *Service) Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, spec Spec) (Token, string, error) {
	now := s.now().UTC().Truncate(time.Millisecond)
	if err := spec.check(now); err != nil {
		return Token{}, "", err
	}
	good, err := s.count(ctx, tenant, now)
	if err != nil {
		return Token{}, "", err
	}
	if good >= maxTokens {
		return Token{}, "", fault.New(fault.Conflict, "too-many-tokens", "There are 1000 tokens already. Revoke some that are not used.")
	}
	secret, hash := newSecret()
	t := Token{ID: identity.NewTokenID(), Name: spec.Name, Scope: spec.Scope, Role: spec.Role,
		CreatedBy: creator(cause.Actor), CreatedAt: now, ExpiresAt: spec.Expires.UTC().Truncate(time.Millisecond)}
	e := cause.Event(tenant, audit.TokenCreated, audit.Success)
	e.Target = target(t)
	e.Details = map[string]string{"scope": string(t.Scope), "role": t.Role, "expires": t.ExpiresAt.Format(time.RFC3339)}
	if _, err := s.journal.Commit(ctx, e); err != nil {
		return Token{}, "", unavailable(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	err = s.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO tokens (id, name, scope, role, hash, created_by, created_at, expires_at, last_used_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)`,
			string(t.ID), t.Name, string(t.Scope), t.Role, hash[:], t.CreatedBy, store.Millis(t.CreatedAt), store.Millis(t.ExpiresAt))
		return err
	})
	if err != nil {
		return Token{}, "", unavailable(err)
	}
	return t, secret, nil
}

func creator(a audit.Actor) string {
	if a.ID != "" {
		return a.ID
	}
	return a.Name
}

func target(t Token) audit.Target {
	return audit.Target{Kind: "token", ID: string(t.ID), Name: t.Name}
}

func (s *Service) count(ctx context.Context, tenant identity.TenantID, now time.Time) (n int64, err error) {
	err = s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		n, err = store.One(ctx, tx, store.Scalar[int64], `SELECT count(*) FROM tokens WHERE revoked_at IS NULL AND expires_at > $1`, store.Millis(now))
		return err
	})
	return n, unavailable(err)
}

const columns = `id, name, scope, role, created_by, created_at, expires_at, last_used_at, revoked_at`

func scan(row store.Row) (t Token, err error) {
	var created, expires, used int64
	var revoked *int64
	err = row.Scan(&t.ID, &t.Name, &t.Scope, &t.Role, &t.CreatedBy, &created, &expires, &used, &revoked)
	t.CreatedAt, t.ExpiresAt, t.LastUsedAt = store.Time(created), store.Time(expires), store.Time(used)
	if revoked != nil {
		t.RevokedAt = store.Time(*revoked)
	}
	return t, err
}

// List gives the tokens that are good, newest first, and then those that are
// not, as far as they are among the newest 1000.
func (s *Service) List(ctx context.Context, tenant identity.TenantID) (all []Token, err error) {
	err = s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		all, err = store.All(ctx, tx, scan, `SELECT `+columns+` FROM tokens
			ORDER BY CASE WHEN revoked_at IS NULL AND expires_at > $1 THEN 0 ELSE 1 END, created_at DESC, id DESC LIMIT $2`,
			store.Millis(s.now()), maxTokens)
		return err
	})
	return all, unavailable(err)
}

// Revoke takes a token back: when it returns, the token no longer verifies
// here, and what it had open is closed (P2). Taking back one that is revoked
// already changes nothing, but closes what is still open.
func (s *Service) Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID) error {
	var t Token
	err := s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		t, err = store.One(ctx, tx, scan, `SELECT `+columns+` FROM tokens WHERE id = $1`, string(id))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return fault.New(fault.NotFound, "no-such-token", "There is no such token.")
	}
	if err != nil {
		return unavailable(err)
	}
	if t.RevokedAt.IsZero() {
		e := cause.Event(tenant, audit.TokenRevoked, audit.Success)
		e.Target = target(t)
		e.Details = map[string]string{"scope": string(t.Scope), "role": t.Role}
		if _, err := s.journal.Commit(ctx, e); err != nil {
			return unavailable(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	// Forgotten before and after: a verification under way may read the row
	// before it changes and remember it in between.
	s.cache.forget(tenant)
	err = s.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL`, store.Millis(s.now()), string(id))
		return err
	})
	s.cache.forget(tenant)
	if s.streams != nil { // a commit that seems to have failed may have taken effect
		err = errors.Join(err, s.streams.End(ctx, tenant, string(id)))
	}
	return unavailable(err)
}

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
	s.cache.used(tenant, found.ID, now)
	return found, nil
}

var errBadToken = fault.New(fault.Unauthenticated, fault.InvalidToken, "The token is not valid: it is unknown, revoked or expired.")

func (s *Service) load(ctx context.Context, key cacheKey) (*identity.Principal, error) {
	if err := httpkit.Haste(ctx); err != nil {
		return nil, err // until it has verified, anybody can have made it up
	}
	turn := s.cache.turn(key.tenant)
	var t Token
	err := s.stores.Tenant(key.tenant).Read(ctx, func(tx *store.Tx) (err error) {
		t, err = store.One(ctx, tx, scan, `SELECT `+columns+` FROM tokens WHERE hash = $1 AND revoked_at IS NULL`, key.hash[:])
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, errBadToken
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("look a token up: %w", err))
	}
	p := &identity.Principal{Kind: identity.KindAPIToken, Tenant: key.tenant, ID: string(t.ID), Name: t.Name, Role: t.Role, Expires: t.ExpiresAt}
	if t.Scope == ScopeSCIM {
		p.Kind = identity.KindSCIMToken
	}
	s.cache.put(key, p, turn)
	return p, nil
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
		var found []string
		err := s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
			found, err = store.All(ctx, tx, store.Scalar[string],
				`SELECT id FROM tokens WHERE revoked_at IS NULL AND expires_at > $1 AND id IN (`+strings.Join(places, ", ")+`)`, args...)
			return err
		})
		if err != nil {
			return nil, unavailable(err)
		}
		for _, id := range found {
			good[id] = true
		}
	}
	return good, nil
}

// Run writes down when tokens were last used until ctx ends, and once more then.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(usedEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), usedEvery)
			defer cancel()
			return s.flush(last)
		case <-ticker.C:
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

// Refresh has a tenant's tokens read anew: another node has changed them.
func (s *Service) Refresh(tenant identity.TenantID) { s.cache.forget(tenant) }

// RefreshAll is [Service.Refresh] for every tenant.
func (s *Service) RefreshAll() { s.cache.forgetAll() }

// Forget drops what is kept of a tenant that is deleted.
func (s *Service) Forget(tenant identity.TenantID) {
	s.cache.forget(tenant)
	s.cache.dropUses(tenant)
}

func unavailable(err error) error {
	return fault.OutOfReach(err, "tokens-unavailable", "Tokens cannot be checked or changed right now. Try again in a moment.")
}
