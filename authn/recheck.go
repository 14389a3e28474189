package authn

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"runtime/debug"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const (
	// recheckTime bounds asking about one person, and recheckLease for how long another
	// node leaves a session alone that is being asked about: longer by more than clocks
	// may differ.
	recheckTime  = 30 * time.Second
	recheckLease = 5 * time.Minute
	// shortestPause and longestPause bound after how long a provider is asked again
	// that did not answer about somebody.
	shortestPause = time.Minute
	longestPause  = 15 * time.Minute
	// rotateTime is for how long it is tried to keep a new refresh token: the old one may
	// be of no use any more. It ends before the lease.
	rotateTime = 2 * time.Minute
)

// Refreshes keeps what providers are asked by, beside sessions.
type Refreshes interface {
	DueRefreshes(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, now time.Time, limit int) ([]identity.SessionID, error)
	StaleRefreshes(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, before, now time.Time, limit int) ([]identity.SessionID, error)
	ClaimRefresh(ctx context.Context, tenant identity.TenantID, session identity.SessionID, holder string, now, until, before time.Time) (sessions.Refresh, bool, error)
	RotateRefresh(ctx context.Context, tenant identity.TenantID, r *sessions.Refresh, secret string) (kept bool, err error)
	FinishRefresh(ctx context.Context, tenant identity.TenantID, r sessions.Refresh, now, due time.Time) error
	UnaskedPrograms(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, limit int) ([]identity.SessionID, error)
	PostponeRefresh(ctx context.Context, tenant identity.TenantID, r sessions.Refresh, due time.Time) error
}

// recheckEvery is how often a connection's people are asked about; 0: never.
func recheckEvery(c tenants.Connection) time.Duration {
	if c.OIDC == nil {
		return 0
	}
	return time.Duration(c.OIDC.Recheck)
}

// recheckDue is when somebody is asked about next, a little sooner for some, so that
// not all are at once.
func recheckDue(c tenants.Connection, now time.Time) time.Time {
	every := recheckEvery(c)
	return now.Add(every - mathrand.N(every/10+1)) // #nosec G404 -- nobody gains by guessing it
}

// recheck asks about one session; false if another node does, or it is over.
func (r *Rechecks) recheck(ctx context.Context, c tenants.Connection, at place, session identity.SessionID) bool {
	// To its end, whatever becomes of ctx: a token that was used and is not kept is lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recheckTime)
	defer cancel()
	now := r.service.now()
	kept, ok, err := r.refreshes.ClaimRefresh(ctx, at.tenant, session, r.holder, now, now.Add(recheckLease), time.Time{})
	if err != nil {
		r.service.log.WarnContext(ctx, "a session is not asked about", "tenant", at.tenant, "session", session, "error", err)
	}
	if err != nil || !ok {
		return false
	}
	if err := r.ask(ctx, c, at, kept); err != nil {
		r.service.log.WarnContext(ctx, "what came of asking about a session is not kept", "tenant", at.tenant, "session", session, "error", err)
	}
	return true
}

// ask asks the provider, and does what it says. Its error is of this side; the lease
// runs out, and it is asked again.
func (r *Rechecks) ask(ctx context.Context, c tenants.Connection, at place, kept sessions.Refresh) error {
	s := r.service
	protocol, ok := s.protocols[c.Type].(Rechecker)
	if !ok {
		return errors.New("authn: the protocol of " + c.Name + " asks about nobody")
	}
	answer, err := r.inquire(ctx, protocol, c, at, kept)
	if answer.Refresh != "" {
		mine, failed := r.rotate(ctx, at, &kept, answer.Refresh)
		if failed != nil || !mine {
			return failed
		}
	}
	if err == nil && answer.Assertion != nil {
		err = r.bringUpToDate(ctx, c, at, kept, answer.Assertion)
	}
	now := s.now()
	refusal, refused := errors.AsType[*Refusal](err)
	switch reason := endsFor(err); {
	case refused && refusal.Reason == RefreshUnkeepable: // nobody can be asked any more (P7)
		if err := r.record(ctx, c, at, kept, err); err != nil {
			return err
		}
		s.log.ErrorContext(ctx, "a provider's refresh token cannot be kept, and a session ends", "tenant", at.tenant, "connection", c.Name, "session", kept.Session, "error", err)
		return r.endHeld(ctx, c, at, kept, sessions.ReasonRecheckOverdue, audit.SystemCause())
	case err == nil:
		return r.refreshes.FinishRefresh(ctx, at.tenant, kept, now, recheckDue(c, now))
	case reason != "":
		return r.endHeld(ctx, c, at, kept, reason, idpOf(c))
	}
	return r.fail(ctx, c, at, kept, err)
}

