package local

import (
	"context"
	"errors"
	"net/http"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/internal/words"
	"gatehouse/sessions"
)

// endedByPassword is the reason of sessions that end because their person has changed
// their password elsewhere.
const endedByPassword = "password-changed"

var errMeanwhile = fault.New(fault.Conflict, "password-changed", "Your password was changed or replaced while you did this. Sign in with the new one.")

// HasPassword implements [authn.Host].
func (s *Service) HasPassword(ctx context.Context, tenant identity.TenantID, user identity.UserID) (bool, error) {
	a, err := s.byUser(ctx, tenant, user)
	return a != nil && len(a.password) > 0, err
}

// own is somebody who changes their password.
type own struct {
	w       http.ResponseWriter
	r       *http.Request
	holder  authn.Holder
	cause   audit.Cause
	session identity.SessionID
	account *account
}

// ServePassword implements [authn.Host].
func (s *Service) ServePassword(w http.ResponseWriter, r *http.Request, h authn.Holder, cause audit.Cause, session identity.SessionID) error {
	o := &own{w: w, r: r, holder: h, cause: cause, session: session}
	a, err := s.current(r.Context(), h.Tenant, h.User)
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
		return fault.New(fault.Denied, string(refusal.Reason), "You cannot sign in with a local account any more. Ask your administrator.")
	}
	if err != nil {
		return err
	}
	o.account = a
	if r.Method != http.MethodPost {
		return s.ownPage(o, problem{})
	}
	if err := s.changePassword(r.Context(), o); err != nil {
		return s.notChanged(r.Context(), o, err)
	}
	return s.page(w, r, httpkit.Page{Title: "Your password is changed", Lead: "You sign in with the new one from now on. You are signed out everywhere else.",
		Links: []httpkit.Link{{Text: "Back to the app", Href: "/"}, {Text: "Your devices", Href: "/.gatehouse/devices"}}}, "changed.html", nil)
}

// changePassword puts another password in the place of the one that is shown. What the
// old one has made ends, before and after: whoever knows it has nothing left of it, even
// if the gateway dies in between, nor does a sign-in under way come to anything.
func (s *Service) changePassword(ctx context.Context, o *own) error {
	a, tenant := o.account, o.holder.Tenant
	if ok, wait := s.throttle.Allow(ctx, "password own "+string(tenant)+" "+string(a.user), perBrowser); !ok {
		return tooMany("too-many-passwords", "Too many passwords were tried. Wait a while and try again.", wait)
	}
	kept, err := s.passwordOf(ctx, tenant, a)
	if err != nil {
		return err
	}
	shown, ok := normalise(o.r.PostForm.Get("current"))
	right, _, err := s.hasher.compare(ctx, tenant, true, kept, shown)
	if err != nil {
		return err
	}
	if !right || !ok {
		return authn.Refuse(passwordWrong, "The password is not right.")
	}
	if again, ok := normalise(o.r.PostForm.Get("password")); ok && again == shown {
		return badPassword("This is the password that you have. Take another one.")
	}
	sealed, err := s.newPassword(ctx, a, o.r.PostForm.Get("password"))
	if err != nil {
		return err
	}
	if _, err := s.journal.Commit(ctx, event(o.cause, tenant, audit.LocalPasswordChanged, a)); err != nil {
		return err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	if err := s.endOthers(ctx, o); err != nil {
		return s.undone(ctx, o, err)
	}
	err = s.store.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE local_accounts SET password = $1, password_at = CASE WHEN password_at >= $2 THEN password_at + 1 ELSE $2 END
			WHERE user_id = $3 AND generation = $4 AND password_at = $5 AND password IS NOT NULL`, sealed, store.Millis(s.now()), a.user, a.generation, a.changed)
		if err == nil && n == 0 {
			err = errMeanwhile
		}
		return err
	})
	if err != nil {
		return s.undone(ctx, o, storeDown(err))
	}
	return s.endOthers(ctx, o)
}

// endOthers ends all that the person has but the session in which they are.
func (s *Service) endOthers(ctx context.Context, o *own) error {
	_, err := s.sessions.Revoke(ctx, o.cause, o.holder.Tenant, sessions.Selector{User: o.account.user, Except: o.session}, endedByPassword)
	return err
}

// undone writes down that what a record has announced has not come about.
func (s *Service) undone(ctx context.Context, o *own, err error) error {
	e := event(o.cause, o.holder.Tenant, audit.LocalPasswordChanged, o.account)
	e.Outcome, e.Reason, e.Message = audit.Failed, "not-kept", "What an earlier record of this request announced has not come about, and with it nothing has."
	_, _ = s.journal.Commit(ctx, e) // the caller reports the failure that matters
	return err
}

// notChanged writes down why nothing was changed, and shows the page again.
func (s *Service) notChanged(ctx context.Context, o *own, err error) error {
	p, say := problem{status: http.StatusForbidden}, words.For(o.r)
	reason, message := "", ""
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
		reason, message, p.say = string(refusal.Reason), refusal.Message, say.Say("The password that you have is not right. Nothing was changed.")
	} else if f, ok := errors.AsType[*fault.Fault](err); ok && (f.Kind == fault.Invalid || f.Kind == fault.TooMany) {
		reason, message, p.say, p.status = f.Code, f.Detail, say.Tell(f.Sentence()), httpkit.Status(f.Kind)
		setRetryAfter(o.w, f)
	} else {
		return err
	}
	e := event(o.cause, o.holder.Tenant, audit.AccessRefused, o.account)
	e.Outcome, e.Reason, e.Message = audit.Refused, reason, message
	e.Method, e.Host, e.Path = o.r.Method, o.r.Host, authn.PathPassword
	receipt, recordErr := s.refusals.Record(ctx, e)
	if recordErr != nil {
		return recordErr
	}
	p.facts = []httpkit.Fact{{Name: "Event", Value: string(receipt.Event())}, {Name: "Request", Value: string(e.RequestID)}}
	return s.ownPage(o, p)
}

// ownPage asks for the password that somebody has, and another one.
func (s *Service) ownPage(o *own, p problem) error {
	return s.page(o.w, o.r, httpkit.Page{Status: p.status, Title: "Change your password", Facts: p.facts,
		Lead:  "You stay signed in here, and are signed out everywhere else.",
		Links: []httpkit.Link{{Text: "Back to the app", Href: "/"}, {Text: "Your second factors", Href: "/.gatehouse/mfa"}}}, "own.html", struct {
		Action, Problem, Address string
		Least                    int
	}{authn.PathPassword, p.say, o.holder.Name, minPassword})
}
