package sessions

import (
	"context"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Limits bound a tenant's sessions. Zero means that there is no such limit.
type Limits struct {
	Idle     time.Duration // since the last request
	Absolute time.Duration // since the sign-in
	// PerPerson is how many sessions a person has at once. One more ends the
	// oldest, or is refused.
	PerPerson int
	Refuse    bool
}

// trimBatch is how many sessions too many one query of [Service.Trim] finds.
const trimBatch = 500

func errFull(most int) error {
	return fault.New(fault.Denied, "too-many-sessions",
		"You are signed in %d times already, which is as often as your organisation allows. Sign out somewhere else first.", most)
}

// counted are the live sessions that count against a person's limit: those that
// have run out only wait for their end.
const counted = `ended_at IS NULL AND seen_at > $2 AND created_at > $3`

// since are the parameters of [counted].
func (l Limits) since(now time.Time) (seen, created int64) {
	if l.Idle > 0 {
		seen = store.Millis(now.Add(-l.Idle))
	}
	if l.Absolute > 0 {
		created = store.Millis(now.Add(-l.Absolute))
	}
	return seen, created
}

// room refuses a sign-in for which there is no room, where the oldest does not
// make it. The session that it replaces is as good as gone; the one in which a
// program was allowed has to stay, also if it is the only one there may be.
func (s *Service) room(ctx context.Context, tenant identity.TenantID, n NewSession, now time.Time) error {
	limits := s.limits(tenant)
	if n.Program != nil && limits.PerPerson == 1 {
		return errFull(limits.PerPerson)
	}
	if limits.PerPerson == 0 || !limits.Refuse {
		return nil
	}
	replaced, _ := hashToken(n.Replaces)
	seen, created := limits.since(now)
	var live int
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		live, err = store.One(ctx, tx, store.Scalar[int],
			`SELECT count(*) FROM sessions WHERE user_id = $1 AND `+counted+` AND token_hash <> $4`, n.User, seen, created, replaced[:])
		return err
	})
	switch {
	case err != nil:
		return unavailable(err)
	case live >= limits.PerPerson:
		return errFull(limits.PerPerson)
	}
	return nil
}

// makeRoom ends the oldest sessions of a person who signs in once more. However old it
// is, the one in which they have allowed a program is not among them: with it would go
// what there is to be room for.
func (s *Service) makeRoom(ctx context.Context, cause audit.Cause, tenant identity.TenantID, n *NewSession, now time.Time) error {
	limits := s.limits(tenant)
	if limits.PerPerson == 0 || limits.Refuse {
		return nil
	}
	seen, created := limits.since(now)
	var spared identity.SessionID
	if n.Program != nil {
		spared = n.Program.AllowedBy
	}
	var oldest []identity.SessionID
	err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		oldest, err = store.All(ctx, tx, store.Scalar[identity.SessionID],
			`SELECT id FROM sessions WHERE user_id = $1 AND `+counted+` ORDER BY CASE id WHEN $6 THEN 0 ELSE 1 END, created_at DESC, id DESC LIMIT $4 OFFSET $5`,
			n.User, seen, created, trimBatch, limits.PerPerson-1, spared)
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	return s.endEach(ctx, cause, tenant, oldest)
}

func (s *Service) endEach(ctx context.Context, cause audit.Cause, tenant identity.TenantID, all []identity.SessionID) error {
	for _, id := range all {
		if _, err := s.Revoke(ctx, cause, tenant, Selector{Session: id}, ReasonLimit); err != nil {
			return err
		}
	}
	return nil
}

// Trim ends the oldest sessions of those who have more than the tenant's limit
// of this moment allows. When it returns without an error, P2 holds for them.
func (s *Service) Trim(ctx context.Context, cause audit.Cause, tenant identity.TenantID) error {
	most := s.limits(tenant).PerPerson
	if most == 0 {
		return nil
	}
	for {
		var over []identity.SessionID
		err := s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
			over, err = store.All(ctx, tx, store.Scalar[identity.SessionID], `SELECT id FROM (SELECT id,
				row_number() OVER (PARTITION BY user_id ORDER BY created_at DESC, id DESC) AS place FROM sessions WHERE ended_at IS NULL) AS placed
				WHERE place > $1 LIMIT $2`, most, trimBatch)
			return err
		})
		if err != nil {
			return unavailable(err)
		}
		if err := s.endEach(ctx, cause, tenant, over); err != nil || len(over) < trimBatch {
			return err
		}
	}
}
