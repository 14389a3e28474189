package sessions

import (
	"context"
	"errors"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// orphans are live sessions whose end a crash prevented, after what they hang on
// was closed: a later re-activation must not bring them back.
type orphans struct {
	// query gives what they hang on, up to $1 of it, and how many hang on each.
	query  string
	on     func(id string) Selector
	reason string
}

const liveOf = `(SELECT count(*) FROM sessions s WHERE s.ended_at IS NULL AND s.`

var (
	// closed are those that would be served again if what they hang on came back. The
	// queries begin with what is closed, which is little, and leave no planner another
	// way: they cost the same however many sessions live.
	closed = []orphans{
		{`SELECT id, n FROM (SELECT u.id, ` + liveOf + `user_id = u.id) AS n FROM users u WHERE NOT u.active) AS x WHERE n > 0 LIMIT $1`,
			func(id string) Selector { return Selector{User: identity.UserID(id)} }, ReasonUserInactive},
		{`SELECT id, n FROM (SELECT d.id, ` + liveOf + `device_id = d.id) AS n FROM devices d WHERE d.blocked) AS x WHERE n > 0 LIMIT $1`,
			func(id string) Selector { return Selector{Device: identity.DeviceID(id)} }, ReasonDeviceBlocked},
		{`SELECT id, n FROM (SELECT c.id, ` + liveOf + `connection_id = c.id) AS n FROM connections c WHERE NOT c.enabled) AS x WHERE n > 0 LIMIT $1`,
			func(id string) Selector { return Selector{Connection: identity.ConnectionID(id)} }, ReasonConnectionClosed},
		{lostAccounts, ofSession, ReasonCredentialsReplaced},
		{unlinked, ofSession, ReasonIdentityUnlinked},
		// Whatever else somebody has from before they set new credentials.
		{`SELECT id, n FROM (SELECT a.user_id AS id, ` + liveOf + `user_id = a.user_id AND s.created_at < a.accepted_at) AS n FROM local_accounts a) AS x WHERE n > 0 LIMIT $1`,
			func(id string) Selector { return Selector{User: identity.UserID(id)} }, ReasonCredentialsReplaced},
	}
	// departed are those of people and connections that were deleted. None is served
	// again, since nobody gets the id, so it is enough to look for them now and then:
	// all live sessions are gone through.
	departed = []orphans{
		{`SELECT s.user_id, count(*) FROM sessions s WHERE s.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = s.user_id)
			GROUP BY s.user_id LIMIT $1`,
			func(id string) Selector { return Selector{User: identity.UserID(id)} }, ReasonUserInactive},
		{`SELECT s.connection_id, count(*) FROM sessions s WHERE s.ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.id = s.connection_id)
			GROUP BY s.connection_id LIMIT $1`,
			func(id string) Selector { return Selector{Connection: identity.ConnectionID(id)} }, ReasonConnectionClosed},
		{lostAccounts, ofSession, ReasonCredentialsReplaced},
		{unlinked, ofSession, ReasonIdentityUnlinked},
	}
)

// unlinked gives the sessions begun by identities before these were taken from their
// person, by somebody who could not go on to end them, and may not ask for it again; and
// what was begun after that in those that went on.
const unlinked = `SELECT s.id, 1 FROM unlinked_identities x CROSS JOIN sessions s
	WHERE s.connection_id = x.connection_id AND s.idp_subject = x.subject AND s.ended_at IS NULL AND s.user_id = x.user_id AND (s.created_at + 0 <= x.unlinked_at OR NOT EXISTS (
		SELECT 1 FROM identities i WHERE i.connection_id = x.connection_id AND i.subject = x.subject AND i.user_id = x.user_id)) LIMIT $1`

// lostAccounts gives the sessions by local accounts that are not there any more, or
// whose credentials were replaced: whoever replaced them could not go on to end what
// the old ones had made, and nobody is there to ask for it again. Where providers name
// their session stands the generation of the credentials, alone or before a space.
const lostAccounts = `SELECT s.id, 1 FROM connections c JOIN sessions s ON s.connection_id = c.id AND s.ended_at IS NULL AND NOT s.program
	LEFT JOIN local_accounts a ON a.user_id = s.user_id
	WHERE c.type = 'local' AND (a.user_id IS NULL OR s.idp_session <> 'generation ' || a.generation AND s.idp_session NOT LIKE 'generation ' || a.generation || ' %') LIMIT $1`

func ofSession(id string) Selector { return Selector{Session: identity.SessionID(id)} }

// orphansBatch is for how many of what they hang on orphans are ended at once.
const orphansBatch = 1000

// endOrphans ends orphans. Before a tenant is loaded none of them is here, but
// another node may serve them.
func (s *Service) endOrphans(ctx context.Context, tenant identity.TenantID, kinds []orphans) error {
	for _, kind := range kinds {
		for {
			n, all, err := s.findOrphans(ctx, tenant, kind)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			event := audit.SystemCause().Event(tenant, audit.SessionsRevoked, audit.Success)
			event.Reason, event.Message = kind.reason, "Sessions of inactive people, blocked devices, closed connections, replaced credentials or unlinked identities, left open by a crash, were ended."
			event.Count = n
			if _, err := s.journal.Commit(ctx, event); err != nil {
				return err
			}
			for _, sel := range all {
				rows, err := s.endInSQL(ctx, tenant, sel, kind.reason)
				_, _, told := s.endServed(ctx, tenant, sel, kind.reason, rows, nil, err == nil)
				if errors.Is(told, ErrNotLoaded) {
					told = nil
				}
				if err := errors.Join(err, told); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Service) findOrphans(ctx context.Context, tenant identity.TenantID, kind orphans) (n int64, all []Selector, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		all, err = store.All(ctx, tx, func(row store.Row) (Selector, error) {
			var id string
			var some int64
			err := row.Scan(&id, &some)
			n += some
			return kind.on(id), err
		}, kind.query, orphansBatch)
		return err
	})
	return n, all, err
}
