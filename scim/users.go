package scim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"

	scimerrors "github.com/elimity-com/scim/errors"

	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/scim/resource"
)

// columns are the attributes that the directory keeps as fields of its own;
// everything else a client writes is kept as the JSON that it is.
var columns = []string{"id", "meta", "externalId", "userName", "displayName", "active", "groups"}

// userResource is a person as a client may write them: what PATCH works on.
func (c *call) userResource(u *directory.User) (resource.Object, error) {
	res, err := keptUser(u)
	if err == nil {
		c.kinds.User.Fit(res)
	}
	return res, err
}

// keptUser is a person with all that is kept of them, whatever their tenant knows of it.
func keptUser(u *directory.User) (resource.Object, error) {
	document, err := u.Document()
	if err != nil {
		return nil, fmt.Errorf("scim: attributes of %s: %w", u.ID, err)
	}
	res := resource.Object(document)
	res["id"], res["userName"], res["active"] = string(u.ID), u.UserName, u.Active
	if u.ExternalID != "" {
		res["externalId"] = u.ExternalID
	}
	// A display name that we made up stays ours to make up again.
	if u.DisplayName != "" && u.DisplayName != derivedName(res) {
		res["displayName"] = u.DisplayName
	}
	return res, nil
}

// userAnswer is a person as a client gets them.
func (c *call) userAnswer(u *directory.User) (resource.Object, error) {
	res, err := c.userResource(u)
	if err != nil {
		return nil, err
	}
	if u.DisplayName != "" {
		res["displayName"] = u.DisplayName
	}
	if len(u.Groups) > 0 {
		groups := make([]any, 0, len(u.Groups))
		for _, g := range u.Groups {
			kind := "direct" // RFC 7643 §4.1.2
			if g.Indirect {
				kind = "indirect"
			}
			groups = append(groups, map[string]any{"value": string(g.ID), "display": g.Name, "type": kind,
				"$ref": c.location(resource.Group, string(g.ID))})
		}
		res["groups"] = groups
	}
	c.addCommon(res, c.kinds.User, string(u.ID), u.Version, u.CreatedAt, u.UpdatedAt)
	return res, nil
}

// storeUser puts a cleaned resource into the directory's form.
func storeUser(res resource.Object, u *directory.User) error {
	active, ok := res["active"].(bool)
	if !ok {
		// RFC 7644 §3.5.2.2 of what is required: POST and PUT may leave it out.
		return resource.Bad(scimerrors.ScimTypeMutability, "active cannot be removed: set it to false to take a person's access away.")
	}
	u.Active, u.Source = active, directory.SourceSCIM
	u.UserName = text(res["userName"])
	u.ExternalID = text(res["externalId"])
	if u.DisplayName = text(res["displayName"]); u.DisplayName == "" {
		u.DisplayName = derivedName(res)
	}
	u.Email, u.OtherEmails = addresses(res)
	kept := make(map[string]any, len(res))
	for name, v := range res {
		kept[name] = v
	}
	for _, name := range columns {
		delete(kept, name)
	}
	var err error
	u.Attributes, err = json.Marshal(kept)
	return err
}

func text(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}

// derivedName is what a person is called who was given no display name.
func derivedName(res resource.Object) string {
	name, _ := res["name"].(map[string]any)
	if formatted := text(name["formatted"]); formatted != "" {
		return formatted
	}
	if full := strings.TrimSpace(text(name["givenName"]) + " " + text(name["familyName"])); full != "" {
		return full
	}
	return text(res["userName"])
}

// addresses gives the address that the app is told, and the others: the
// primary one, else the one for work, else the first, else the user name where
// it is one. Nothing but a usable address counts; the rest stays as it was sent.
func addresses(res resource.Object) (email string, others []string) {
	rank := 0 // of email: 1 the first, 2 for work, 3 primary
	emails, _ := res["emails"].([]any)
	for _, v := range emails {
		element, _ := v.(map[string]any)
		value, err := directory.CanonicalEmail(text(element["value"]))
		if err != nil {
			continue
		}
		r := 1
		if element["primary"] == true {
			r = 3
		} else if strings.EqualFold(text(element["type"]), "work") {
			r = 2
		}
		if others = append(others, value); r > rank {
			email, rank = value, r
		}
	}
	if email == "" {
		if value, err := directory.CanonicalEmail(text(res["userName"])); err == nil {
			email = value
		}
	}
	return email, others
}

