package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// maxCounted is up to how many people are counted of each group in a list.
const maxCounted = 10_000

// group is a set of people and groups, kept by the tenant's own directory.
type group struct {
	ID         identity.GroupID `json:"id"`
	Name       string           `json:"name"`
	Source     directory.Source `json:"source" doc:"Who says what it is: scim, signin or admin. Only one of admin is changed here"`
	Connection string           `json:"connection,omitempty" doc:"Name of the connection whose sign-ins keep it; absent also if it was deleted"`
	ExternalID string           `json:"external_id,omitempty"`
	People     int              `json:"people" doc:"How many people are in it themselves"`
	AtLeast    bool             `json:"at_least,omitempty" doc:"There are more people than were counted: in a list 10,000 at most are"`
	Groups     int              `json:"groups" doc:"How many groups are in it themselves"`
	In         []groupRef       `json:"in" doc:"The groups that it is in, whose roles its people have as well"`
	Roles      []heldRole       `json:"roles,omitzero" doc:"What its people have by it; absent for who may not read assignments"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`
}

type listGroupsInput struct {
	Limit  int              `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at most"`
	Cursor string           `query:"cursor" maxLength:"2048" doc:"next_cursor of the page before"`
	Search string           `query:"search" maxLength:"200" doc:"Part of the name, or the whole external id"`
	Source directory.Source `query:"source" enum:"scim,signin,admin" doc:"Only those that this keeps"`
}

type createGroupInput struct {
	Body struct {
		Name       string `json:"name" minLength:"1" maxLength:"256"`
		ExternalID string `json:"external_id,omitempty" maxLength:"256"`
	}
}

type changeGroupInput struct {
	ByID[identity.GroupID]
	Condition
	Body struct {
		Name       *string `json:"name,omitempty" minLength:"1" maxLength:"256"`
		ExternalID *string `json:"external_id,omitempty" maxLength:"256"`
	}
}

func (a *API) registerGroups() {
	register(a, operation{id: "list-groups", method: http.MethodGet, path: "/groups", tag: "Groups", needs: reads("groups"),
		summary: "List and search groups, by name"}, a.listGroups)
	register(a, operation{id: "create-group", method: http.MethodPost, path: "/groups", tag: "Groups", needs: writes("groups"),
		status: http.StatusCreated, summary: "Make a group, with nobody in it"}, a.createGroup)
	register(a, operation{id: "get-group", method: http.MethodGet, path: "/groups/{id}", tag: "Groups", needs: reads("groups"),
		summary: "Show a group: how many are in it, what it is in, and what it gives"}, a.getGroup)
	register(a, operation{id: "change-group", method: http.MethodPatch, path: "/groups/{id}", tag: "Groups", needs: writes("groups"),
		summary: "Rename a group that admins keep"}, a.changeGroup)
	register(a, operation{id: "delete-group", method: http.MethodDelete, path: "/groups/{id}", tag: "Groups", needs: deletes("groups"),
		summary: "Delete a group and the roles given to it; the people stay. It takes holding all roles that its people have by it. A provider that keeps it may make it again"}, a.deleteGroup)
	a.registerMembers()
}

