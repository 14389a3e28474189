package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/internal/throttle"
)

const (
	// accessLife is how long an access token is good.
	accessLife = time.Hour
	// maxAccess bounds the access tokens that one secret of a client has: the oldest go.
	maxAccess = 100
)

// grants is how often a client may ask: each answer is a record and a row. One that
// asks anew for every request of a full load is held up.
var grants = throttle.Limit{Every: time.Second, Burst: 120}

// Refusals of [Service.Grant].
var (
	ErrClient = fault.New(fault.Unauthenticated, "client-unknown", "The client is unknown, revoked or expired, or its secret is wrong.")
	ErrAccess = fault.New(fault.Invalid, "scope-unknown", "The client may not do what the scope asks for, or the scope is unknown.")
)

// Grant gives an OAuth client an access token (RFC 6749 §4.4), for what scope names, and
// without one for all that the client may do. It is good as its bearer's SCIM token for
// an hour, and no longer than the secret that it was given for.
func (s *Service) Grant(ctx context.Context, cause audit.Cause, tenant identity.TenantID, client, secret, scope string) (access string, may identity.Access, life time.Duration, err error) {
	if client == "" || !wellFormed(secret) {
		return "", nil, 0, ErrClient
	}
	if err := httpkit.Haste(ctx); err != nil {
		return "", nil, 0, err // until it is known, anybody can have made it up
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	key := sha256.Sum256([]byte(secret))
	var t Token
	err = s.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		t, err = store.One(ctx, tx, scan, `SELECT `+columns+` FROM tokens WHERE hash = $1 AND client_id = $2 AND revoked_at IS NULL AND expires_at > $3`,
			key[:], client, store.Millis(now))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return "", nil, 0, ErrClient
	}
	if err != nil {
		return "", nil, 0, unavailable(err)
	}
	open, err := s.open(ctx, tenant, t.Connection)
	if err != nil {
		return "", nil, 0, err
	}
	if !open {
		return "", nil, 0, ErrClient
	}
	if may, err = narrowed(t.Access, scope); err != nil {
		return "", nil, 0, err
	}
	if s.throttle != nil {
		if ok, wait := s.throttle.Allow(ctx, "oauth-client "+string(tenant)+" "+client, grants); !ok {
			return "", nil, 0, &fault.Fault{Kind: fault.TooMany, Code: "too-many-grants", RetryAfter: wait,
				Detail: "The client asks for access tokens too often. One is good for an hour: use it until then."}
		}
	}
	life = min(accessLife, t.ExpiresAt.Sub(now))
	access, hash := newSecret()
	cause.Actor, cause.Connection = audit.ActorOf(t.principal(tenant)), t.Connection
	e := cause.Event(tenant, audit.TokenGranted, audit.Success)
	e.Target, e.Details = target(t), details(t)
	e.Details["access"] = may.String()
	err = s.change(ctx, tenant, e, func(ctx context.Context, tx *store.Tx) error {
		return grant(ctx, tx, t, hash, may, now, now.Add(life))
	})
	if err != nil {
		return "", nil, 0, err
	}
	s.cache.used(tenant, string(t.ID), now)
	return access, may, life, nil
}

// narrowed is what is left of the access of a client by what it asks for.
func narrowed(has identity.Access, scope string) (identity.Access, error) {
	asked, ok := identity.ParseAccess(scope)
	switch {
	case !ok || len(scope) > 256:
		return nil, ErrAccess
	case len(asked) == 0:
		return has, nil
	case !asked.Within(has):
		return nil, ErrAccess
	}
	return asked, nil
}

// grant keeps an access token, unless the client has ended by now, and lets go of those
// that have, and of the oldest beyond what one may have.
func grant(ctx context.Context, tx *store.Tx, t Token, hash digest, may identity.Access, now, until time.Time) error {
	n, err := tx.Exec(ctx, `INSERT INTO access_tokens (hash, token_id, access, created_at, expires_at)
		SELECT $1, $2, $3, $4, $5 WHERE EXISTS (SELECT 1 FROM tokens WHERE id = $2 AND revoked_at IS NULL)`,
		hash[:], string(t.ID), may.String(), store.Millis(now), store.Millis(until))
	if err == nil && n == 0 {
		err = ErrClient
	}
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM access_tokens WHERE token_id = $1 AND (expires_at <= $2 OR created_at <
			(SELECT min(created_at) FROM (SELECT created_at FROM access_tokens WHERE token_id = $1 ORDER BY created_at DESC LIMIT $3) newest))`,
			string(t.ID), store.Millis(now), maxAccess)
	}
	return err
}

// granted finds the client of an access token that is kept as this, as it is by that:
// no longer good, and with no more access.
func granted(ctx context.Context, tx *store.Tx, hash digest) (Token, error) {
	var access string
	var until int64
	var id identity.TokenID
	_, err := store.One(ctx, tx, func(row store.Row) (none struct{}, err error) {
		return none, row.Scan(&id, &access, &until)
	}, `SELECT token_id, access, expires_at FROM access_tokens WHERE hash = $1`, hash[:])
	if err != nil {
		return Token{}, err
	}
	t, err := store.One(ctx, tx, scan, `SELECT `+columns+` FROM tokens WHERE id = $1 AND revoked_at IS NULL`, string(id))
	if err != nil {
		return Token{}, err
	}
	if end := store.Time(until); end.Before(t.ExpiresAt) {
		t.ExpiresAt = end
	}
	t.Access, err = readAccess(access)
	return t, err
}
