package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"gatehouse/audit"
	"gatehouse/authz"
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
// it, in this order.
func (a *API) admit(r *http.Request, op operation) (*call, error) {
	ctx, request := r.Context(), httpkit.RequestFrom(r.Context())
	if op.platform && request.Tenant != identity.Platform {
		return nil, errNoSuchAddress
	}
	event := audit.Event{Route: op.id, Permission: op.needs.String()}
	principal, err := a.caller(r)
	if err == nil && principal != nil && principal.Kind == identity.KindUser && !principal.Program {
		err = a.sameOrigin(r)
	}
	if refusal, ok := errors.AsType[*fault.Fault](err); ok && (refusal.Kind == fault.Unauthenticated || refusal.Kind == fault.Denied) {
		event.Describe(r, nil)
		return nil, a.guard().Refuse(ctx, event, refusal)
	}
	if err != nil {
		return nil, err
	}
	event.Describe(r, principal)
	if err := a.guard().Admit(ctx, principal, op.query(request.Tenant), &event); err != nil {
		return nil, err
	}
	return &call{request: request, principal: principal, operation: op, asked: event, http: r, cause: event.Cause()}, nil
}

func (a *API) guard() authz.Guard {
	return authz.Guard{Decider: a.cfg.Policy, Journal: a.cfg.Journal, Refusals: a.cfg.Refusals}
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
	case identity.KindAPIToken, identity.KindService:
		if _, err := a.cfg.Callers.Caller(c.http); err != nil {
			return err
		}
	}
	query := c.operation.query(c.tenant())
	permit, _, err := a.cfg.Policy.Decide(ctx, c.principal, query)
	if err == nil && !permit.Valid(c.tenant()) {
		err = query.Refusal(c.principal)
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
	recorded := a.guard().Refuse(ctx, c.asked, refusal)
	if hidden && fault.Is(recorded, fault.Denied) {
		return err
	}
	return recorded
}
