package local

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/words"
	"gatehouse/tenants"
)

// Why somebody is not let in. The page says the same of the first group.
const (
	passwordWrong   authn.Reason = "password-wrong"
	accountUnknown  authn.Reason = "account-unknown"
	passwordMissing authn.Reason = "password-missing"
	personInactive  authn.Reason = "person-inactive"
	factorsMissing  authn.Reason = "factors-missing"

	otherPage   authn.Reason = "other-page"
	pageExpired authn.Reason = "page-expired"
)

// The sentences that people read who are not let in.
const (
	sayNotRight = "That did not work. Look whether the address and the password are right, and try again."
	sayNoKey    = "That did not work. Try again, or use another way."
	sayNoCode   = "That did not work. Wait for the next code, and try again."
	sayTooLate  = "This took too long, or was begun on another page. Try again."
)

// visit is one request to the pages of a sign-in.
type visit struct {
	w    http.ResponseWriter
	r    *http.Request
	c    tenants.Connection
	step authn.Step
}

func (v *visit) ctx() context.Context       { return v.r.Context() }
func (v *visit) tenant() identity.TenantID  { return v.step.Tenant }
func (v *visit) field(name string) string   { return v.r.PostForm.Get(name) }
func (v *visit) request() *httpkit.Request  { return httpkit.RequestFrom(v.r.Context()) }
func (v *visit) nobody() authn.Holder       { return holderOf(v.request(), nil) }
func (v *visit) is(a *account) authn.Holder { return holderOf(v.request(), a) }

// holderOf is somebody as the room of factors knows them; nobody for nil.
func holderOf(req *httpkit.Request, a *account) authn.Holder {
	h := authn.Holder{Tenant: req.Tenant, Issuer: cmp.Or(req.TenantTitle, req.TenantName), Origin: req.Origin}
	if a != nil {
		h.User, h.Name = a.user, cmp.Or(a.email, a.userName)
	}
	return h
}

// Serve implements [authn.Host].
func (s *Service) Serve(w http.ResponseWriter, r *http.Request, c tenants.Connection, step authn.Step) (*authn.Assertion, error) {
	v := &visit{w: w, r: r, c: c, step: step}
	if r.Method != http.MethodPost {
		return nil, s.signInPage(v, problem{})
	}
	switch v.field("do") {
	case "password":
		return nil, s.takePassword(v)
	case "code":
		return s.takeCode(v)
	case "passkey":
		return s.takePasskey(v)
	}
	return nil, fault.New(fault.Invalid, "nothing-chosen", "The form does not say what to do. Go back and try again.")
}

// takePassword looks at an address with a password. Whoever sends it, the same
// questions are asked and the same work is done, whether there is such an account or
// not.
func (s *Service) takePassword(v *visit) error {
	ctx, tenant := v.ctx(), v.tenant()
	typed := strings.TrimSpace(v.field("address"))
	if len(typed) > maxAddress {
		typed = ""
	}
	key, _ := addressKey(typed)
	a, err := s.byAddress(ctx, tenant, key)
	if err != nil {
		return err
	}
	known, err := s.knows(v, a)
	if err != nil {
		return err
	}
	if err := s.allowPassword(v.r, key, a, known); err != nil {
		return s.turnAway(v, audit.SignInRefused, a, err, s.signInPage)
	}
	hashed, err := s.passwordOf(ctx, tenant, a)
	if err != nil {
		return err
	}
	password, ok := normalise(v.field("password"))
	right, anew, err := s.hasher.compare(ctx, tenant, known, hashed, password)
	if err != nil {
		return err
	}
	switch {
	case a == nil:
		err = authn.Refuse(accountUnknown, "Nobody with a local account has the address that was entered.")
	case hashed == nil:
		err = authn.Refuse(passwordMissing, "A password was entered for somebody who has none and signs in with a passkey.")
	case !right || !ok:
		err = authn.Refuse(passwordWrong, "The password is not right.")
	case !a.active:
		err = authn.Refuse(personInactive, "The person is not active.")
	default:
		err = s.mayUse(ctx, tenant, a)
	}
	if err != nil {
		return s.turnAway(v, audit.SignInRefused, a, err, s.signInPage)
	}
	if anew != nil {
		if err := s.rehash(ctx, tenant, a, *anew); err != nil {
			return err
		}
	}
	return s.codePage(v, a, problem{})
}

// knows reports whether somebody has signed in by this browser before.
func (s *Service) knows(v *visit, a *account) (bool, error) {
	token, _ := httpkit.ReadCookie(v.r, httpkit.DeviceCookie)
	user := identity.UserID("")
	if a != nil {
		user = a.user
	}
	return s.sessions.Knows(v.ctx(), v.tenant(), token, user)
}

// current gives an account as it is now, if it may still be signed in by.
func (s *Service) current(ctx context.Context, tenant identity.TenantID, user identity.UserID) (*account, error) {
	a, err := s.byUser(ctx, tenant, user)
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		return nil, authn.Refuse(accountUnknown, "The person has no local account.")
	case !a.active:
		return a, authn.Refuse(personInactive, "The person is not active.")
	}
	return a, s.mayUse(ctx, tenant, a)
}

