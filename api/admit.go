package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// authorise runs before every operation, and before its input is read.
func (a *API) authorise(hc huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(hc)
	c, err := a.admit(r, operationOf(hc))
	if err != nil {
		replyProblem(w, problemOf(r.Context(), err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	next(humago.NewContext(hc.Operation(), r, w))
}

// admit is the one decision of the API: who calls, may they, and the record of
// it, in this order. Without a permit and a receipt there is no call.
func (a *API) admit(r *http.Request, op operation) (*call, error) {
	ctx := r.Context()
	request := httpkit.RequestFrom(ctx)
	if op.platform && request.Tenant != identity.Platform {
		return nil, errNoSuchAddress
	}
	event := audit.Event{Tenant: request.Tenant, RequestID: request.ID, IP: request.ClientIP, UserAgent: r.UserAgent(),
		Method: r.Method, Host: r.Host, Path: r.URL.Path, Route: op.id, Permission: op.needs.String()}

	principal, err := a.caller(r)
	if err == nil && principal != nil && principal.Kind == identity.KindUser {
		err = a.sameOrigin(r)
	}
	if refusal, refused := errors.AsType[*fault.Fault](err); refused && (refusal.Kind == fault.Unauthenticated || refusal.Kind == fault.Denied) {
		event.Reason, event.Message = refusal.Code, refusal.Detail
		return nil, a.refuse(ctx, nil, event, refusal)
	}
	if err != nil {
		return nil, err
	}
	event.Actor = audit.ActorOf(principal)
	if principal != nil {
		event.Session, event.Device, event.Connection = principal.Session, principal.Device, principal.Connection
	}

	permit, decision, err := a.cfg.Policy.Decide(ctx, principal, op.query(request.Tenant))
	if err != nil {
		return nil, err
	}
	event.Reason, event.Message = decision.Reason, decision.Message
	event.Role, event.PolicyVersion = decision.Role, decision.PolicyVersion
	event.Actor.Name = cmp.Or(event.Actor.Name, decision.Subject)
	if !permit.Valid(request.Tenant) {
		return nil, a.refuse(ctx, principal, event, refusalOf(principal, op))
	}

	asked := event
	event.Type, event.Outcome = audit.AccessAllowed, audit.Success
	receipt, err := a.cfg.Journal.Write(ctx, &event)
	if err != nil {
		return nil, journalGone(err)
	}
	if !receipt.Valid() {
		return nil, journalGone(errors.New("api: the journal gave no receipt"))
	}
	return &call{request: request, principal: principal, operation: op, asked: asked, http: r, cause: audit.Cause{Actor: event.Actor, RequestID: request.ID,
		Session: event.Session, IP: request.ClientIP, UserAgent: event.UserAgent}}, nil
}

// caller is who calls: the operator on the admin socket, or whoever the
// request's cookie or token proves.
func (a *API) caller(r *http.Request) (*identity.Principal, error) {
	if operator, ok := operatorFrom(r.Context()); ok {
		return operator, nil
	}
	return a.cfg.Callers.Caller(r)
}

// still asks again, in the midst of a long answer, what was asked before it:
// the session or token may have ended since, and so may the role.
func (a *API) still(ctx context.Context, c *call) error {
	switch c.principal.Kind {
	case identity.KindUser:
		// Not by Callers: a stream that looks after itself must not keep its
		// session from growing idle.
		session, err := a.cfg.Sessions.Get(ctx, c.tenant(), c.principal.Session)
		if err == nil && !session.EndedAt.IsZero() {
			err = errNoSuchSession
		}
		if err != nil {
			return err
		}
	case identity.KindAPIToken:
		if _, err := a.cfg.Callers.Caller(c.http); err != nil {
			return err
		}
	}
	permit, _, err := a.cfg.Policy.Decide(ctx, c.principal, c.operation.query(c.tenant()))
	if err == nil && !permit.Valid(c.tenant()) {
		err = refusalOf(c.principal, c.operation)
	}
	return err
}

// sameOrigin keeps other sites, also those under the same registrable domain,
// from using a person's cookie: browsers say where a request comes from
// (Fetch Metadata §2.3), and unsafe methods must not come from elsewhere.
func (a *API) sameOrigin(r *http.Request) error {
	err := a.origin.Check(r)
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		err = errors.Join(err, errors.New("request from "+r.Header.Get("Sec-Fetch-Site")))
	}
	if err != nil {
		return fault.Wrap(err, fault.Denied, "cross-origin", "A session may be used from this site's own pages only; programs use an API token.")
	}
	return nil
}

// refuse records a refusal and hands it back with the record's id. Those of
// callers that are not known go through the recorder that aggregates floods, so
// that nobody fills the disk from outside.
func (a *API) refuse(ctx context.Context, principal *identity.Principal, event audit.Event, refusal *fault.Fault) error {
	event.Type, event.Outcome = audit.AccessRefused, audit.Refused
	record := a.cfg.Journal.Commit
	if principal == nil {
		event.Actor = audit.ActorOf(nil)
		record = a.cfg.Refusals.Record
	}
	receipt, err := record(ctx, event)
	if err != nil {
		return journalGone(err)
	}
	return refusal.WithEvent(string(receipt.Event()))
}

// errNotYours is inside the error of whoever reaches for something of another
// person's, of which the answer says that it does not exist.
var errNotYours = fault.New(fault.Denied, "not-yours", "This belongs to somebody else.")

// recordRefusal records what only the handler could refuse, as admit records
// what it refuses itself (P1), and hands the refusal back with the record's id.
// That of something hidden stays without: the id would tell that it exists.
func (a *API) recordRefusal(ctx context.Context, c *call, err error) error {
	refusal, ok := errors.AsType[*fault.Fault](err)
	hidden := errors.Is(err, errNotYours)
	switch {
	case hidden:
		refusal = errNotYours
	case !ok || refusal.Kind != fault.Denied || refusal.Event != "":
		return err
	}
	event := c.asked
	event.Role, event.Reason, event.Message = "", refusal.Code, refusal.Detail
	recorded := a.refuse(ctx, c.principal, event, refusal)
	if hidden && fault.Is(recorded, fault.Denied) {
		return err
	}
	return recorded
}

func refusalOf(principal *identity.Principal, op operation) *fault.Fault {
	switch {
	case principal == nil:
		return fault.New(fault.Unauthenticated, "sign-in-required", "Sign in, or send an API token as Authorization: Bearer.")
	case op.anybody:
		return fault.New(fault.Denied, "not-allowed", "You may not do this.")
	}
	return fault.New(fault.Denied, "not-allowed", "You may not do this: it needs the permission "+op.needs.String()+". An admin can give you a role that has it.")
}
