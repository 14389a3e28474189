package local

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/internal/words"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// PathInvitation is where a link leads to, on the tenant's host.
const PathInvitation = authn.PathLocal + "/invitation"

// signInPath is where local accounts sign in, whatever else there is.
const signInPath = "/.gatehouse/login?connection=" + tenants.LocalName

// maxForm bounds a form: a passkey's answer.
const maxForm = 64 << 10

// InvitationURL is the path to which a link leads.
func InvitationURL(token string) string {
	return PathInvitation + "?" + url.Values{"token": {token}}.Encode()
}

// Handler serves [PathInvitation]. Requests must have passed the gate
// ([httpkit.WithRequest]).
func (s *Service) Handler() http.Handler { return s.handler }

func (s *Service) routes() http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(s.handle(func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.Denied, "cross-origin", "This form was sent from another site. Open the page here and try again.")
	}))
	mux := http.NewServeMux()
	mux.Handle("GET "+PathInvitation, s.handle(s.showInvitation))
	mux.Handle("POST "+PathInvitation, sameOrigin.Handler(s.handle(s.takeInvitation)))
	return httpkit.Routed(mux)
}

// handle serves h; what strangers are refused has its record first.
func (s *Service) handle(h httpkit.HandlerFunc) http.Handler {
	return httpkit.Handle(func(w http.ResponseWriter, r *http.Request) error {
		err := s.served(r)
		if err == nil {
			err = h(w, r)
		}
		if f := fault.As(err); err != nil && f.Kind == fault.Denied && f.Event == "" {
			receipt, err := s.recordRefusal(r, f.Code, f.Detail, nil)
			if err != nil {
				return err
			}
			return f.WithEvent(string(receipt.Event()))
		}
		return err
	})
}

func (s *Service) served(r *http.Request) error {
	if t, ok := s.tenants.ByID(httpkit.RequestFrom(r.Context()).Tenant); !ok || t.Status != tenants.Active {
		return fault.New(fault.Denied, "tenant-suspended", "This organisation's access is suspended. Its administrators know more.")
	}
	return nil
}

func (s *Service) recordRefusal(r *http.Request, reason, message string, i *invitation) (audit.Receipt, error) {
	e := audit.Event{Type: audit.AccessRefused, Outcome: audit.Refused, Reason: reason, Message: message}
	e.Describe(r, nil)
	if i != nil {
		e.Target = audit.Target{Kind: "user", ID: string(i.user), Name: i.userName}
	}
	return s.refusals.Record(r.Context(), e)
}

// showInvitation is where a link leads to. Looking at it uses nothing up: programs
// that look through mail open links as well.
func (s *Service) showInvitation(w http.ResponseWriter, r *http.Request) error {
	token := r.URL.Query().Get("token")
	i, err := s.open(r, token)
	if err != nil {
		return err
	}
	return s.invitedPage(w, r, token, i)
}

// takeInvitation takes what the forms of the link's pages send.
func (s *Service) takeInvitation(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return fault.Wrap(tooBig, fault.TooLarge, "form-too-large", "What was sent is larger than anything real.")
		}
		return fault.Wrap(err, fault.Invalid, "bad-form", "What was sent cannot be read.")
	}
	token := r.PostForm.Get("token")
	i, err := s.open(r, token)
	if err != nil {
		return err
	}
	kind := authn.FactorKind(r.PostForm.Get("kind"))
	if kind != authn.TOTP && kind != authn.Passkey {
		return fault.New(fault.Invalid, "bad-kind", "Choose a passkey, or a password with an authenticator app.")
	}
	switch r.PostForm.Get("do") {
	case "choose":
		return s.offerPage(w, r, token, i, kind, nil, problem{})
	case "accept":
		return s.accept(w, r, token, i, kind)
	}
	return fault.New(fault.Invalid, "nothing-chosen", "The form does not say what to do. Go back and try again.")
}

// accept sets what somebody invited signs in with, once they have proved all of it.
func (s *Service) accept(w http.ResponseWriter, r *http.Request, token string, i *invitation, kind authn.FactorKind) error {
	offered, err := s.reopen(r.Context(), httpkit.RequestFrom(r.Context()).Tenant, token, forInvited, r.PostForm.Get("kept"))
	if err == nil && (offered.User != i.user || offered.Kind != kind) {
		err = authn.Refuse(otherPage, "What came back was offered to somebody else, or for something else.")
	}
	if err != nil {
		return s.tryAgain(w, r, token, i, kind, nil, err)
	}
	if err := s.allowLink(r.Context(), token); err != nil {
		return s.tryAgain(w, r, token, i, kind, offered.Private, err)
	}
	codes, err := s.set(r, token, i, kind, offered.Private)
	if err != nil {
		return s.tryAgain(w, r, token, i, kind, offered.Private, err)
	}
	return s.donePage(w, r, codes)
}

