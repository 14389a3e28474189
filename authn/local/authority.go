package local

import (
	"context"
	"net/http"

	"gatehouse/audit"
	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/httpkit"
)

// Policy knows who may do what at this moment.
type Policy interface {
	// MayBecome refuses, with a Denied fault, to let a principal hand out a way to sign in
	// as a person who may do more than they may.
	MayBecome(ctx context.Context, p *identity.Principal, tenant identity.TenantID, user identity.UserID) error
	// Owns reports whether a person is an owner, account-wide.
	Owns(ctx context.Context, tenant identity.TenantID, user identity.UserID) (bool, error)
	// Held names the roles that a principal has, account-wide and in teams.
	Held(ctx context.Context, p *identity.Principal) ([]string, error)
}

// Programs finds the API token or service of an id, as it may act at this moment; nil
// if it may not any more.
type Programs func(ctx context.Context, tenant identity.TenantID, kind identity.Kind, id string) (*identity.Principal, error)

const (
	// makerLost is a link whose maker could not make it any more: they are gone, or may
	// less than its person does by now.
	makerLost = "invitation-outgrown"
	sayLost   = "This link is not good any more: whoever made it may not give what it leads to, or is gone. Ask for a new one."
	// notAnOwner is an account of somebody who may not have one any more.
	notAnOwner authn.Reason = "not-an-owner"
)

var (
	errClosed  = fault.New(fault.Denied, "connection-disabled", "This way of signing in has been closed. Ask your administrator.")
	errNoOwner = fault.New(fault.Denied, string(notAnOwner), "Local accounts are for the organisation's owners alone, and you are none. Ask your administrator.")
	errNetwork = fault.New(fault.Denied, "network-not-allowed",
		"Your organisation does not allow the network that you come from. Connect from another one, or ask your administrator.")
	errRoleNetwork = fault.New(fault.Denied, "network-not-allowed-for-role",
		"Your organisation does not allow the network that you come from for one of your roles. Connect from another one, or ask your administrator.")
)

// stands refuses a link that its maker could not make as things are now. What it is
// worth is not what it was when it was made: its person may have been given more since,
// which whoever made it would come by, and its maker may be gone, with the link still
// in their hands.
func (s *Service) stands(ctx context.Context, tenant identity.TenantID, maker audit.Actor, user identity.UserID) error {
	p, err := s.principal(ctx, tenant, maker)
	if err != nil {
		return err
	}
	if p == nil {
		return fault.New(fault.Denied, makerLost, sayLost)
	}
	err = s.policy.MayBecome(ctx, p, tenant, user)
	if fault.Is(err, fault.Denied) {
		return fault.Wrap(err, fault.Denied, makerLost, sayLost)
	}
	return err
}

// principal is who made a link, as they may act now; nil if they may not.
func (s *Service) principal(ctx context.Context, tenant identity.TenantID, maker audit.Actor) (*identity.Principal, error) {
	switch maker.Kind {
	case identity.KindOperator:
		return &identity.Principal{Kind: maker.Kind, Tenant: tenant, ID: maker.ID}, nil
	case identity.KindUser:
		return &identity.Principal{Kind: maker.Kind, Tenant: tenant, ID: maker.ID, User: identity.UserID(maker.ID)}, nil
	case identity.KindAPIToken, identity.KindService:
		return s.programs(ctx, tenant, maker.Kind, maker.ID)
	}
	return nil, nil
}

// entitled refuses somebody who may have no local account: elsewhere than with the
// operators they are for owners alone, and who is none any more signs in as everybody
// else does.
func (s *Service) entitled(ctx context.Context, tenant identity.TenantID, user identity.UserID) error {
	if tenant == identity.Platform {
		return nil
	}
	owns, err := s.policy.Owns(ctx, tenant, user)
	if err == nil && !owns {
		err = errNoOwner
	}
	return err
}

// admits refuses a network from which the person could not sign in either.
func (s *Service) admits(r *http.Request, user identity.UserID) error {
	req := httpkit.RequestFrom(r.Context())
	t, ok := s.tenants.ByID(req.Tenant)
	if !ok {
		return nil // served has said so
	}
	set := &t.Settings.Session
	if !set.Admits(req.ClientIP) {
		return errNetwork
	}
	if len(set.RoleNetworks) == 0 {
		return nil
	}
	roles, err := s.policy.Held(r.Context(), &identity.Principal{Kind: identity.KindUser, Tenant: req.Tenant, ID: string(user), User: user})
	if err == nil && !set.AdmitsRoles(roles, req.ClientIP) {
		err = errRoleNetwork
	}
	return err
}
