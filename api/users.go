package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// user is a person in the tenant.
type user struct {
	ID         identity.UserID  `json:"id"`
	UserName   string           `json:"user_name"`
	Email      string           `json:"email,omitempty"`
	Name       string           `json:"name,omitempty"`
	Active     bool             `json:"active"`
	Source     directory.Source `json:"source" doc:"Who made the record, and says what stands in it: scim, signin or admin. Only one of admin is changed here"`
	ExternalID string           `json:"external_id,omitempty"`
	Groups     []groupRef       `json:"groups"`
	Roles      []heldRole       `json:"roles,omitzero" doc:"Only when one person is read, by whoever may read assignments"`
	Attributes map[string]any   `json:"attributes,omitempty" doc:"What SCIM knows beside that (name, emails, phoneNumbers, the enterprise extension…), as SCIM answers with it; only when one person is read"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`
}

type listUsersInput struct {
	Paging
	Search     string           `query:"search" maxLength:"200" doc:"Part of the user name, email or name, or the whole external id"`
	Active     string           `query:"active" enum:"true,false" doc:"Only active or only inactive people"`
	Source     directory.Source `query:"source" enum:"scim,signin,admin" doc:"Only those whom this made"`
	Group      string           `query:"group" maxLength:"256" doc:"Only those in the group of this name or id, also through groups that are in it"`
	Connection string           `query:"connection" maxLength:"64" doc:"Only those who sign in at the connection of this name or id"`
}

type createUserInput struct {
	Body struct {
		UserName   string `json:"user_name" minLength:"1" maxLength:"256"`
		Email      string `json:"email,omitempty" maxLength:"320"`
		Name       string `json:"name,omitempty" maxLength:"256"`
		ExternalID string `json:"external_id,omitempty" maxLength:"256"`
		Inactive   bool   `json:"inactive,omitempty" doc:"true: they cannot sign in until they are activated"`
	}
}

type changeUserInput struct {
	ByID[identity.UserID]
	Condition
	Body struct {
		Active     *bool   `json:"active,omitempty" doc:"false signs the person out everywhere and lets nobody in by that account"`
		Name       *string `json:"name,omitempty" maxLength:"256"`
		UserName   *string `json:"user_name,omitempty" minLength:"1" maxLength:"256"`
		Email      *string `json:"email,omitempty" maxLength:"320"`
		ExternalID *string `json:"external_id,omitempty" maxLength:"256"`
	}
}

func (a *API) registerUsers() {
	register(a, operation{id: "list-users", method: http.MethodGet, path: "/users", tag: "Users", needs: reads("users"),
		summary: "List and search people"}, a.listUsers)
	register(a, operation{id: "create-user", method: http.MethodPost, path: "/users", tag: "Users", needs: writes("users"),
		status: http.StatusCreated, summary: "Make a person, who has no role and nothing to sign in with yet"}, a.createUser)
	register(a, operation{id: "get-user", method: http.MethodGet, path: "/users/{id}", tag: "Users", needs: reads("users"),
		summary: "Show a person"}, a.getUser)
	register(a, operation{id: "change-user", method: http.MethodPatch, path: "/users/{id}", tag: "Users", needs: writes("users"),
		summary: "Activate or deactivate a person, or change one that admins keep. Deactivating ends all sessions before the answer. It takes holding all roles that they have; what people are known by (user name, email, external id), the right to make owners"}, a.changeUser)
	register(a, operation{id: "delete-user", method: http.MethodDelete, path: "/users/{id}", tag: "Users", needs: deletes("users"),
		summary: "Delete a person; ends all sessions before the answer"}, a.deleteUser)
}

func userOf(u directory.User) user {
	view := user{ID: u.ID, UserName: u.UserName, Email: u.Email, Name: u.DisplayName, Active: u.Active, Source: u.Source,
		ExternalID: u.ExternalID, Groups: make([]groupRef, len(u.Groups)), CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC()}
	for i, group := range u.Groups {
		view.Groups[i] = groupRef{ID: group.ID, Name: group.Name, Indirect: group.Indirect}
	}
	return view
}

