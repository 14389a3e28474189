package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
)

// user is a person in the tenant.
type user struct {
	ID         identity.UserID  `json:"id"`
	UserName   string           `json:"user_name"`
	Email      string           `json:"email,omitempty"`
	Name       string           `json:"name,omitempty"`
	Active     bool             `json:"active"`
	Source     directory.Source `json:"source" doc:"Who made the record: scim, signin or admin"`
	ExternalID string           `json:"external_id,omitempty"`
	Groups     []groupRef       `json:"groups"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`
}

type groupRef struct {
	ID       identity.GroupID `json:"id"`
	Name     string           `json:"name"`
	Indirect bool             `json:"indirect,omitempty" doc:"The person is in it through other groups alone"`
}

type listUsersInput struct {
	Paging
	Search string `query:"search" maxLength:"200" doc:"Part of the user name, email or name"`
	Active string `query:"active" enum:"true,false" doc:"Only active or only inactive people"`
}

type changeUserInput struct {
	ByID[identity.UserID]
	Condition
	Body struct {
		Active bool `json:"active" doc:"false signs the person out everywhere and lets nobody in by that account"`
	}
}

func (a *API) registerUsers() {
	register(a, operation{id: "list-users", method: http.MethodGet, path: "/users", tag: "Users", needs: reads("users"),
		summary: "List and search people"}, a.listUsers)
	register(a, operation{id: "get-user", method: http.MethodGet, path: "/users/{id}", tag: "Users", needs: reads("users"),
		summary: "Show a person"}, a.getUser)
	register(a, operation{id: "change-user", method: http.MethodPatch, path: "/users/{id}", tag: "Users", needs: writes("users"),
		summary: "Activate or deactivate a person; deactivating ends all sessions before the answer"}, a.changeUser)
	register(a, operation{id: "delete-user", method: http.MethodDelete, path: "/users/{id}", tag: "Users", needs: deletes("users"),
		summary: "Delete a person; ends all sessions before the answer"}, a.deleteUser)
}

func userOf(u directory.User) user {
	view := user{ID: u.ID, UserName: u.UserName, Email: u.Email, Name: u.DisplayName, Active: u.Active, Source: u.Source,
		ExternalID: u.ExternalID, Groups: []groupRef{}, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC()}
	for _, group := range u.Groups {
		view.Groups = append(view.Groups, groupRef{ID: group.ID, Name: group.Name, Indirect: group.Indirect})
	}
	return view
}

func (a *API) listUsers(ctx context.Context, c *call, in *listUsersInput) (*pageOutput[user], error) {
	filter := directory.All{}
	if in.Cursor != "" {
		filter = append(filter, directory.Compare{Attr: directory.AttrID, Op: directory.Greater, Value: in.Cursor})
	}
	if in.Active != "" {
		filter = append(filter, directory.Compare{Attr: directory.AttrActive, Op: directory.Equal, Value: in.Active == "true"})
	}
	if in.Search != "" {
		filter = append(filter, directory.Any{
			directory.Compare{Attr: directory.AttrUserName, Op: directory.Contains, Value: in.Search},
			directory.Compare{Attr: directory.AttrDisplayName, Op: directory.Contains, Value: in.Search},
			directory.Compare{Attr: directory.AttrEmail, Op: directory.Contains, Value: in.Search},
		})
	}
	found, err := a.cfg.People.Users(ctx, c.tenant(), directory.UserQuery{Filter: filter, Count: in.Limit})
	if err != nil {
		return nil, err
	}
	next := ""
	if n := len(found.Items); n > 0 && found.Total > n {
		next = string(found.Items[n-1].ID)
	}
	return pageOf(found.Items, next, userOf), nil
}

func (a *API) getUser(ctx context.Context, c *call, in *ByID[identity.UserID]) (*versioned[user], error) {
	found, err := a.cfg.People.User(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return withVersion(found.Version, userOf(found)), nil
}

func (a *API) changeUser(ctx context.Context, c *call, in *changeUserInput) (*versioned[user], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	person, err := a.cfg.People.Person(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.mayMove(ctx, c, heldBy(in.ID, person.Groups)); err != nil {
		return nil, err
	}
	changed, err := a.cfg.People.UpdateUser(ctx, c.cause, c.tenant(), in.ID, version, func(u *directory.User) error {
		u.Active = in.Body.Active
		return nil
	})
	if err != nil {
		return nil, err
	}
	return withVersion(changed.Version, userOf(changed)), nil
}

func (a *API) deleteUser(ctx context.Context, c *call, in *struct {
	ByID[identity.UserID]
	Condition
}) (*struct{}, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	found, err := a.cfg.People.User(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.mayMove(ctx, c, heldBy(in.ID, found.Groups)); err != nil {
		return nil, err
	}
	return nil, a.cfg.People.DeleteUser(ctx, c.cause, c.tenant(), in.ID, version)
}
