package feed

import (
	"encoding/json"
	"time"

	"gatehouse/directory"
	"gatehouse/identity"
)

// Notice is a change as others are told of it, by the admin API and by webhooks alike.
type Notice struct {
	Sequence uint64               `json:"sequence" doc:"Where it stands in the order of the tenant's changes: each has a higher number than those before it"`
	Type     directory.ChangeType `json:"type" enum:"user.created,user.updated,user.deactivated,user.reactivated,user.deleted,group.created,group.updated,group.deleted"`
	Time     time.Time            `json:"time" doc:"When it came true"`
	EventID  identity.EventID     `json:"event_id,omitempty" doc:"The record of it in the tenant's log"`
	ID       string               `json:"id" doc:"Of the person or the group"`
	Version  uint64               `json:"version,omitempty" doc:"Of the person or the group right after it; absent once they are deleted"`
	User     *PersonNow           `json:"user,omitempty" doc:"The person as they are when this is told, which may be later; absent if they are deleted by then"`
	Group    *GroupNow            `json:"group,omitempty" doc:"The group as it is when this is told, without its members; absent if it is deleted by then"`
	Members  *Movement            `json:"members,omitempty" doc:"Who came into the group and who left it by this change"`
	Deleted  *Tombstone           `json:"deleted,omitempty" doc:"Who or what is deleted now, which is also out of every group"`
}

// PersonNow is a person as others are told of them.
type PersonNow struct {
	ID          identity.UserID  `json:"id"`
	UserName    string           `json:"user_name"`
	ExternalID  string           `json:"external_id,omitempty" doc:"What the provisioning client calls them"`
	Email       string           `json:"email,omitempty"`
	OtherEmails []string         `json:"other_emails,omitempty"`
	Name        string           `json:"name,omitempty"`
	Active      bool             `json:"active"`
	Source      directory.Source `json:"source" enum:"scim,signin,admin" doc:"Who made the record"`
	Version     uint64           `json:"version"`
	CreatedAt   time.Time        `json:"created_at"`
	UpdatedAt   time.Time        `json:"updated_at"`
	// Attributes is an object.
	Attributes json.RawMessage `json:"attributes,omitempty" doc:"What SCIM says of them beyond the above, as SCIM names it"`
}

// GroupNow is a group as others are told of it.
type GroupNow struct {
	ID         identity.GroupID `json:"id"`
	Name       string           `json:"name"`
	ExternalID string           `json:"external_id,omitempty"`
	Source     directory.Source `json:"source" enum:"scim,signin,admin"`
	Version    uint64           `json:"version"`
	CreatedAt  time.Time        `json:"created_at"`
	UpdatedAt  time.Time        `json:"updated_at"`
}

// Movement is who came and went, people (usr_) and groups (grp_) by their ids.
type Movement struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Many    bool     `json:"many,omitempty" doc:"There are too many to be named: the lists are empty, so read the group anew"`
}

// Tombstone is what is left of who or what was deleted.
type Tombstone struct {
	Name       string `json:"name" doc:"The user name of a person, or the name of a group"`
	ExternalID string `json:"external_id,omitempty"`
}

func personOf(u *directory.User) *PersonNow {
	return &PersonNow{ID: u.ID, UserName: u.UserName, ExternalID: u.ExternalID, Email: u.Email, OtherEmails: u.OtherEmails, Name: u.DisplayName, Active: u.Active,
		Source: u.Source, Version: u.Version, CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(), Attributes: u.Attributes}
}

func groupOf(g *directory.Group) *GroupNow {
	return &GroupNow{ID: g.ID, Name: g.DisplayName, ExternalID: g.ExternalID, Source: g.Source, Version: g.Version, CreatedAt: g.CreatedAt.UTC(), UpdatedAt: g.UpdatedAt.UTC()}
}

// eventOf is a change without the person or group.
func noticeOf(c row) Notice {
	e := Notice{Sequence: c.seq, Type: c.Type, Time: c.at, EventID: c.Event, ID: c.ID, Version: c.version}
	if !c.Members.Empty() {
		e.Members = &Movement{Added: orNone(c.Members.Added), Removed: orNone(c.Members.Removed), Many: c.Members.Many}
	}
	if c.Type.Deletes() {
		e.Deleted = &Tombstone{Name: c.Name, ExternalID: c.ExternalID}
		e.Version = 0
	}
	return e
}

func orNone(ids []string) []string {
	if ids == nil {
		return []string{}
	}
	return ids
}
