package authz

import (
	"context"
	"slices"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// anyTeam stands for every team in a question: it is no team's name, so only
// what holds in every team holds there.
const anyTeam = "*"

// MayGrant refuses, with a Denied fault, to let a principal give away a role
// that allows more than the principal may do: else everybody who may assign
// roles could become an owner. team is the name of the team that it is given
// for, empty: account-wide.
func (e *Engine) MayGrant(ctx context.Context, p *identity.Principal, tenant identity.TenantID, role, team string) error {
	v, err := e.current(ctx, tenant)
	if err != nil {
		return err
	}
	r, ok := v.roles[role]
	if !ok {
		return errNoRole
	}
	if _, ok := v.places[team]; team != "" && !ok {
		return fault.New(fault.NotFound, "team-not-found", "There is no such team.")
	}
	return e.holds(ctx, p, tenant, r, team)
}

// MayDefine is [Engine.MayGrant] for a role that is to be written: whoever has
// it already has it from then on, account-wide or not.
func (e *Engine) MayDefine(ctx context.Context, p *identity.Principal, tenant identity.TenantID, r Role) error {
	return e.holds(ctx, p, tenant, r, "")
}

// holds asks for each permission of the role whether the principal has it
// wherever the role would reach. A permission may be a pattern; one that only
// several of the principal's cover together counts as more than they have.
func (e *Engine) holds(ctx context.Context, p *identity.Principal, tenant identity.TenantID, r Role, team string) error {
	for _, text := range r.Permissions {
		g, err := parseGrant(text)
		if err != nil {
			return err
		}
		for _, place := range g.places(team) {
			_, d, err := e.Decide(ctx, p, Query{Tenant: tenant, Permission: g.Permission, Team: place})
			if err != nil {
				return err
			}
			if !d.Allowed {
				return fault.New(fault.Denied, "more-than-you-have",
					"The role "+r.Name+" allows "+text+", which you may not do yourself. Ask somebody who may.")
			}
		}
	}
	return nil
}

// places are the teams for which a permission would hold, if its role is given
// for a team, or account-wide with an empty one; the empty place is the account.
func (g grant) places(team string) []string {
	switch {
	case g.reach == reachAccount && team != "":
		return nil // reaches nothing there
	case g.reach == reachAccount:
		return []string{""}
	case team != "":
		return []string{team}
	case g.reach == reachTeam:
		return []string{anyTeam}
	default:
		return []string{"", anyTeam}
	}
}

// writesPeople is what whoever makes people, and changes what they sign in with, must
// be allowed.
var writesPeople = Permission{Object: "gatehouse.users", Action: "write"}

// MayBecome refuses, with a Denied fault, to let a principal hand out a way to sign in
// as a person: who may not change people, and whoever could not give all that this one
// has, by themselves or through a group, account-wide or in a team.
func (e *Engine) MayBecome(ctx context.Context, p *identity.Principal, tenant identity.TenantID, user identity.UserID) error {
	_, d, err := e.Decide(ctx, p, Query{Tenant: tenant, Permission: writesPeople})
	if err != nil {
		return err
	}
	if !d.Allowed {
		return fault.New(fault.Denied, "not-allowed", "You may not do this.")
	}
	v, err := e.current(ctx, tenant)
	if err != nil {
		return err
	}
	person, err := e.people.Person(ctx, tenant, user)
	if err != nil {
		return err
	}
	for _, s := range subjectsOf(person) {
		for _, a := range v.bySubject[s.key] {
			if err := e.MayGrant(ctx, p, tenant, a.Role, v.teamNames[a.Team]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Owns reports whether a person is an owner of the account at this moment.
func (e *Engine) Owns(ctx context.Context, tenant identity.TenantID, user identity.UserID) (bool, error) {
	profile, err := e.Profile(ctx, &identity.Principal{Kind: identity.KindUser, Tenant: tenant, ID: string(user), User: user})
	if err != nil {
		return false, err
	}
	return slices.Contains(profile.Roles, Owner), nil
}
