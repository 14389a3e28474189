package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
)

// formerUser is who somebody was that is deleted.
type formerUser struct {
	ID         identity.UserID  `json:"id"`
	UserName   string           `json:"user_name"`
	Email      string           `json:"email,omitempty"`
	Name       string           `json:"name,omitempty"`
	Source     directory.Source `json:"source" doc:"Who had made the record: scim, signin or admin"`
	ExternalID string           `json:"external_id,omitempty"`
	CreatedAt  time.Time        `json:"created_at"`
	DeletedAt  time.Time        `json:"deleted_at"`
	DeletedBy  string           `json:"deleted_by" doc:"By whom: the name of a person or a token, or its id"`
	Until      time.Time        `json:"until" doc:"When this record goes by itself"`
}

func formerOf(f directory.FormerUser) formerUser {
	by := f.DeletedBy.Name
	if by == "" {
		by = f.DeletedBy.ID
	}
	return formerUser{ID: f.ID, UserName: f.UserName, Email: f.Email, Name: f.DisplayName, Source: f.Source, ExternalID: f.ExternalID,
		CreatedAt: f.CreatedAt.UTC(), DeletedAt: f.DeletedAt.UTC(), DeletedBy: by, Until: f.Until.UTC()}
}

type listFormerInput struct {
	Paging
	Search string `query:"search" maxLength:"200" doc:"Part of the user name, email, name, external id or id"`
}

func (a *API) registerFormer() {
	register(a, operation{id: "list-former-users", method: http.MethodGet, path: "/former-users", tag: "Users", needs: reads("users"),
		summary: "List and search the records of people who are deleted, the latest first; there are none unless scim.retain is set"}, a.listFormer)
	register(a, operation{id: "get-former-user", method: http.MethodGet, path: "/former-users/{id}", tag: "Users", needs: reads("users"),
		summary: "Show who a deleted person was"}, a.getFormer)
	register(a, operation{id: "erase-former-user", method: http.MethodDelete, path: "/former-users/{id}", tag: "Users", needs: deletes("users"),
		summary: "Remove the record of a deleted person before its time"}, a.eraseFormer)
}

func (a *API) listFormer(ctx context.Context, c *call, in *listFormerInput) (*pageOutput[formerUser], error) {
	found, err := a.cfg.People.FormerUsers(ctx, c.tenant(), directory.FormerQuery{Search: in.Search, After: in.Cursor, Count: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(found.Items, found.Next, formerOf), nil
}

func (a *API) getFormer(ctx context.Context, c *call, in *ByID[identity.UserID]) (*struct{ Body formerUser }, error) {
	found, err := a.cfg.People.FormerUser(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body formerUser }{formerOf(found)}, nil
}

func (a *API) eraseFormer(ctx context.Context, c *call, in *ByID[identity.UserID]) (*struct{}, error) {
	return nil, a.cfg.People.EraseFormerUser(ctx, c.cause, c.tenant(), in.ID)
}