// mayUse refuses an account that its person may not have any more.
func (s *Service) mayUse(ctx context.Context, tenant identity.TenantID, a *account) error {
	err := s.entitled(ctx, tenant, a.user)
	if fault.Is(err, fault.Denied) {
		return authn.Refuse(notAnOwner, "The person is no owner of the organisation any more, for whom alone there are local accounts here.")
	}
	return err
}

// takeCode takes the code that goes with a password that was right.
func (s *Service) takeCode(v *visit) (*authn.Assertion, error) {
	ctx := v.ctx()
	k, err := s.reopen(ctx, v.tenant(), v.step.Token, forCode, v.field("kept"))
	if err != nil {
		return nil, s.turnAway(v, audit.SignInRefused, nil, err, s.signInPage)
	}
	a, err := s.current(ctx, v.tenant(), k.User)
	if err == nil && (a.generation != k.Generation || a.changed != k.Changed) {
		err = authn.Refuse(authn.CredentialsReplaced, "The person's credentials were replaced after the password had been entered.")
	}
	if err != nil {
		return nil, s.turnAway(v, audit.SignInRefused, a, err, s.signInPage)
	}
	proof := authn.Proof{Kind: authn.FactorKind(v.field("kind")), Value: v.field("code")}
	if proof.Kind != authn.TOTP && proof.Kind != authn.RecoveryCode {
		return nil, fault.New(fault.Invalid, "bad-kind", "With a password goes a code of an authenticator app, or a recovery code.")
	}
	holder := v.is(a)
	if holder.Known, err = s.knows(v, a); err != nil {
		return nil, err
	}
	shown, err := s.factors.Verify(ctx, holder, nil, proof)
	if err != nil {
		return nil, s.turnAway(v, audit.FactorRefused, a, err, func(v *visit, p problem) error { return s.codePage(v, a, p) })
	}
	return s.assert(a, credentials{generation: a.generation, password: true, changed: a.changed}, append([]string{"pwd"}, shown.AMR...)), nil
}

// takePasskey takes the answer of a passkey, which says whose it is.
func (s *Service) takePasskey(v *visit) (*authn.Assertion, error) {
	ctx := v.ctx()
	if err := s.allowPasskey(ctx); err != nil {
		return nil, s.turnAway(v, audit.SignInRefused, nil, err, s.signInPage)
	}
	asked, err := s.reopen(ctx, v.tenant(), v.step.Token, forPasskey, v.field("kept"))
	if err != nil {
		return nil, s.turnAway(v, audit.SignInRefused, nil, err, s.signInPage)
	}
	user, shown, err := s.factors.Identify(ctx, v.nobody(), asked.Private, v.field("credential"))
	var a *account
	if err == nil {
		a, err = s.current(ctx, v.tenant(), user)
	}
	if err != nil {
		return nil, s.turnAway(v, audit.SignInRefused, a, err, s.signInPage)
	}
	return s.assert(a, credentials{generation: a.generation}, shown.AMR), nil
}

// assert says who somebody is, as an identity provider would.
func (s *Service) assert(a *account, by credentials, amr []string) *authn.Assertion {
	return &authn.Assertion{Subject: string(a.user), AMR: amr, AuthTime: s.now(), IDPSession: by.String()}
}

// problem is what a page says of the try before; none for the first.
type problem struct {
	status int
	say    string
	facts  []httpkit.Fact
}

// turnAway writes down why somebody was not let in, and then shows a page again. It
// says no more than that it did not work: which of what was entered is wrong is for
// the journal.
func (s *Service) turnAway(v *visit, t audit.Type, a *account, err error, again func(*visit, problem) error) error {
	p := problem{status: http.StatusForbidden}
	reason, message := "", ""
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
		reason, message, p.say = string(refusal.Reason), refusal.Message, words.For(v.r).Say(sentence(t, v.field("do"), refusal.Reason))
	} else if f, ok := errors.AsType[*fault.Fault](err); ok && f.Kind == fault.TooMany {
		reason, message, p.say, p.status = f.Code, f.Detail, words.For(v.r).Tell(f.Sentence()), http.StatusTooManyRequests
		setRetryAfter(v.w, f)
	} else {
		return err
	}
	e := audit.Event{Type: t, Outcome: audit.Refused}
	e.Describe(v.r, nil)
	e.Connection, e.Reason, e.Message = v.c.ID, reason, message
	if a != nil {
		e.Target = audit.Target{Kind: "user", ID: string(a.user), Name: a.userName}
	}
	receipt, recordErr := s.refusals.Record(v.ctx(), e)
	if recordErr != nil {
		return recordErr
	}
	s.log.InfoContext(v.ctx(), "refused", "event", t, "request_id", e.RequestID, "tenant", e.Tenant, "connection", v.c.Name, "reason", reason, "error", err)
	p.facts = []httpkit.Fact{{Name: "Event", Value: string(receipt.Event())}, {Name: "Request", Value: string(e.RequestID)}}
	return again(v, p)
}

func setRetryAfter(w http.ResponseWriter, f *fault.Fault) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
}

func sentence(t audit.Type, do string, reason authn.Reason) string {
	switch {
	case reason == otherPage, reason == pageExpired, reason == authn.CredentialsReplaced:
		return sayTooLate
	case t == audit.FactorRefused:
		return sayNoCode
	case do == "passkey":
		return sayNoKey
	}
	return sayNotRight
}
