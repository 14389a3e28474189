package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"gatehouse/api/resources"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// assignment is a role that a person or a group has.
type assignment struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Team      string     `json:"team,omitempty" doc:"Name of the team it is for; absent: account-wide"`
	Subject   subjectRef `json:"subject"`
	CreatedAt time.Time  `json:"created_at"`
}

type subjectRef struct {
	Kind string `json:"kind" enum:"user,group"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

type assignInput struct {
	Body struct {
		Name string `json:"name,omitempty" maxLength:"100" doc:"Unique; absent: one is made up"`
		resources.AssignmentSpec
	}
}

func (a *API) registerAssignments() {
	register(a, operation{id: "list-assignments", method: http.MethodGet, path: "/assignments", tag: "Roles", needs: reads("assignments"),
		summary: "List who has which role"}, a.listAssignments)
	register(a, operation{id: "create-assignment", method: http.MethodPost, path: "/assignments", tag: "Roles", needs: writes("assignments"),
		status: http.StatusCreated, summary: "Give a role to a person or a group"}, a.createAssignment)
	register(a, operation{id: "delete-assignment", method: http.MethodDelete, path: "/assignments/{id}", tag: "Roles", needs: deletes("assignments"),
		summary: "Take a role away"}, a.deleteAssignment)
}

func (a *API) listAssignments(ctx context.Context, c *call, in *Paging) (*pageOutput[assignment], error) {
	found, teams, err := a.assignments(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	refs := a.references(c.tenant())
	return pageWithin(*in, found, func(x authz.Assignment) string { return x.ID }, func(x authz.Assignment) assignment { return assignmentOf(ctx, refs, teams, x) }), nil
}

// assignments gives who has which role, and the names of the teams. One for a
// team that was deleted in between is left out: without a team's name it would
// read as account-wide.
func (a *API) assignments(ctx context.Context, tenant identity.TenantID) ([]authz.Assignment, map[identity.TeamID]string, error) {
	all, err := a.cfg.Policy.Assignments(ctx, tenant)
	if err != nil {
		return nil, nil, err
	}
	teams, err := a.teamNames(ctx, tenant)
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(x authz.Assignment) bool { return x.Team != "" && teams[x.Team] == "" })
	return all, teams, nil
}

func assignmentOf(ctx context.Context, refs *references, teams map[identity.TeamID]string, x authz.Assignment) assignment {
	view := assignment{ID: x.ID, Name: x.Name, Role: x.Role, Team: teams[x.Team], CreatedAt: x.CreatedAt.UTC()}
	if x.User != "" {
		ref := refs.user(ctx, x.User)
		view.Subject = subjectRef{Kind: "user", ID: string(x.User), Name: ref.Name}
		if ref.Name == "" {
			view.Subject.Name = ref.Email
		}
	} else {
		view.Subject = subjectRef{Kind: "group", ID: string(x.Group), Name: refs.group(ctx, x.Group)}
	}
	return view
}

func (a *API) createAssignment(ctx context.Context, c *call, in *assignInput) (*bodyOutput[assignment], error) {
	wanted, err := a.assignmentFrom(ctx, c.tenant(), in.Body.Name, in.Body.AssignmentSpec)
	if err != nil {
		return nil, err
	}
	all, err := a.cfg.Policy.Assignments(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	// authz would replace it, which is what apply wants and a POST does not.
	if wanted.Name != "" && slices.ContainsFunc(all, func(x authz.Assignment) bool { return x.Name == wanted.Name }) {
		return nil, fault.New(fault.Conflict, "name-taken", "Another assignment has this name.")
	}
	teams, err := a.teamNames(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	if err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), wanted.Role, teams[wanted.Team]); err != nil {
		return nil, err
	}
	made, err := a.cfg.Policy.Assign(ctx, c.cause, c.tenant(), wanted)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[assignment]{assignmentOf(ctx, a.references(c.tenant()), teams, made)}, nil
}

func (a *API) deleteAssignment(ctx context.Context, c *call, in *ByID[string]) (*struct{}, error) {
	if err := a.mayMove(ctx, c, func(x authz.Assignment) bool { return x.ID == in.ID }); err != nil {
		return nil, err
	}
	return nil, a.cfg.Policy.Unassign(ctx, c.cause, c.tenant(), in.ID)
}

// assignmentFrom finds the things that a spec names.
func (a *API) assignmentFrom(ctx context.Context, tenant identity.TenantID, name string, spec resources.AssignmentSpec) (authz.Assignment, error) {
	wanted := authz.Assignment{Name: name, Role: spec.Role}
	if (spec.User == "") == (spec.Group == "") {
		return wanted, fault.New(fault.Invalid, "choose-one", "Give exactly one of user and group.")
	}
	var err error
	if spec.Team != "" {
		if wanted.Team, err = a.teamID(ctx, tenant, spec.Team); err != nil {
			return wanted, err
		}
	}
	if spec.User != "" {
		wanted.User, err = a.userID(ctx, tenant, spec.User)
	} else {
		wanted.Group, err = a.groupID(ctx, tenant, spec.Group)
	}
	return wanted, err
}

func (a *API) userID(ctx context.Context, tenant identity.TenantID, nameOrID string) (identity.UserID, error) {
	found, err := a.cfg.People.Users(ctx, tenant, directory.UserQuery{Count: 1, Filter: directory.Any{
		directory.Compare{Attr: directory.AttrID, Value: nameOrID}, directory.Compare{Attr: directory.AttrUserName, Value: nameOrID}}})
	if err != nil {
		return "", err
	}
	if len(found.Items) == 0 {
		return "", fault.New(fault.NotFound, "no-such-user", "There is no person "+nameOrID+".")
	}
	return found.Items[0].ID, nil
}

func (a *API) groupID(ctx context.Context, tenant identity.TenantID, nameOrID string) (identity.GroupID, error) {
	found, err := a.cfg.People.Groups(ctx, tenant, directory.GroupQuery{Count: 1, Filter: directory.Any{
		directory.Compare{Attr: directory.AttrID, Value: nameOrID}, directory.Compare{Attr: directory.AttrDisplayName, Value: nameOrID}}})
	if err != nil {
		return "", err
	}
	if len(found.Items) == 0 {
		return "", fault.New(fault.NotFound, "no-such-group", "There is no group "+nameOrID+".")
	}
	return found.Items[0].ID, nil
}

func (a *API) teamID(ctx context.Context, tenant identity.TenantID, nameOrID string) (identity.TeamID, error) {
	teams, err := a.teamNames(ctx, tenant)
	if err != nil {
		return "", err
	}
	for id, name := range teams {
		if name == nameOrID || string(id) == nameOrID {
			return id, nil
		}
	}
	return "", fault.New(fault.NotFound, "no-such-team", "There is no team "+nameOrID+".")
}

func (a *API) teamNames(ctx context.Context, tenant identity.TenantID) (map[identity.TeamID]string, error) {
	all, err := a.cfg.People.Teams(ctx, tenant)
	if err != nil {
		return nil, err
	}
	names := make(map[identity.TeamID]string, len(all))
	for _, t := range all {
		names[t.ID] = t.Name
	}
	return names, nil
}