// inquire asks the provider. Reading what strangers wrote must not be the end of the
// gateway: a panic counts as a provider that could not be asked about the person.
func (r *Rechecks) inquire(ctx context.Context, protocol Rechecker, c tenants.Connection, at place, kept sessions.Refresh) (answer Rechecked, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			r.service.log.ErrorContext(ctx, "reading a provider's answer about a person panicked", "tenant", at.tenant, "connection", c.Name,
				"session", kept.Session, "panic", cause, "stack", string(debug.Stack()))
			answer, err = Rechecked{}, Refuse(ProviderUnusable, "The identity provider's answer about the person could not be read.").Because(fmt.Errorf("authn: panic: %v", cause))
		}
	}()
	return protocol.Recheck(ctx, at.tenant, c, kept.Secret)
}

// rotate keeps a new secret, for as long as that may take.
func (r *Rechecks) rotate(ctx context.Context, at place, kept *sessions.Refresh, secret string) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rotateTime)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		if mine, err = r.refreshes.RotateRefresh(ctx, at.tenant, kept, secret); err == nil {
			return mine, nil
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("keep a refresh token: %w", err)
		case <-time.After(pause):
		}
	}
}

// idpOf is a connection's identity provider as who does something.
func idpOf(c tenants.Connection) audit.Cause {
	return audit.Cause{Actor: audit.Actor{Kind: identity.KindIDP, ID: string(c.ID), Name: c.Name}, Connection: c.ID}
}

// bringUpToDate does what a sign-in would with what the provider says of the person.
func (r *Rechecks) bringUpToDate(ctx context.Context, c tenants.Connection, at place, kept sessions.Refresh, a *Assertion) error {
	cause := idpOf(c)
	cause.Session = kept.Session
	if err := r.service.admitted(ctx, at.tenant, stillSaid(c, a), a); err != nil {
		return err
	}
	user, _, err := r.service.directory.SignIn(ctx, cause, at.tenant, stillHere(c, a))
	if err == nil {
		err = r.service.elsewhere(ctx, at.tenant, c, user.Email)
	}
	if err != nil {
		return err
	}
	if user.ID != kept.User {
		return Refuse(SubjectUnusable, "The identity that signed in belongs to another person by now.")
	}
	return nil
}

// endsFor is the reason for which a session ends; "" if the error says nothing about
// the person.
func endsFor(err error) string {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		switch refusal.Reason {
		case RefreshRefused, SubjectUnusable, domainNotAllowed, groupNotAllowed, domainElsewhere:
			return sessions.ReasonRefreshRefused
		}
		return ""
	}
	if fault.As(err).Code == string(connectionChanged) {
		return "" // by an admin, between two looks at it; the next re-check goes by what it is then
	}
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) {
		return sessions.ReasonRefreshRefused
	}
	return ""
}

// maxRenewed is how often in a row a session is renewed while it is being ended.
const maxRenewed = 10

// endHeld ends the session that a refresh is kept for: that which took its place, if
// it was renewed meanwhile. If the refresh is another holder's by now, that one may
// have used the token before us, and have a better one.
func (r *Rechecks) endHeld(ctx context.Context, c tenants.Connection, at place, kept sessions.Refresh, reason string, cause audit.Cause) error {
	for range maxRenewed {
		mine, err := r.refreshes.RotateRefresh(ctx, at.tenant, &kept, kept.Secret)
		if err != nil || !mine {
			return err
		}
		if err := r.end(ctx, c, at, kept.Session, reason, cause); err != nil {
			return err
		}
	}
	return fmt.Errorf("authn: session %s is renewed faster than it can be ended", kept.Session)
}

