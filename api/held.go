package api

import (
	"context"
	"slices"

	"gatehouse/authz"
	"gatehouse/identity"
)

// heldRole is a role that somebody has, or that the people of a group have by it.
type heldRole struct {
	Assignment string    `json:"assignment" doc:"Id of the assignment"`
	Role       string    `json:"role"`
	Team       string    `json:"team,omitempty" doc:"Name of the team it is for; absent: account-wide"`
	Group      *groupRef `json:"group,omitempty" doc:"The group to which it is given, by which they have it; absent: it is given to the person or group that was asked for"`
}

// given is who has which role, for whoever may know.
type given struct {
	all   []authz.Assignment
	teams map[identity.TeamID]string
}

// given answers nil to a caller who may not read assignments.
func (a *API) given(ctx context.Context, c *call) (*given, error) {
	permit, _, err := a.cfg.Policy.Decide(ctx, c.principal, authz.Query{Tenant: c.tenant(), Access: authz.NeedPermission, Permission: reads("assignments")})
	if err != nil || !permit.Valid(c.tenant()) {
		return nil, err
	}
	all, teams, err := a.assignments(ctx, c.tenant())
	return &given{all, teams}, err
}

// held gives what a person ("" for a group) has, by themselves and by groups; nil from nil.
func (g *given) held(is func(authz.Assignment) bool, groups []groupRef) []heldRole {
	if g == nil {
		return nil
	}
	roles := []heldRole{}
	for _, x := range g.all {
		role := heldRole{Assignment: x.ID, Role: x.Role, Team: g.teams[x.Team]}
		if is(x) {
			roles = append(roles, role)
			continue
		}
		if i := slices.IndexFunc(groups, func(r groupRef) bool { return r.ID == x.Group }); i >= 0 {
			role.Group = &groups[i]
			roles = append(roles, role)
		}
	}
	return roles
}

func toGroup(id identity.GroupID) func(authz.Assignment) bool {
	return func(x authz.Assignment) bool { return x.Group == id }
}

func toPerson(id identity.UserID) func(authz.Assignment) bool {
	return func(x authz.Assignment) bool { return x.User == id }
}