// groupViews shows groups with what is around them, each up to so many people; 0: all.
func (a *API) groupViews(ctx context.Context, c *call, groups []directory.Group, most int) ([]group, error) {
	ids := make([]identity.GroupID, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	sizes, err := a.cfg.People.Sizes(ctx, c.tenant(), ids, most)
	if err != nil {
		return nil, err
	}
	n, err := a.nest(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	roles, err := a.given(ctx, c)
	if err != nil {
		return nil, err
	}
	connections, err := a.connectionNames(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	views := make([]group, len(groups))
	for i, g := range groups {
		size, in := sizes[g.ID], n.refs(n.above(g.ID), identity.Group{ID: g.ID, Name: g.DisplayName})
		views[i] = group{ID: g.ID, Name: g.DisplayName, Source: g.Source, Connection: connections[g.Connection], ExternalID: g.ExternalID,
			People: size.People, AtLeast: size.AtLeast, Groups: size.Groups, In: in, Roles: roles.held(toGroup(g.ID), in),
			CreatedAt: g.CreatedAt.UTC(), UpdatedAt: g.UpdatedAt.UTC()}
	}
	return views, nil
}

// groupView is the answer that is one group.
func (a *API) groupView(ctx context.Context, c *call, g directory.Group) (*versioned[group], error) {
	views, err := a.groupViews(ctx, c, []directory.Group{g}, 0)
	if err != nil {
		return nil, err
	}
	return withVersion(g.Version, views[0]), nil
}

func (a *API) listGroups(ctx context.Context, c *call, in *listGroupsInput) (*pageOutput[group], error) {
	at, err := placeOf(in.Cursor)
	if err != nil {
		return nil, err
	}
	filter := directory.All{}
	if in.Source != "" {
		filter = append(filter, directory.Compare{Attr: directory.AttrSource, Value: string(in.Source)})
	}
	if in.Search != "" {
		filter = append(filter, directory.Any{
			directory.Compare{Attr: directory.AttrDisplayName, Op: directory.Contains, Value: in.Search},
			directory.Compare{Attr: directory.AttrExternalID, Value: in.Search},
		})
	}
	found, err := a.cfg.People.Find(ctx, c.tenant(), directory.Query{Groups: &directory.Part{Filter: filter, By: directory.Key{Attr: directory.AttrDisplayName}},
		Sorted: true, At: at, Count: in.Limit})
	if err != nil {
		return nil, err
	}
	groups := make([]directory.Group, len(found.Items))
	for i, item := range found.Items {
		groups[i] = *item.Group
	}
	views, err := a.groupViews(ctx, c, groups, maxCounted)
	if err != nil {
		return nil, err
	}
	next := ""
	if found.More {
		next = cursorOf(found.Items[len(found.Items)-1].At)
	}
	return pageOf(views, next, func(g group) group { return g }), nil
}

// cursorOf and placeOf tell where a sorted list goes on.
func cursorOf(at directory.Position) string {
	return base64.RawURLEncoding.EncodeToString([]byte(at.ID + " " + at.Key))
}

func placeOf(cursor string) (directory.Position, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	id, key, found := strings.Cut(string(text), " ")
	if cursor != "" && (err != nil || !found) {
		return directory.Position{}, fault.New(fault.Invalid, "invalid-cursor", "That is no cursor of this list. Begin at its first page.")
	}
	return directory.Position{ID: id, Key: strings.ToValidUTF8(strings.ReplaceAll(key, "\x00", ""), "")}, nil
}

func (a *API) getGroup(ctx context.Context, c *call, in *ByID[identity.GroupID]) (*versioned[group], error) {
	found, err := a.cfg.People.Group(ctx, c.tenant(), in.ID, false)
	if err != nil {
		return nil, err
	}
	return a.groupView(ctx, c, found)
}

func (a *API) createGroup(ctx context.Context, c *call, in *createGroupInput) (*versioned[group], error) {
	made, err := a.cfg.People.CreateGroup(ctx, c.cause, c.tenant(), directory.Group{DisplayName: in.Body.Name, ExternalID: in.Body.ExternalID, Source: directory.SourceAdmin})
	if err != nil {
		return nil, err
	}
	return a.groupView(ctx, c, made)
}

func (a *API) changeGroup(ctx context.Context, c *call, in *changeGroupInput) (*versioned[group], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	changed, err := a.cfg.People.UpdateGroup(ctx, c.cause, c.tenant(), in.ID, version, func(g *directory.Group, _ *directory.MemberChange) error {
		if err := keptHere("The group "+g.DisplayName, g.Source); err != nil {
			return err
		}
		g.DisplayName, g.ExternalID = *cmp.Or(in.Body.Name, &g.DisplayName), *cmp.Or(in.Body.ExternalID, &g.ExternalID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.groupView(ctx, c, changed)
}

func (a *API) deleteGroup(ctx context.Context, c *call, in *struct {
	ByID[identity.GroupID]
	Condition
}) (*struct{}, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if err := a.mayEnter(ctx, c, in.ID); err != nil {
		return nil, err
	}
	return nil, a.cfg.People.DeleteGroup(ctx, c.cause, c.tenant(), in.ID, version)
}