// set puts new credentials in the place of all that somebody has, and ends what the
// old ones have made. Nothing is kept of a half: password, factor, link and all that
// goes with them change at once.
func (s *Service) set(r *http.Request, token string, i *invitation, kind authn.FactorKind, private []byte) (codes []string, err error) {
	ctx, req := r.Context(), httpkit.RequestFrom(r.Context())
	credential, e := "passkey", authn.Enrolment{Private: private, Name: "Passkey", First: true, Proof: authn.Proof{Kind: kind, Value: r.PostForm.Get("credential")}}
	var password []byte
	if kind == authn.TOTP {
		credential, e.Name, e.Proof.Value = "password", "Authenticator app", r.PostForm.Get("code")
		if password, err = s.newPassword(ctx, &i.account, r.PostForm.Get("password")); err != nil {
			return nil, err
		}
	}
	cause := audit.CauseOf(r, nil)
	cause.Actor = audit.Actor{Kind: identity.KindUser, ID: string(i.user), Name: i.address()}
	c, err := s.tenants.EnsureLocal(ctx, cause, req.Tenant)
	if err != nil {
		return nil, err
	}
	accepted := event(cause, req.Tenant, audit.LocalAccepted, &i.account)
	accepted.Connection = c.ID
	accepted.Details = map[string]string{"credential": credential, "replaced": strconv.FormatBool(i.replaces), "created_by": i.by.Name}
	codes, err = s.factors.Replace(ctx, cause, holderOf(req, &i.account), e, kind == authn.TOTP, accepted, func(ctx context.Context, tx *store.Tx) error {
		return s.write(ctx, tx, token, i, c.ID, password)
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := effect(ctx)
	defer cancel()
	_, err = s.sessions.Revoke(ctx, cause, req.Tenant, sessions.Selector{User: i.user}, string(authn.CredentialsReplaced))
	return codes, err
}

// newPassword gives a password as it is kept.
func (s *Service) newPassword(ctx context.Context, a *account, typed string) ([]byte, error) {
	req := httpkit.RequestFrom(ctx)
	password, err := checkPassword(typed, a.userName, a.email, a.name, req.TenantName, req.TenantTitle)
	if err != nil {
		return nil, err
	}
	hashed, err := s.hasher.hash(ctx, req.Tenant, password)
	if err != nil {
		return nil, err
	}
	return s.sealHash(ctx, req.Tenant, a.user, hashed)
}

// write uses the link up and keeps the account, if both are still what they were.
func (s *Service) write(ctx context.Context, tx *store.Tx, token string, i *invitation, connection identity.ConnectionID, password []byte) error {
	now := store.Millis(s.now())
	var sealed any // nothing, for a passkey
	if password != nil {
		sealed = password
	}
	n, err := tx.Exec(ctx, `DELETE FROM local_invitations WHERE user_id = $1 AND token_hash = $2 AND expires_at > $3`, i.user, inviteHash(token), now)
	if err != nil {
		return err
	}
	if n == 0 {
		return errSpent // by another page, or replaced
	}
	active, err := store.One(ctx, tx, store.Scalar[bool], `SELECT active FROM users WHERE id = $1`, i.user)
	if err != nil {
		return err
	}
	if !active {
		return errInactive
	}
	if _, err := tx.Exec(ctx, `INSERT INTO local_accounts (user_id, password, generation, accepted_at) VALUES ($1, $2, $3, $3)
		ON CONFLICT (user_id) DO UPDATE SET password = excluded.password, accepted_at = excluded.accepted_at,
			generation = CASE WHEN local_accounts.generation >= excluded.generation THEN local_accounts.generation + 1 ELSE excluded.generation END`,
		i.user, sealed, now); err != nil {
		return err
	}
	return directory.Link(ctx, tx, directory.Namer{}, connection, string(i.user), i.user)
}

// tryAgain writes down why nothing was set, and shows the page again.
func (s *Service) tryAgain(w http.ResponseWriter, r *http.Request, token string, i *invitation, kind authn.FactorKind, again []byte, err error) error {
	p, say := problem{status: http.StatusForbidden}, words.For(r)
	reason, message := "", ""
	if refusal, ok := errors.AsType[*authn.Refusal](err); ok {
		reason, message, p.say = string(refusal.Reason), refusal.Message, say.Say(sayNoKey)
		switch {
		case refusal.Reason == otherPage || refusal.Reason == pageExpired:
			p.say = say.Say(sayTooLate)
		case kind == authn.TOTP:
			p.say = say.Say(sayNoCode)
		}
	} else if f, ok := errors.AsType[*fault.Fault](err); ok && (f.Kind == fault.Invalid || f.Kind == fault.TooMany) {
		reason, message, p.say, p.status = f.Code, f.Detail, say.Tell(f.Sentence()), httpkit.Status(f.Kind)
		setRetryAfter(w, f)
	} else {
		return err
	}
	receipt, recordErr := s.recordRefusal(r, reason, message, i)
	if recordErr != nil {
		return recordErr
	}
	p.facts = []httpkit.Fact{{Name: "Event", Value: string(receipt.Event())}, {Name: "Request", Value: string(httpkit.RequestFrom(r.Context()).ID)}}
	return s.offerPage(w, r, token, i, kind, again, p)
}
