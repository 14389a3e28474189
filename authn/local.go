package authn

import (
	"context"
	"net/http"

	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
	"gatehouse/internal/store"
	"gatehouse/tenants"
)

// maxLocalForm bounds what is sent to sign in by a local account: a passkey's answer.
const maxLocalForm = 64 << 10

// paramState carries the token of a local account's sign-in, as it does everybody's.
const paramState = "state"

// serveLocal serves the pages of local accounts to the browser that has begun a
// sign-in by one. The step is used up once all is shown, so that a mistyped password
// does not end it, and no two sign-ins come of it.
func (s *Service) serveLocal(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead {
		return nil // whoever only looks uses up nothing
	}
	if err := parseForm(w, r, maxLocalForm); err != nil {
		return err
	}
	c, host, err := s.localConnection(r)
	if err != nil {
		return s.refuse(w, r, c, err)
	}
	ctx, req, token := r.Context(), httpkit.RequestFrom(r.Context()), ""
	if all := r.Form[paramState]; len(all) == 1 {
		token = all[0]
	}
	state, err := s.flows.look(ctx, req.Tenant, token, flowCookie(r), hopAnswer)
	if err == nil && state.connection != c.ID {
		err = Refuse(otherConnection, "The address belongs to a sign-in by another connection.")
	}
	if err != nil {
		return s.refuse(w, r, c, err)
	}
	a, err := host.Serve(w, r, c, Step{Tenant: req.Tenant, Token: token, Endpoints: endpointsOf(req.Origin, c)})
	if a == nil && err == nil {
		return nil
	}
	if err == nil {
		state, err = s.flows.take(ctx, req.Tenant, token, flowCookie(r), hopAnswer, c.ID)
	}
	if err != nil {
		return s.refuse(w, r, c, err)
	}
	return s.finish(w, r, c, state, *a)
}

// errNoPassword is for whoever has none to change.
var errNoPassword = fault.New(fault.NotFound, "no-password", "You have no password here. What you prove yourself with stands among your second factors.")

// servePassword has somebody who is signed in change their password. It takes what
// changing their factors takes, so that a session that is left open is not enough; the
// password that they have goes with it.
func (s *Service) servePassword(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(w, r, maxLocalForm); err != nil {
		return err
	}
	if r.Form.Has(paramStep) {
		return fault.New(fault.Invalid, "signed-in-only", "A password is changed by whoever is signed in. Sign in first.")
	}
	if err := s.served(r); err != nil {
		return s.refuse(w, r, tenants.Connection{}, err)
	}
	v, err := s.visitor(w, r)
	if v == nil || err != nil {
		return err
	}
	has, err := s.hasPassword(r.Context(), v)
	if err != nil {
		return err
	}
	host, ok := s.protocols[tenants.Local].(Host)
	if !has || !ok {
		return errNoPassword
	}
	if away := s.mayChange(v, PathPassword); away != "" {
		redirect(w, away)
		return nil
	}
	return host.ServePassword(w, r, v.holder, s.causeOfVisitor(r, v), v.live.Principal().Session)
}

// hasPassword tells whether somebody has a password that they may change here.
func (s *Service) hasPassword(ctx context.Context, v *visitor) (bool, error) {
	host, ok := s.protocols[tenants.Local].(Host)
	if !ok {
		return false, nil
	}
	return host.HasPassword(ctx, v.holder.Tenant, v.holder.User)
}

// localConnection is that of local accounts, if people can sign in by it.
func (s *Service) localConnection(r *http.Request) (tenants.Connection, Host, error) {
	if err := s.served(r); err != nil {
		return tenants.Connection{}, nil, err
	}
	host, ok := s.protocols[tenants.Local].(Host)
	c, err := s.tenants.Connection(r.Context(), tenantOf(r), tenants.LocalName)
	unknown := fault.Is(err, fault.NotFound)
	if err != nil && !unknown {
		return tenants.Connection{}, nil, err
	}
	if unknown || !ok || c.Type != tenants.Local || !c.Enabled {
		return tenants.Connection{}, nil, Refuse(connectionUnknown, "There are no local accounts here, or they are switched off.")
	}
	return c, host, nil
}

// mayKeep refuses to have somebody give up the last factor by which they sign in here.
func (s *Service) mayKeep(v *visitor) MayKeep {
	host, ok := s.protocols[tenants.Local].(Host)
	if !ok {
		return nil
	}
	return func(ctx context.Context, tx *store.Tx, keeps []Factor) error {
		return host.MayKeep(ctx, tx, v.holder.User, keeps)
	}
}