// addressIsName reports whether a person's address is their user name, for want
// of one that was sent.
func addressIsName(u *directory.User) bool {
	var sent struct {
		Emails json.RawMessage `json:"emails"`
	}
	if json.Unmarshal(u.Attributes, &sent) != nil || sent.Emails != nil {
		return false
	}
	email, err := directory.CanonicalEmail(u.UserName)
	return err == nil && email == u.Email
}

func (c *call) createUser(ctx context.Context) (*reply, error) {
	u, err := c.readUser()
	if err != nil {
		return nil, err
	}
	if u, err = c.service.directory.CreateUser(ctx, c.cause, c.tenant, u); err != nil {
		return nil, err
	}
	return c.userReply(http.StatusCreated, &u)
}

// readUser reads the person that the body of a POST is to make.
func (c *call) readUser() (u directory.User, err error) {
	body, err := c.readResource()
	if err != nil {
		return u, err
	}
	if v, _ := resource.Member(body, "active"); v == nil {
		body["active"] = true
	}
	res, err := c.kinds.User.Clean(body)
	if err != nil {
		return u, err
	}
	c.note.resource(res)
	return u, storeUser(res, &u)
}

func (c *call) getUser(ctx context.Context) (*reply, error) {
	read := c.service.directory.User
	if !c.projection.Includes(resource.User, "groups") {
		read = c.service.directory.UserAlone
	}
	u, err := read(ctx, c.tenant, identity.UserID(c.id))
	if err != nil {
		return nil, err
	}
	return c.userReply(http.StatusOK, &u)
}

// replaceUser is PUT: what is not named is gone (RFC 7644 §3.5.1), save
// "active": leaving it out must not let somebody in again.
func (c *call) replaceUser(ctx context.Context) (*reply, error) {
	body, err := c.readResource()
	if err != nil {
		return nil, err
	}
	return c.updateUser(ctx, func(old resource.Object) (resource.Object, error) {
		whole := maps.Clone(body) // it may be asked for once more, by another state
		if v, _ := resource.Member(whole, "active"); v == nil {
			whole["active"] = old["active"]
		}
		res, err := c.kinds.User.Clean(whole)
		c.note.resource(res)
		return res, err
	})
}

func (c *call) patchUser(ctx context.Context) (*reply, error) {
	operations, err := c.readPatch()
	if err != nil {
		return nil, err
	}
	return c.updateUser(ctx, func(res resource.Object) (resource.Object, error) {
		if err := operations.Apply(c.kinds.User, res); err != nil {
			return nil, err
		}
		return c.kinds.User.CleanPatched(res)
	})
}

func (c *call) updateUser(ctx context.Context, edit func(resource.Object) (resource.Object, error)) (*reply, error) {
	ifVersion, err := c.dependsOn(ctx)
	if err != nil {
		return nil, err
	}
	u, err := c.service.directory.UpdateUser(ctx, c.cause, c.tenant, identity.UserID(c.id), ifVersion, func(u *directory.User) error {
		res, err := c.userResource(u)
		if err != nil {
			return err
		}
		before, shown, made := maps.Clone(res), res["emails"], addressIsName(u)
		if res, err = edit(res); err != nil {
			return err
		}
		if err := c.kinds.User.KeepImmutable(before, res, c.method == http.MethodPut); err != nil {
			return err
		}
		if made && c.method == http.MethodPatch && reflect.DeepEqual(res["emails"], shown) {
			delete(res, "emails") // it stays ours to make, of the name that there is now
		}
		return storeUser(res, u)
	})
	if err != nil {
		return nil, err
	}
	return c.userReply(http.StatusOK, &u)
}

func (c *call) deleteUser(ctx context.Context) (*reply, error) {
	version, err := c.dependsOn(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.service.directory.DeleteUser(ctx, c.cause, c.tenant, identity.UserID(c.id), version); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, nil
}

func (c *call) userReply(status int, u *directory.User) (*reply, error) {
	res, err := c.userAnswer(u)
	if err != nil {
		return nil, err
	}
	return c.resourceReply(status, c.kinds.User, res, string(u.ID), u.Version), nil
}
