package api

import (
	"context"
	"net/http"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// maxMembers is how many members one call adds and removes.
const maxMembers = 200

// member is a person or a group that is in a group itself.
type member struct {
	Kind     string           `json:"kind" enum:"user,group"`
	ID       string           `json:"id"`
	Name     string           `json:"name,omitempty"`
	UserName string           `json:"user_name,omitempty" doc:"Of a person"`
	Email    string           `json:"email,omitempty" doc:"Of a person"`
	Inactive bool             `json:"inactive,omitempty" doc:"A person who is deactivated"`
	Source   directory.Source `json:"source"`
}

type listMembersInput struct {
	ByID[identity.GroupID]
	Paging
	Kind   string `query:"kind" enum:"user,group" default:"user" doc:"The people in it, or the groups"`
	Search string `query:"search" maxLength:"200" doc:"Part of the name, user name or email"`
}

// memberRef names a person or a group.
type memberRef struct {
	User  string `json:"user,omitempty" maxLength:"320" doc:"User name or id of a person"`
	Group string `json:"group,omitempty" maxLength:"256" doc:"Name or id of a group"`
}

type changeMembersInput struct {
	ByID[identity.GroupID]
	Condition
	Body struct {
		Add    []memberRef `json:"add,omitempty" maxItems:"200" doc:"Who is in it already stays"`
		Remove []memberRef `json:"remove,omitempty" maxItems:"200" doc:"Who is not in it is passed over"`
	}
}

func (a *API) registerMembers() {
	register(a, operation{id: "list-group-members", method: http.MethodGet, path: "/groups/{id}/members", tag: "Groups", needs: reads("groups"),
		summary: "List and search the people, or the groups, that are in a group themselves"}, a.listMembers)
	register(a, operation{id: "change-group-members", method: http.MethodPatch, path: "/groups/{id}/members", tag: "Groups", needs: writes("groups"),
		summary: "Put people and groups into a group that admins keep, and take them out: up to 200 in all, or none of them. It takes holding all roles that its people have by it"}, a.changeMembers)
}

func (a *API) listMembers(ctx context.Context, c *call, in *listMembersInput) (*pageOutput[member], error) {
	query := directory.MemberQuery{Group: in.ID, Kind: directory.PersonMember, Search: in.Search, After: in.Cursor, Count: in.Limit}
	if in.Kind == "group" {
		query.Kind = directory.GroupMember
	}
	found, err := a.cfg.People.Members(ctx, c.tenant(), query)
	if err != nil {
		return nil, err
	}
	members := make([]member, 0, len(found.People)+len(found.Groups))
	for _, u := range found.People {
		members = append(members, member{Kind: "user", ID: string(u.ID), Name: u.DisplayName, UserName: u.UserName, Email: u.Email, Inactive: !u.Active, Source: u.Source})
	}
	for _, g := range found.Groups {
		members = append(members, member{Kind: "group", ID: string(g.ID), Name: g.DisplayName, Source: g.Source})
	}
	next := ""
	if found.More {
		next = members[len(members)-1].ID
	}
	return pageOf(members, next, func(m member) member { return m }), nil
}

func (a *API) changeMembers(ctx context.Context, c *call, in *changeMembersInput) (*versioned[group], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if n := len(in.Body.Add) + len(in.Body.Remove); n == 0 || n > maxMembers {
		return nil, fault.New(fault.Invalid, "members-count", "Name 1 to 200 members to add and remove.")
	}
	if err := a.mayEnter(ctx, c, in.ID); err != nil {
		return nil, err
	}
	add, err := a.memberIDs(ctx, c, in.Body.Add)
	if err != nil {
		return nil, err
	}
	remove, err := a.memberIDs(ctx, c, in.Body.Remove)
	if err != nil {
		return nil, err
	}
	changed, err := a.cfg.People.UpdateGroup(ctx, c.cause, c.tenant(), in.ID, version, func(g *directory.Group, members *directory.MemberChange) error {
		members.Remove(directory.PersonMember, remove.people...)
		members.Remove(directory.GroupMember, remove.groups...)
		members.Add(directory.PersonMember, add.people...)
		members.Add(directory.GroupMember, add.groups...)
		return keptHere("The group "+g.DisplayName, g.Source)
	})
	if err != nil {
		return nil, err
	}
	return a.groupView(ctx, c, changed)
}

type memberIDs struct{ people, groups []string }

func (a *API) memberIDs(ctx context.Context, c *call, refs []memberRef) (ids memberIDs, err error) {
	for _, ref := range refs {
		if (ref.User == "") == (ref.Group == "") {
			return ids, fault.New(fault.Invalid, "choose-one", "Give exactly one of user and group.")
		}
		if ref.Group != "" {
			id, err := a.groupID(ctx, c.tenant(), ref.Group)
			if err != nil {
				return ids, err
			}
			ids.groups = append(ids.groups, string(id))
			continue
		}
		id, err := a.userID(ctx, c.tenant(), ref.User)
		if err != nil {
			return ids, err
		}
		ids.people = append(ids.people, string(id))
	}
	return ids, nil
}
