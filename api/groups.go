package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
)

// group is a set of people and groups, kept by the tenant's own directory.
type group struct {
	ID         identity.GroupID `json:"id"`
	Name       string           `json:"name"`
	Source     directory.Source `json:"source"`
	ExternalID string           `json:"external_id,omitempty"`
	Members    []userRef        `json:"members,omitempty" doc:"The people in it; only when one group is read"`
	Groups     []groupRef       `json:"groups,omitempty" doc:"The groups in it, whose people have its roles as well; only when one group is read"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`
}

func (a *API) registerGroups() {
	register(a, operation{id: "list-groups", method: http.MethodGet, path: "/groups", tag: "Groups", needs: reads("groups"),
		summary: "List groups"}, a.listGroups)
	register(a, operation{id: "get-group", method: http.MethodGet, path: "/groups/{id}", tag: "Groups", needs: reads("groups"),
		summary: "Show a group and its members"}, a.getGroup)
}

func groupOf(g directory.Group) group {
	view := group{ID: g.ID, Name: g.DisplayName, Source: g.Source, ExternalID: g.ExternalID,
		CreatedAt: g.CreatedAt.UTC(), UpdatedAt: g.UpdatedAt.UTC()}
	for _, member := range g.Members {
		if member.Group != "" {
			view.Groups = append(view.Groups, groupRef{ID: member.Group, Name: member.Display})
			continue
		}
		view.Members = append(view.Members, userRef{ID: member.User, Name: member.Display})
	}
	return view
}

func (a *API) listGroups(ctx context.Context, c *call, in *Paging) (*pageOutput[group], error) {
	filter := directory.All{}
	if in.Cursor != "" {
		filter = append(filter, directory.Compare{Attr: directory.AttrID, Op: directory.Greater, Value: in.Cursor})
	}
	found, err := a.cfg.People.Groups(ctx, c.tenant(), directory.GroupQuery{Filter: filter, Count: in.Limit})
	if err != nil {
		return nil, err
	}
	next := ""
	if n := len(found.Items); n > 0 && found.Total > n {
		next = string(found.Items[n-1].ID)
	}
	return pageOf(found.Items, next, groupOf), nil
}

func (a *API) getGroup(ctx context.Context, c *call, in *ByID[identity.GroupID]) (*versioned[group], error) {
	found, err := a.cfg.People.Group(ctx, c.tenant(), in.ID, true)
	if err != nil {
		return nil, err
	}
	return withVersion(found.Version, groupOf(found)), nil
}
