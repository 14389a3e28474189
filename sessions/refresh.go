package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/store"
)

// refreshPurpose binds what is kept for a refresh to its use, and to its row.
const refreshPurpose = "sessions/refresh."

// MaxRefresh is the longest secret that is kept for a refresh, in bytes: longer than
// any that is known of.
const MaxRefresh = 64 << 10

// Refresh is what is kept of a session to ask its identity provider again about the
// person. It is sealed at rest, and goes with the session.
type Refresh struct {
	Session identity.SessionID
	User    identity.UserID
	// Secret is the protocol's own: a refresh token.
	Secret string
	// CheckedAt is when the provider last let the person go on, the sign-in included,
	// and Failures how often in a row it could not be asked since.
	CheckedAt time.Time
	Failures  int

	id      string // stays, whichever session it is kept for
	holder  string
	version int64
}

// DueRefreshes names the sessions by a connection that are to be asked about by now
// and that nobody holds, the longest due first.
func (s *Service) DueRefreshes(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, now time.Time, limit int) ([]identity.SessionID, error) {
	return s.refreshes(ctx, tenant, `due_at <= $2 AND held_until <= $2 ORDER BY due_at`, connection, now, limit)
}

// StaleRefreshes names the sessions by a connection about which the provider has not
// been heard since before, and that nobody holds.
func (s *Service) StaleRefreshes(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, before, now time.Time, limit int) ([]identity.SessionID, error) {
	return s.refreshes(ctx, tenant, `checked_at <= $2 AND held_until <= $3 ORDER BY checked_at`, connection, before, limit, now)
}

func (s *Service) refreshes(ctx context.Context, tenant identity.TenantID, which string, connection identity.ConnectionID, at time.Time, limit int, more ...time.Time) (due []identity.SessionID, err error) {
	args := []any{connection, store.Millis(at)}
	for _, t := range more {
		args = append(args, store.Millis(t))
	}
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		due, err = store.All(ctx, tx, store.Scalar[identity.SessionID],
			`SELECT session_id FROM session_refreshes WHERE connection_id = $1 AND `+which+` LIMIT `+strconv.Itoa(limit), args...)
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return due, nil
}

// UnaskedPrograms names the sessions of programs by a connection about whose people
// nobody is asked: no session of theirs by it has what to ask by.
func (s *Service) UnaskedPrograms(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, limit int) (ids []identity.SessionID, err error) {
	err = s.store.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		ids, err = store.All(ctx, tx, store.Scalar[identity.SessionID], `SELECT s.id FROM sessions s WHERE s.connection_id = $1 AND s.program AND s.ended_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM sessions b JOIN session_refreshes r ON r.session_id = b.id
				WHERE b.user_id = s.user_id AND b.connection_id = s.connection_id AND b.ended_at IS NULL)
			ORDER BY s.id LIMIT `+strconv.Itoa(limit), connection)
		return err
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return ids, nil
}

// ClaimRefresh takes what is kept of a live session for one holder until then, which
// bounds how long a holder that dies keeps others from it. ok is false where another
// holds it, where it is neither due (any more) nor stale since before, if that is set,
// or where the session is over.
func (s *Service) ClaimRefresh(ctx context.Context, tenant identity.TenantID, session identity.SessionID, holder string, now, until, before time.Time) (r Refresh, ok bool, err error) {
	var sealed []byte
	r = Refresh{Session: session, holder: holder}
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		var checked int64
		_, err = store.One(ctx, tx, func(row store.Row) (struct{}, error) {
			return struct{}{}, row.Scan(&r.id, &sealed, &r.version, &checked, &r.Failures)
		}, `UPDATE session_refreshes SET holder = $1, held_until = $2 WHERE session_id = $3 AND held_until <= $4 AND (due_at <= $4 OR checked_at <= $5)
			RETURNING id, secret, version, checked_at, failures`, holder, store.Millis(until), session, store.Millis(now), store.Millis(before))
		if err != nil {
			return err
		}
		r.CheckedAt = store.Time(checked)
		r.User, err = store.One(ctx, tx, store.Scalar[identity.UserID], `SELECT user_id FROM sessions WHERE id = $1 AND ended_at IS NULL`, session)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return Refresh{}, false, nil
	case err != nil:
		return Refresh{}, false, unavailable(err)
	}
	secret, err := s.keys.Open(ctx, tenant, refreshPurpose+r.id, sealed)
	if err != nil {
		return Refresh{}, false, fmt.Errorf("open what is kept to refresh %s: %w", session, err)
	}
	r.Secret = string(secret)
	return r, true, nil
}

// RotateRefresh keeps the provider's new secret instead of the one that was claimed,
// whose use it may have made impossible. Who holds it goes on doing so. kept is false
// if it is another's by now, or the session is over. r names the session for which it
// is kept by now, if that was renewed.
func (s *Service) RotateRefresh(ctx context.Context, tenant identity.TenantID, r *Refresh, secret string) (kept bool, err error) {
	sealed, err := s.keys.Seal(ctx, tenant, refreshPurpose+r.id, []byte(secret))
	if err != nil {
		return false, unavailable(fmt.Errorf("seal what is kept to refresh %s: %w", r.Session, err))
	}
	kept, err = s.changeRefresh(ctx, tenant, r, `secret = $4, version = version + 1`, sealed)
	if kept {
		r.Secret, r.version = secret, r.version+1
	}
	return kept, err
}