// endUnasked ends what programs have about whose people the provider is not asked any
// more: the sessions by which it was are over, by its word or by the person's own.
func (r *Rechecks) endUnasked(ctx context.Context, c tenants.Connection, at place) {
	unasked, err := r.refreshes.UnaskedPrograms(ctx, at.tenant, c.ID, staleBatch)
	for _, session := range unasked {
		if err != nil || ctx.Err() != nil {
			break
		}
		err = r.end(ctx, c, at, session, sessions.ReasonRecheckOverdue, audit.SystemCause())
	}
	if err != nil {
		r.service.log.WarnContext(ctx, "programs that nobody is asked about go on", "tenant", at.tenant, "connection", c.Name, "error", err)
	}
}

// end ends a session in the one way in which sessions end; when it returns without an
// error, nothing more is forwarded by it (P2).
func (r *Rechecks) end(ctx context.Context, c tenants.Connection, at place, session identity.SessionID, reason string, cause audit.Cause) error {
	_, err := r.service.sessions.Revoke(ctx, cause, at.tenant, sessions.Selector{Session: session}, reason)
	if fault.Is(err, fault.NotFound) {
		return nil // it is over
	}
	if err != nil {
		return fmt.Errorf("end the session that %s refused: %w", c.Name, err)
	}
	return nil
}

// fail notes that the provider could not be asked. Whom it has not been asked about
// for too long is out: nobody knows any more whether they may go on (P7).
func (r *Rechecks) fail(ctx context.Context, c tenants.Connection, at place, kept sessions.Refresh, err error) error {
	s, now := r.service, r.service.now()
	if refusal, ok := errors.AsType[*Refusal](err); ok && refusal.Reason == ProviderUnreachable {
		r.rest(at, now)
	}
	if now.Sub(kept.CheckedAt) >= c.OIDC.Grace() {
		return r.endHeld(ctx, c, at, kept, sessions.ReasonRecheckOverdue, audit.SystemCause())
	}
	if kept.Failures == 0 {
		if err := r.record(ctx, c, at, kept, err); err != nil {
			return err
		}
	}
	s.log.InfoContext(ctx, "a provider could not be asked about a session", "tenant", at.tenant, "connection", c.Name, "session", kept.Session, "error", err)
	pause := min(shortestPause<<min(kept.Failures, 10), longestPause, recheckEvery(c))
	return r.refreshes.PostponeRefresh(ctx, at.tenant, kept, now.Add(pause/2+mathrand.N(pause/2+1))) // #nosec G404 -- nobody gains by guessing it
}

// record journals that a provider could not be asked about somebody, the first time.
func (r *Rechecks) record(ctx context.Context, c tenants.Connection, at place, kept sessions.Refresh, err error) error {
	e := audit.SystemCause().Event(at.tenant, audit.SessionRechecked, audit.Failed)
	e.Reason, e.Message = "recheck-failed", "The identity provider could not be asked about the person."
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		e.Reason, e.Message = string(refusal.Reason), refusal.Message
	}
	e.Session, e.Connection = kept.Session, c.ID
	e.Target = audit.Target{Kind: "session", ID: string(kept.Session)}
	e.Details = map[string]string{"connection": c.Name}
	_, err = r.service.refusals.Record(ctx, e)
	return err
}

// endStale ends the sessions about which a provider has not answered for too long,
// without asking it again and again for each: it does not answer now.
func (r *Rechecks) endStale(ctx context.Context, c tenants.Connection, at place) {
	now := r.service.now()
	before := now.Add(-c.OIDC.Grace())
	stale, err := r.refreshes.StaleRefreshes(ctx, at.tenant, c.ID, before, now, staleBatch)
	for _, session := range stale {
		if err != nil || ctx.Err() != nil {
			break
		}
		var mine bool
		var kept sessions.Refresh
		if kept, mine, err = r.refreshes.ClaimRefresh(ctx, at.tenant, session, r.holder, now, now.Add(recheckLease), before); err == nil && mine {
			err = r.endHeld(ctx, c, at, kept, sessions.ReasonRecheckOverdue, audit.SystemCause())
		}
	}
	if err != nil {
		r.service.log.WarnContext(ctx, "sessions that nobody can be asked about go on", "tenant", at.tenant, "connection", c.Name, "error", err)
	}
}