// userView is the answer that is one person.
func (a *API) userView(ctx context.Context, c *call, u directory.User) (*versioned[user], error) {
	view := userOf(u)
	n, err := a.nest(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	view.Groups = n.refs(u.Groups)
	roles, err := a.given(ctx, c)
	if err != nil {
		return nil, err
	}
	view.Roles = roles.held(toPerson(u.ID), view.Groups)
	if view.Attributes, err = u.Document(); err != nil {
		return nil, err
	}
	return withVersion(u.Version, view), nil
}

// filter is whom a list of people is about.
func (a *API) filter(ctx context.Context, c *call, in *listUsersInput) (directory.All, error) {
	filter := directory.All{}
	if in.Active != "" {
		filter = append(filter, directory.Compare{Attr: directory.AttrActive, Value: in.Active == "true"})
	}
	if in.Source != "" {
		filter = append(filter, directory.Compare{Attr: directory.AttrSource, Value: string(in.Source)})
	}
	if in.Group != "" {
		id, err := a.groupID(ctx, c.tenant(), in.Group)
		if err != nil {
			return nil, err
		}
		filter = append(filter, directory.Compare{Attr: directory.AttrGroup, Value: string(id)})
	}
	if in.Connection != "" {
		id, err := a.connectionID(ctx, c.tenant(), in.Connection)
		if err != nil {
			return nil, err
		}
		filter = append(filter, directory.Compare{Attr: directory.AttrConnection, Value: string(id)})
	}
	if in.Search != "" {
		filter = append(filter, directory.Any{
			directory.Compare{Attr: directory.AttrUserName, Op: directory.Contains, Value: in.Search},
			directory.Compare{Attr: directory.AttrDisplayName, Op: directory.Contains, Value: in.Search},
			directory.Compare{Attr: directory.AttrEmail, Op: directory.Contains, Value: in.Search},
			directory.Compare{Attr: directory.AttrExternalID, Value: in.Search},
		})
	}
	return filter, nil
}

func (a *API) listUsers(ctx context.Context, c *call, in *listUsersInput) (*pageOutput[user], error) {
	filter, err := a.filter(ctx, c, in)
	if err != nil {
		return nil, err
	}
	found, err := a.cfg.People.Find(ctx, c.tenant(), directory.Query{Users: &directory.Part{Filter: filter}, At: directory.Position{ID: in.Cursor}, Count: in.Limit})
	if err != nil {
		return nil, err
	}
	next := ""
	if found.More {
		next = found.Items[len(found.Items)-1].At.ID
	}
	return pageOf(found.Items, next, func(item directory.Item) user { return userOf(*item.User) }), nil
}

func (a *API) getUser(ctx context.Context, c *call, in *ByID[identity.UserID]) (*versioned[user], error) {
	found, err := a.cfg.People.User(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	return a.userView(ctx, c, found)
}

func (a *API) createUser(ctx context.Context, c *call, in *createUserInput) (*versioned[user], error) {
	wanted := directory.User{UserName: in.Body.UserName, Email: in.Body.Email, DisplayName: in.Body.Name, ExternalID: in.Body.ExternalID,
		Active: !in.Body.Inactive, Source: directory.SourceAdmin}
	if err := a.mayBeKnownBy(ctx, c, "", wanted.UserName, wanted.Email); err != nil {
		return nil, err
	}
	made, err := a.cfg.People.CreateUser(ctx, c.cause, c.tenant(), wanted)
	if err != nil {
		return nil, err
	}
	return a.userView(ctx, c, made)
}

// mayBeKnownBy refuses to let an admin make a person known by what somebody else is known
// by already: the app may take one for the other.
func (a *API) mayBeKnownBy(ctx context.Context, c *call, id identity.UserID, names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		if email, err := directory.CanonicalEmail(name); err == nil {
			name = email
		}
		found, err := a.cfg.People.Users(ctx, c.tenant(), directory.UserQuery{Count: 1, Filter: directory.All{
			directory.Compare{Attr: directory.AttrID, Op: directory.NotEqual, Value: string(id)},
			directory.Any{directory.Compare{Attr: directory.AttrUserName, Value: name}, directory.Compare{Attr: directory.AttrEmail, Value: name},
				directory.Compare{Attr: directory.AttrEmail, Value: identity.NameKey(name)}}}}) // by which the name is compared
		if err != nil {
			return err
		}
		if len(found.Items) > 0 {
			return fault.New(fault.Conflict, "uniqueness", "%s is the user name or an address of another person.", name)
		}
	}
	return nil
}

func (a *API) changeUser(ctx context.Context, c *call, in *changeUserInput) (*versioned[user], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	before, err := a.cfg.People.User(ctx, c.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.mayMove(ctx, c, heldBy(in.ID, before.Groups)); err != nil {
		return nil, err
	}
	if err := a.mayRename(ctx, c, before, in); err != nil {
		return nil, err
	}
	changed, err := a.cfg.People.UpdateUser(ctx, c.cause, c.tenant(), in.ID, version, func(u *directory.User) error {
		if in.says() {
			if err := keptHere("This person", u.Source); err != nil {
				return err
			}
		}
		in.apply(u)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.userView(ctx, c, changed)
}

// says reports whether a change is of what a person's record says, and not only of
// whether they are let in.
func (in *changeUserInput) says() bool {
	b := &in.Body
	return b.Name != nil || b.UserName != nil || b.Email != nil || b.ExternalID != nil
}

func (in *changeUserInput) apply(u *directory.User) {
	b := &in.Body
	u.Active = *cmp.Or(b.Active, &u.Active)
	u.DisplayName, u.ExternalID = *cmp.Or(b.Name, &u.DisplayName), *cmp.Or(b.ExternalID, &u.ExternalID)
	u.UserName, u.Email = *cmp.Or(b.UserName, &u.UserName), *cmp.Or(b.Email, &u.Email)
}

// mayRename asks for the right to make owners where somebody is to be known by something
// else: connections link people by it, and the app may give more by it than roles say.
func (a *API) mayRename(ctx context.Context, c *call, before directory.User, in *changeUserInput) error {
	after := before
	in.apply(&after)
	if before.UserName == after.UserName && before.Email == after.Email && before.ExternalID == after.ExternalID {
		return nil
	}
	if err := keptHere("This person", before.Source); err != nil {
		return err
	}
	if err := a.mayMakeOwners(ctx, c, "Who changes what a person is known by decides who becomes them."); err != nil {
		return err
	}
	return a.mayBeKnownBy(ctx, c, before.ID, after.UserName, after.Email)
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
