package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
)

// team is the unit inside a tenant for which roles can be given.
type team struct {
	ID          identity.TeamID `json:"id"`
	Name        string          `json:"name" doc:"Stands in the app's paths"`
	DisplayName string          `json:"display_name"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
}

type createTeamInput struct {
	Body struct {
		Name        string `json:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"lower-case letters, digits and hyphens"`
		DisplayName string `json:"display_name,omitempty" maxLength:"200"`
	}
}

type changeTeamInput struct {
	ByID[identity.TeamID]
	Condition
	Body struct {
		DisplayName string `json:"display_name" minLength:"1" maxLength:"200"`
	}
}

func (a *API) registerTeams() {
	register(a, operation{id: "list-teams", method: http.MethodGet, path: "/teams", tag: "Teams", needs: reads("teams"),
		summary: "List teams"}, a.listTeams)
	register(a, operation{id: "create-team", method: http.MethodPost, path: "/teams", tag: "Teams", needs: writes("teams"),
		status: http.StatusCreated, summary: "Make a team"}, a.createTeam)
	register(a, operation{id: "get-team", method: http.MethodGet, path: "/teams/{id}", tag: "Teams", needs: reads("teams"),
		summary: "Show a team"}, a.getTeam)
	register(a, operation{id: "change-team", method: http.MethodPatch, path: "/teams/{id}", tag: "Teams", needs: writes("teams"),
		summary: "Rename a team; its name in paths stays"}, a.changeTeam)
	register(a, operation{id: "delete-team", method: http.MethodDelete, path: "/teams/{id}", tag: "Teams", needs: deletes("teams"),
		summary: "Delete a team and the roles given for it"}, a.deleteTeam)
}

func teamOf(t directory.Team) team {
	return team{ID: t.ID, Name: t.Name, DisplayName: t.DisplayName, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
}

func (a *API) listTeams(ctx context.Context, c *call, in *Paging) (*pageOutput[team], error) {
	found, err := a.cfg.People.Teams(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(x directory.Team) string { return x.Name }, teamOf), nil
}

func (a *API) createTeam(ctx context.Context, c *call, in *createTeamInput) (*versioned[team], error) {
	wanted := directory.Team{Name: in.Body.Name, DisplayName: in.Body.DisplayName}
	if wanted.DisplayName == "" {
		wanted.DisplayName = wanted.Name
	}
	made, err := a.cfg.People.CreateTeam(ctx, c.cause, c.tenant(), wanted)
	if err != nil {
		return nil, err
	}
	return withVersion(made.Version, teamOf(made)), nil
}

func (a *API) getTeam(ctx context.Context, c *call, in *ByID[identity.TeamID]) (*versioned[team], error) {
	found, err := a.cfg.People.Team(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return withVersion(found.Version, teamOf(found)), nil
}

func (a *API) changeTeam(ctx context.Context, c *call, in *changeTeamInput) (*versioned[team], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	changed, err := a.cfg.People.UpdateTeam(ctx, c.cause, c.tenant(), in.ID, version, func(t *directory.Team) error {
		t.DisplayName = in.Body.DisplayName
		return nil
	})
	if err != nil {
		return nil, err
	}
	return withVersion(changed.Version, teamOf(changed)), nil
}

func (a *API) deleteTeam(ctx context.Context, c *call, in *struct {
	ByID[identity.TeamID]
	Condition
}) (*struct{}, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if err := a.mayMove(ctx, c, func(x authz.Assignment) bool { return x.Team == in.ID }); err != nil {
		return nil, err
	}
	return nil, a.cfg.People.DeleteTeam(ctx, c.cause, c.tenant(), in.ID, version)
}
