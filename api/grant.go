package api

import (
	"context"
	"slices"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// A permission to change something is not always enough: whoever makes others
// more than they are themselves, or less, must be able to give what they move.
// The questions of that kind stand here, all about the caller's own tenant.

// mayMakeOwners asks for the right to make owners; why tells the caller what
// makes it needed.
func (a *API) mayMakeOwners(ctx context.Context, c *call, why string) error {
	err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), authz.Owner, "")
	if fault.Is(err, fault.Denied) {
		return fault.Wrap(err, fault.Denied, "more-than-you-have", why+" So it takes the right to make owners. Ask an owner.")
	}
	return err
}

// mayMove refuses to let a caller take away, or hand on, assignments of roles
// that they may not give.
func (a *API) mayMove(ctx context.Context, c *call, which func(authz.Assignment) bool) error {
	all, teams, err := a.assignments(ctx, c.tenant())
	if err != nil {
		return err
	}
	for _, x := range all {
		if !which(x) {
			continue
		}
		if err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), x.Role, teams[x.Team]); err != nil {
			return err
		}
	}
	return nil
}

// heldBy selects what a person has, by themselves or through a group: who lets
// them in or keeps them out gives and takes it.
func heldBy(user identity.UserID, groups []identity.Group) func(authz.Assignment) bool {
	return func(x authz.Assignment) bool {
		return x.User == user || slices.ContainsFunc(groups, func(g identity.Group) bool { return g.ID == x.Group })
	}
}

// mayEnter refuses to let a caller decide who is in a group, or whether it is there,
// unless they could give all roles that its people have by it: those of the groups that
// it is in as well.
func (a *API) mayEnter(ctx context.Context, c *call, id identity.GroupID) error {
	n, err := a.nest(ctx, c.tenant())
	if err != nil {
		return err
	}
	groups := append(n.above(id), identity.Group{ID: id})
	return a.mayMove(ctx, c, func(x authz.Assignment) bool {
		return x.Group != "" && slices.ContainsFunc(groups, func(g identity.Group) bool { return g.ID == x.Group })
	})
}

// mayTrust refuses to let a caller who could not make owners decide whom the
// tenant believes about who people are. current is zero for a new connection,
// which knows nobody yet: its people and groups are its own unless it links.
func (a *API) mayTrust(ctx context.Context, c *call, wanted, current tenants.Connection) error {
	if wanted.DefaultRole != "" && wanted.DefaultRole != current.DefaultRole {
		if err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), wanted.DefaultRole, ""); err != nil {
			return err
		}
	}
	if wanted.Link != tenants.LinkNever && wanted.Link != current.Link || current.ID != "" && wanted.TrustsAnew(current) {
		return a.mayMakeOwners(ctx, c, "Who decides whom the connection "+wanted.Name+" trusts can become anybody here.")
	}
	if current.ID != "" && !wanted.Signals.Same(current.Signals) {
		return a.mayMakeOwners(ctx, c, "Who decides whose signals the connection "+wanted.Name+" heeds decides who is signed out here, and who is not.")
	}
	return nil
}

// mayDefine refuses to let a caller write a role that holds more than they
// have, or take from one what they could not give.
func (a *API) mayDefine(ctx context.Context, c *call, wanted, current authz.Role) error {
	for _, role := range []authz.Role{wanted, current} {
		if err := a.cfg.Policy.MayDefine(ctx, c.principal, c.tenant(), role); err != nil {
			return err
		}
	}
	return nil
}

// keptHere refuses to change what somebody else keeps: it would be changed back, or would
// belie them.
func keptHere(what string, source directory.Source) error {
	switch source {
	case directory.SourceAdmin:
		return nil
	case directory.SourceSignIn:
		return errKept(what + " is kept by a connection's sign-ins: what the identity provider says, and the connection's rules. Change it there.")
	default:
		return errKept(what + " is kept by your identity provider over SCIM, which says what it is. Change it there.")
	}
}

func errKept(sentence string) error { return fault.New(fault.Conflict, "kept-elsewhere", sentence) }