// FinishRefresh notes that the provider has let the person go on, and lets go of it
// until due.
func (s *Service) FinishRefresh(ctx context.Context, tenant identity.TenantID, r Refresh, now, due time.Time) error {
	_, err := s.changeRefresh(ctx, tenant, &r, `checked_at = $4, due_at = $5, failures = 0, held_until = 0`, store.Millis(now), store.Millis(due))
	return err
}

// PostponeRefresh notes that the provider could not be asked, and lets go of it until
// due.
func (s *Service) PostponeRefresh(ctx context.Context, tenant identity.TenantID, r Refresh, due time.Time) error {
	_, err := s.changeRefresh(ctx, tenant, &r, `due_at = $4, failures = failures + 1, held_until = 0`, store.Millis(due))
	return err
}

// changeRefresh changes what is still as it was claimed. Where that is not to be
// found it is looked for once more: it is on its way to another session for a moment
// ([Service.Renew]).
func (s *Service) changeRefresh(ctx context.Context, tenant identity.TenantID, r *Refresh, set string, args ...any) (changed bool, err error) {
	for range 2 {
		var session identity.SessionID
		err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
			session, err = store.One(ctx, tx, store.Scalar[identity.SessionID],
				`UPDATE session_refreshes SET `+set+` WHERE id = $1 AND holder = $2 AND version = $3 RETURNING session_id`,
				append([]any{r.id, r.holder, r.version}, args...)...)
			return err
		})
		switch {
		case err == nil:
			r.Session = session // by now
			return true, nil
		case !errors.Is(err, store.ErrNoRows):
			return false, unavailable(err)
		}
	}
	return false, nil
}

// newRefresh is what a session begins with.
type newRefresh struct {
	id     string
	sealed []byte // nil: there is none
	due    time.Time
}

func (s *Service) sealRefresh(ctx context.Context, tenant identity.TenantID, n NewSession) (newRefresh, error) {
	if n.Refresh == "" {
		return newRefresh{}, nil
	}
	if len(n.Refresh) > MaxRefresh {
		return newRefresh{}, fmt.Errorf("sessions: what is to be kept for a refresh has %d bytes", len(n.Refresh))
	}
	id := rand.Text()
	sealed, err := s.keys.Seal(ctx, tenant, refreshPurpose+id, []byte(n.Refresh))
	if err != nil {
		return newRefresh{}, unavailable(fmt.Errorf("seal what is kept for a refresh: %w", err))
	}
	return newRefresh{id, sealed, n.RefreshDue}, nil
}

// insertRefresh writes it beside its session, which the same transaction has written.
func insertRefresh(ctx context.Context, tx *store.Tx, of *Session, r newRefresh) error {
	if r.sealed == nil {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO session_refreshes (id, session_id, connection_id, secret, version, checked_at, due_at, failures, holder, held_until)
		VALUES ($1, $2, $3, $4, 1, $5, $6, 0, '', 0)`, r.id, of.ID, of.Connection, r.sealed, store.Millis(of.CreatedAt), store.Millis(r.due))
	return err
}

// forgetRefreshes deletes what is kept of sessions that have just ended.
func forgetRefreshes(ctx context.Context, tx *store.Tx, ended []endedRow) error {
	if len(ended) == 0 {
		return nil
	}
	ids, places := anyOf(ended, 1, func(e endedRow) any { return e.session })
	_, err := tx.Exec(ctx, `DELETE FROM session_refreshes WHERE session_id IN (`+places+`)`, ids...)
	return err
}

// refreshRow is a row of session_refreshes on its way to another session.
type refreshRow struct {
	id, connection, holder                     string
	secret                                     []byte
	version, checked, due, failures, heldUntil int64
}

// takeRefresh takes away what is kept of a session, for putRefresh in the same
// transaction; nil if there is nothing.
func takeRefresh(ctx context.Context, tx *store.Tx, session identity.SessionID) (*refreshRow, error) {
	r, err := store.One(ctx, tx, func(row store.Row) (r refreshRow, err error) {
		err = row.Scan(&r.id, &r.connection, &r.secret, &r.version, &r.checked, &r.due, &r.failures, &r.holder, &r.heldUntil)
		return r, err
	}, `DELETE FROM session_refreshes WHERE session_id = $1
		RETURNING id, connection_id, secret, version, checked_at, due_at, failures, holder, held_until`, session)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

func putRefresh(ctx context.Context, tx *store.Tx, session identity.SessionID, r *refreshRow) error {
	if r == nil {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO session_refreshes (id, session_id, connection_id, secret, version, checked_at, due_at, failures, holder, held_until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, r.id, session, r.connection, r.secret, r.version, r.checked, r.due, r.failures, r.holder, r.heldUntil)
	return err
}
