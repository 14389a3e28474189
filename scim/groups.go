package scim

import (
	"context"
	"net/http"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/scim/resource"
)

// groupResource is a group as a client may write it, without its members: what PATCH
// works on.
func groupResource(g *directory.Group) resource.Object {
	res := resource.Object{"id": string(g.ID), "displayName": g.DisplayName}
	if g.ExternalID != "" {
		res["externalId"] = g.ExternalID
	}
	return res
}

// memberAnswer is a member as a client gets it. There may be very many, so that they
// are no maps.
type memberAnswer struct {
	Value   string `json:"value,omitempty"`
	Type    string `json:"type,omitempty"`
	Display string `json:"display,omitempty"`
	Ref     string `json:"$ref,omitempty"`
}

// memberAnswers are the members of a group with what the client wants of them.
func (c *call) memberAnswers(stored []directory.Member) []memberAnswer {
	wants := func(sub string) bool { return c.projection.WantsOf(resource.Group, "members", sub) }
	value, kind, display, ref := wants("value"), wants("type"), wants("display"), wants("$ref")
	if !value && !kind && !display && !ref {
		return nil
	}
	members := make([]memberAnswer, len(stored))
	for i, m := range stored {
		k, id := memberOf(m)
		if value {
			members[i].Value = id
		}
		if kind {
			members[i].Type = k.Name
		}
		if display {
			members[i].Display = m.Display
		}
		if ref {
			members[i].Ref = c.location(k, id)
		}
	}
	return members
}

func memberOf(m directory.Member) (kind *resource.Kind, id string) {
	if m.Group != "" {
		return resource.Group, string(m.Group)
	}
	return resource.User, string(m.User)
}

// memberResources are the members of a group as PATCH works on them.
func (c *call) memberResources(stored []directory.Member) []any {
	members := make([]any, 0, len(stored))
	for _, m := range stored {
		kind, id := memberOf(m)
		members = append(members, map[string]any{"value": id, "type": kind.Name, "display": m.Display, "$ref": c.location(kind, id)})
	}
	return members
}

// groupAnswer is a group as a client gets it.
func (c *call) groupAnswer(g *directory.Group) resource.Object {
	res := groupResource(g)
	if members := c.memberAnswers(g.Members); len(members) > 0 {
		res["members"] = members
	}
	c.addCommon(res, c.kinds.Group, string(g.ID), g.Version, g.CreatedAt, g.UpdatedAt)
	return res
}

// storeGroup puts a cleaned resource into the directory's form.
func storeGroup(res resource.Object, g *directory.Group) {
	g.DisplayName, g.ExternalID, g.Source = text(res["displayName"]), text(res["externalId"]), directory.SourceSCIM
}

var memberKinds = map[string]directory.MemberKind{"": directory.AnyMember, "User": directory.PersonMember, "Group": directory.GroupMember}

// changeMembers hands on what a client does to the members of a group.
func changeMembers(steps []resource.MemberStep, members *directory.MemberChange) {
	for _, s := range steps {
		if s.Op == resource.RemoveAllMembers {
			members.RemoveAll(memberKinds[s.Type])
		}
		for _, m := range s.Members {
			if s.Op == resource.AddMembers {
				members.Add(memberKinds[m.Type], m.ID)
			} else {
				members.Remove(memberKinds[m.Type], m.ID)
			}
		}
	}
}

func (c *call) createGroup(ctx context.Context) (*reply, error) {
	body, err := c.readResource()
	if err != nil {
		return nil, err
	}
	res, err := c.kinds.Group.Clean(body)
	if err != nil {
		return nil, err
	}
	c.note.resource(res)
	var g directory.Group
	storeGroup(res, &g)
	var members directory.MemberChange
	changeMembers(resource.ReplaceMembers(res["members"]), &members)
	if g, err = c.service.directory.CreateGroupWith(ctx, c.cause, c.tenant, g, members); err != nil {
		return nil, err
	}
	return c.groupReply(http.StatusCreated, &g), nil
}

func (c *call) getGroup(ctx context.Context) (*reply, error) {
	g, err := c.service.directory.Group(ctx, c.tenant, identity.GroupID(c.id), c.projection.Includes(resource.Group, "members"))
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
	g, err := c.updateGroup(ctx, func(resource.Object, *directory.MemberChange) (resource.Object, []resource.MemberStep, error) {
		res, err := c.kinds.Group.Clean(body)
		c.note.resource(res)
		return res, resource.ReplaceMembers(res["members"]), err
	})
	if err != nil {
		return nil, err
	}
	return c.changedGroup(ctx, &g)
}

// patchGroup answers without the group (RFC 7644 §3.5.2) unless the client
// asks for attributes: adding one member to a large group must not send it all.
func (c *call) patchGroup(ctx context.Context) (*reply, error) {
	operations, err := c.readPatch()
	if err != nil {
		return nil, err
	}
	g, err := c.updateGroup(ctx, func(res resource.Object, members *directory.MemberChange) (resource.Object, []resource.MemberStep, error) {
		steps, err := operations.ApplyToGroup(res, func() ([]any, error) {
			stored, err := members.Stored()
			return c.memberResources(stored), err
		})
		if err != nil {
			return nil, nil, err
		}
		res, err = c.kinds.Group.Clean(res)
		return res, steps, err
	})
	if err != nil {
		return nil, err
	}
	if !c.projection.Asked() {
		return &reply{status: http.StatusNoContent, etag: etag(g.Version)}, nil
	}
	return c.changedGroup(ctx, &g)
}

// changedGroup answers with a group that was changed, and reads its members only for a
// client that wants them.
func (c *call) changedGroup(ctx context.Context, g *directory.Group) (*reply, error) {
	if !c.projection.Includes(resource.Group, "members") {
		return c.groupReply(http.StatusOK, g), nil
	}
	now, err := c.service.directory.Group(ctx, c.tenant, g.ID, true)
	if err != nil {
		return nil, err
	}
	return c.groupReply(http.StatusOK, &now), nil
}

func (c *call) updateGroup(ctx context.Context, edit func(resource.Object, *directory.MemberChange) (resource.Object, []resource.MemberStep, error)) (directory.Group, error) {
	ifVersion, err := c.dependsOn(ctx)
	if err != nil {
		return directory.Group{}, err
	}
	return c.service.directory.UpdateGroup(ctx, c.cause, c.tenant, identity.GroupID(c.id), ifVersion, func(g *directory.Group, members *directory.MemberChange) error {
		res, steps, err := edit(groupResource(g), members)
		if err != nil {
			return err
		}
		storeGroup(res, g)
		changeMembers(steps, members)
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
	return c.resourceReply(status, c.kinds.Group, c.groupAnswer(g), string(g.ID), g.Version)
}
