package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// role is a named set of permissions.
type role struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Permissions []string `json:"permissions" doc:"object:action; team/ in front limits it to teams, account/ to the account"`
	BuiltIn     bool     `json:"built_in" doc:"Built-in roles cannot be changed"`
}

type putRoleInput struct {
	ByName
	Condition
	Body struct {
		Description string   `json:"description,omitempty" maxLength:"500"`
		Permissions []string `json:"permissions" minItems:"1" maxItems:"200"`
	}
}

func (a *API) registerRoles() {
	register(a, operation{id: "list-roles", method: http.MethodGet, path: "/roles", tag: "Roles", needs: reads("roles"),
		summary: "List built-in roles and the tenant's own"}, a.listRoles)
	register(a, operation{id: "put-role", method: http.MethodPut, path: "/roles/{name}", tag: "Roles", needs: writes("roles"),
		status: http.StatusOK, summary: "Make or replace a role of the tenant's own"}, a.putRole)
	register(a, operation{id: "delete-role", method: http.MethodDelete, path: "/roles/{name}", tag: "Roles", needs: deletes("roles"),
		summary: "Delete a role of the tenant's own"}, a.deleteRole)
	register(a, operation{id: "explain-decision", method: http.MethodPost, path: "/authorize/explain", tag: "Roles", needs: reads("policy"),
		status: http.StatusOK, summary: "Tell whether a person may do something, and why"}, a.explain)
}

func roleOf(r authz.Role) role {
	return role{Name: r.Name, Description: r.Description, Permissions: append([]string{}, r.Permissions...), BuiltIn: r.BuiltIn}
}

func (a *API) listRoles(ctx context.Context, c *call, in *Paging) (*pageOutput[role], error) {
	found, err := a.cfg.Policy.Roles(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(x authz.Role) string { return x.Name }, roleOf), nil
}

// role finds a role by name.
func (a *API) role(ctx context.Context, tenant identity.TenantID, name string) (authz.Role, error) {
	found, err := a.cfg.Policy.Roles(ctx, tenant)
	if err != nil {
		return authz.Role{}, err
	}
	for _, r := range found {
		if r.Name == name {
			return r, nil
		}
	}
	return authz.Role{}, fault.New(fault.NotFound, "no-such-role", "There is no such role.")
}

func (a *API) putRole(ctx context.Context, c *call, in *putRoleInput) (*versioned[role], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	current, err := a.role(ctx, c.tenant(), in.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	wanted := authz.Role{Name: in.Name, Description: in.Body.Description, Permissions: in.Body.Permissions}
	if err := a.mayDefine(ctx, c, wanted, current); err != nil {
		return nil, err
	}
	kept, err := a.cfg.Policy.PutRole(ctx, c.cause, c.tenant(), wanted, version)
	if err != nil {
		return nil, err
	}
	return withVersion(kept.Version, roleOf(kept)), nil
}

func (a *API) deleteRole(ctx context.Context, c *call, in *struct {
	ByName
	Condition
}) (*struct{}, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if err := a.unnamed(ctx, c.tenant(), in.Name); err != nil {
		return nil, err
	}
	return nil, a.cfg.Policy.DeleteRole(ctx, c.cause, c.tenant(), in.Name, version)
}

// unnamed refuses to delete a role that a connection gives to newcomers, who
// could not sign in without it, or that a token is good for: both would have
// whatever the next role of that name allows.
func (a *API) unnamed(ctx context.Context, tenant identity.TenantID, role string) error {
	connections, err := a.cfg.Connections.Connections(ctx, tenant)
	if err != nil {
		return err
	}
	for _, x := range connections {
		if x.DefaultRole == role {
			return fault.New(fault.Conflict, "role-in-use", "The connection "+x.Name+" gives the role "+role+" to newcomers. Change that first.")
		}
	}
	tokens, err := a.cfg.Tokens.List(ctx, tenant)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, x := range tokens {
		if x.Role == role && x.RevokedAt == nil && (x.ExpiresAt == nil || now.Before(*x.ExpiresAt)) {
			return fault.New(fault.Conflict, "role-in-use", "The token "+x.Name+" has the role "+role+". Revoke it first.")
		}
	}
	return nil
}

type explainInput struct {
	Body struct {
		User       identity.UserID `json:"user" minLength:"1" maxLength:"64"`
		Permission string          `json:"permission" maxLength:"200" pattern:"^[^:]+:[^:]+$" patternDescription:"object:action" example:"alerts:write"`
		Team       string          `json:"team,omitempty" maxLength:"63" doc:"Name of a team; absent: at account level"`
	}
}

// decision is an answer of authz with its reason.
type decision struct {
	Allowed       bool   `json:"allowed"`
	Reason        string `json:"reason"`
	Message       string `json:"message"`
	Role          string `json:"role,omitempty" doc:"The role that allows it"`
	Via           string `json:"via,omitempty" doc:"user, or the name of the group that the role came by"`
	PolicyVersion uint64 `json:"policy_version"`
	Chain         []link `json:"chain" doc:"How the permission comes to the person, from the person to the permission"`
}

type link struct {
	Kind string `json:"kind" doc:"user, group, assignment, role or permission"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

func (a *API) explain(ctx context.Context, c *call, in *explainInput) (*bodyOutput[decision], error) {
	if _, err := a.cfg.People.User(ctx, c.tenant(), in.Body.User); err != nil {
		return nil, err
	}
	permission, err := authz.ParsePermission(in.Body.Permission)
	if err != nil {
		return nil, err
	}
	d, err := a.cfg.Policy.Explain(ctx, c.tenant(), in.Body.User, authz.Query{Tenant: c.tenant(), Permission: permission, Team: in.Body.Team})
	if err != nil {
		return nil, err
	}
	view := decision{Allowed: d.Allowed, Reason: d.Reason, Message: d.Message, Role: d.Role, Via: d.Via, PolicyVersion: d.PolicyVersion, Chain: []link{}}
	for _, l := range d.Chain {
		view.Chain = append(view.Chain, link{Kind: l.Kind, ID: l.ID, Name: l.Name})
	}
	return &bodyOutput[decision]{view}, nil
}
