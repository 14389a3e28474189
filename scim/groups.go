package scim

import (
	"context"
	"net/http"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/scim/resource"
)

// groupResource is a group as a client may write it: what PATCH works on.
func groupResource(g *directory.Group) resource.Object {
	res := resource.Object{"id": string(g.ID), "displayName": g.DisplayName}
	if g.ExternalID != "" {
		res["externalId"] = g.ExternalID
	}
	if len(g.Members) > 0 {
		members := make([]any, 0, len(g.Members))
		for _, m := range g.Members {
			members = append(members, map[string]any{"value": string(m.User), "type": "User", "display": m.Display})
		}
		res["members"] = members
	}
	return res
}

// groupAnswer is a group as a client gets it.
func (c *call) groupAnswer(g *directory.Group) resource.Object {
	res := groupResource(g)
	members, _ := res["members"].([]any)
	for _, v := range members {
		if m, ok := v.(map[string]any); ok {
			m["$ref"] = c.location(resource.User, text(m["value"]))
		}
	}
	c.addCommon(res, resource.Group, string(g.ID), g.Version, g.CreatedAt, g.UpdatedAt)
	return res
}

// storeGroup puts a cleaned resource into the directory's form.
func storeGroup(res resource.Object, g *directory.Group) {
	g.DisplayName, g.ExternalID, g.Source = text(res["displayName"]), text(res["externalId"]), directory.SourceSCIM
	members, _ := res["members"].([]any)
	g.Members = make([]directory.Member, 0, len(members))
	for _, v := range members {
		if m, ok := v.(map[string]any); ok {
			g.Members = append(g.Members, directory.Member{User: identity.UserID(text(m["value"]))})
		}
	}
}

func (c *call) createGroup(ctx context.Context) (*reply, error) {
	body, err := c.readResource()
	if err != nil {
		return nil, err
	}
	res, err := resource.Group.Clean(body)
	if err != nil {
		return nil, err
	}
	var g directory.Group
	storeGroup(res, &g)
	if g, err = c.service.directory.CreateGroup(ctx, c.cause, c.tenant, g); err != nil {
		return nil, err
	}
	return c.groupReply(http.StatusCreated, &g), nil
}

func (c *call) getGroup(ctx context.Context) (*reply, error) {
	g, err := c.service.directory.Group(ctx, c.tenant, identity.GroupID(c.id), c.projection.Wants("members"))
	if err != nil {
		return nil, err
	}
	return c.groupReply(http.StatusOK, &g), nil
}

func (c *call) replaceGroup(ctx context.Context) (*reply, error) {
	body, err := c.readResource()
	if err != nil {
		return nil, err
	}
	g, err := c.updateGroup(ctx, func(resource.Object) (resource.Object, error) { return resource.Group.Clean(body) })
	if err != nil {
		return nil, err
	}
	return c.groupReply(http.StatusOK, &g), nil
}

// patchGroup answers without the group (RFC 7644 §3.5.2) unless the client
// asks for attributes: adding one member to a large group must not send it all.
func (c *call) patchGroup(ctx context.Context) (*reply, error) {
	operations, err := c.readPatch()
	if err != nil {
		return nil, err
	}
	g, err := c.updateGroup(ctx, func(res resource.Object) (resource.Object, error) {
		if err := operations.Apply(resource.Group, res); err != nil {
			return nil, err
		}
		return resource.Group.Clean(res)
	})
	if err != nil {
		return nil, err
	}
	if !c.projection.Asked() {
		return &reply{status: http.StatusNoContent, etag: etag(g.Version)}, nil
	}
	return c.groupReply(http.StatusOK, &g), nil
}

func (c *call) updateGroup(ctx context.Context, edit func(resource.Object) (resource.Object, error)) (directory.Group, error) {
	ifVersion, err := c.dependsOn(ctx)
	if err != nil {
		return directory.Group{}, err
	}
	return c.service.directory.UpdateGroup(ctx, c.cause, c.tenant, identity.GroupID(c.id), ifVersion, func(g *directory.Group) error {
		res, err := edit(groupResource(g))
		if err != nil {
			return err
		}
		storeGroup(res, g)
		return nil
	})
}

func (c *call) deleteGroup(ctx context.Context) (*reply, error) {
	version, err := c.dependsOn(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.service.directory.DeleteGroup(ctx, c.cause, c.tenant, identity.GroupID(c.id), version); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, nil
}

func (c *call) groupReply(status int, g *directory.Group) *reply {
	return c.resourceReply(status, resource.Group, c.groupAnswer(g), string(g.ID), g.Version)
}
