package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Renewal is what a person who is signed in has proved beyond that.
type Renewal struct {
	// FactorAt is when they showed a second factor, and AMR by which methods (RFC
	// 8176).
	FactorAt time.Time
	AMR      []string
	// Method is what the record calls it.
	Method string
}

// Renew makes a session in the place of one that lives, with a new id and a new
// token, since whoever knows the old one must not come by what the person has
// proved since. All else stays, the end and the device too; so does when it began,
// for whoever ends sessions by that. What the old one has open is closed.
//
// The old session ends and the new one begins in one step of SQL, which whoever
// ends sessions comes before, and then there is no new one, or behind, and then
// finds it. A person who is not active, a blocked device and a closed connection
// are found in the same step.
func (s *Service) Renew(ctx context.Context, cause audit.Cause, old *Live, r Renewal) (Created, error) {
	tenant := old.session.Tenant
	if err := s.ready(ctx, tenant); err != nil {
		return Created{}, err
	}
	if !old.Current() {
		return Created{}, errUnknown
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	token, hash := newToken()
	made := Created{Token: token, Session: old.Session()}
	made.Session.ID, made.Session.SeenAt, made.Session.FactorAt = identity.NewSessionID(), now, notAfter(r.FactorAt, now)
	made.Session.AMR = union(made.Session.AMR, r.AMR)
	event := cause.Event(tenant, audit.SessionSteppedUp, audit.Success)
	event.Target = audit.Target{Kind: "session", ID: string(made.Session.ID)}
	event.Details = map[string]string{"replaced": string(old.session.ID), "amr": strings.Join(made.Session.AMR, " "), "second_factor": r.Method}
	if _, err := s.journal.Commit(ctx, event); err != nil {
		return Created{}, err
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), effectTime)
	defer cancel()
	live := NewLive(made.Session, hash)
	if err := s.registry.Add(ctx, live); err != nil {
		return Created{}, unavailable(err)
	}
	var ended []endedRow
	err := s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		refresh, err := takeRefresh(ctx, tx, old.session.ID)
		if err != nil {
			return err
		}
		ended, err = endRows(ctx, tx, Selector{Session: old.session.ID}, now, ReasonReplaced)
		if err == nil && len(ended) == 0 {
			err = errUnknown // somebody has ended it
		}
		if err != nil {
			return err
		}
		if err := renewRow(ctx, tx, live, old.session.ID); err != nil {
			return err
		}
		if err := putRefresh(ctx, tx, made.Session.ID, refresh); err != nil || s.carry == nil {
			return err
		}
		return s.carry(ctx, tx, old.session.ID, made.Session.ID)
	})
	if err != nil {
		_, endErr := s.registry.End(ctx, tenant, Selector{Session: made.Session.ID}, []TokenHash{hash}, ReasonUnfinished)
		if errors.Is(err, errUnknown) && endErr == nil {
			return Created{}, errUnknown
		}
		return Created{}, unavailable(fmt.Errorf("renew the session: %w", errors.Join(err, endErr)))
	}
	if live.Ended() {
		// Revoked before its row was there: the row must not outlive it.
		if _, err := s.endInSQL(ctx, tenant, Selector{Session: made.Session.ID}, ReasonUnfinished); err != nil {
			return Created{}, unavailable(err)
		}
		return Created{}, errRevoked
	}
	if _, err := s.registry.End(ctx, tenant, Selector{Session: old.session.ID}, hashesOf(ended), ReasonReplaced); err != nil {
		return Created{}, unavailable(err)
	}
	return made, nil
}

// renewRow writes the row of a session that takes the place of one that has just
// ended in the same transaction; errUnknown if nobody may be served by it.
func renewRow(ctx context.Context, tx *store.Tx, live *Live, old identity.SessionID) error {
	s := &live.session
	n, err := tx.Exec(ctx, `INSERT INTO sessions
		(id, token_hash, user_id, device_id, connection_id, idp_subject, idp_session, logout_hint, amr, acr,
		 ip, user_agent, auth_at, created_at, seen_at, expires_at, factor_at, until_at)
		SELECT $1, $2, o.user_id, o.device_id, o.connection_id, o.idp_subject, o.idp_session, o.logout_hint, $3, o.acr,
			o.ip, o.user_agent, o.auth_at, o.created_at, $4, o.expires_at, $5, o.until_at
		FROM sessions o JOIN users u ON u.id = o.user_id AND u.active JOIN devices d ON d.id = o.device_id AND NOT d.blocked
			JOIN connections c ON c.id = o.connection_id AND c.enabled
		WHERE o.id = $6`,
		s.ID, live.hash[:], strings.Join(s.AMR, " "), store.Millis(s.SeenAt), store.Millis(s.FactorAt), old)
	if err == nil && n == 0 {
		err = errUnknown
	}
	return err
}

// union gives what is in either, each once.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
