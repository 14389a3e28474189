package directory

import (
	"context"
	"maps"
	"slices"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// Feed keeps what others are told of a directory ([Config.Feed]).
type Feed interface {
	// Note is called in the transaction that makes the changes true, behind them. As the
	// writers of a tenant go one after the other on all nodes, the order of the calls is
	// that of the commits.
	Note(ctx context.Context, tx *store.Tx, tenant identity.TenantID, at time.Time, changes []Change) error
	// Last is a number that goes up with every change that was noted.
	Last(ctx context.Context, tx *store.Tx) (uint64, error)
}

// ChangeType is what has happened to a person or a group.
type ChangeType string

// The types. A person whose record stays as it was while they come into groups by a
// sign-in, or leave them, is updated as well.
const (
	UserCreated     ChangeType = "user.created"
	UserUpdated     ChangeType = "user.updated"
	UserDeactivated ChangeType = "user.deactivated"
	UserReactivated ChangeType = "user.reactivated"
	UserDeleted     ChangeType = "user.deleted"
	GroupCreated    ChangeType = "group.created"
	GroupUpdated    ChangeType = "group.updated"
	GroupDeleted    ChangeType = "group.deleted"
)

// ChangeTypes are all of them.
var ChangeTypes = []ChangeType{UserCreated, UserUpdated, UserDeactivated, UserReactivated, UserDeleted, GroupCreated, GroupUpdated, GroupDeleted}

// Deletes reports whether what it is about is gone.
func (t ChangeType) Deletes() bool { return t == UserDeleted || t == GroupDeleted }

// OfGroup reports whether it is about a group.
func (t ChangeType) OfGroup() bool {
	return t == GroupCreated || t == GroupUpdated || t == GroupDeleted
}

// changeTypes are those of the records that tell of people and groups.
var changeTypes = map[audit.Type]ChangeType{
	audit.UserCreated: UserCreated, audit.UserChanged: UserUpdated, audit.UserDeactivated: UserDeactivated, audit.UserActivated: UserReactivated, audit.UserDeleted: UserDeleted,
	audit.GroupCreated: GroupCreated, audit.GroupChanged: GroupUpdated, audit.GroupDeleted: GroupDeleted,
}

// Change is one thing that has happened to a person or a group.
type Change struct {
	Type ChangeType
	ID   string // of the person or the group
	// Name and ExternalID are those that somebody or something had that is deleted now.
	Name, ExternalID string
	Members          Membership
	Event            identity.EventID // the record of it
}

// maxTold is how many members a change names; of more, a reader reads the group anew.
const maxTold = 100

// Membership is who came into a group and who left it, people and groups by their ids.
// Many says that there are too many to be named, or that nobody knows them: the lists
// are empty then.
type Membership struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Many    bool     `json:"many,omitempty"`
}

// Empty reports that nobody came or left.
func (m Membership) Empty() bool { return len(m.Added)+len(m.Removed) == 0 && !m.Many }

// news is what a step's records do not say of it. The zero value is ready.
type news struct {
	members    map[identity.GroupID]Membership
	externalID string // of who or what it deletes
}

func (n *news) member(group identity.GroupID, m Membership) {
	if n.members == nil {
		n.members = map[identity.GroupID]Membership{}
	}
	was := n.members[group]
	m.Added, m.Removed = slices.Concat(was.Added, m.Added), slices.Concat(was.Removed, m.Removed)
	if m.Many = m.Many || was.Many || len(m.Added)+len(m.Removed) > maxTold; m.Many {
		m.Added, m.Removed = nil, nil
	}
	n.members[group] = m
}

// takes notes how one person's groups change by a sign-in.
func (n *news) takes(p *groupPlan, user identity.UserID) {
	for _, m := range slices.Concat(p.create, p.join, p.stay) {
		n.member(m.group.ID, Membership{Added: []string{string(user)}})
	}
	n.leaves(user, p.leave...)
}

func (n *news) leaves(user identity.UserID, groups ...identity.GroupID) {
	for _, group := range groups {
		n.member(group, Membership{Removed: []string{string(user)}})
	}
}

// membership is what a plan makes of a group.
func (p *memberPlan) membership() Membership {
	if p.people.rest || p.groups.rest || p.added()+p.removed() > maxTold {
		return Membership{Many: true}
	}
	return Membership{Added: slices.Concat(p.people.join, p.groups.join), Removed: slices.Concat(p.people.leave, p.groups.leave)}
}

// changes are what others are told of a step that was written: what its records say of
// people and groups, and of the groups whose members alone have changed.
func (do *step) changes() (all []Change) {
	told := map[string]bool{}
	for _, e := range do.events {
		kind, ok := changeTypes[e.Type]
		if !ok || slices.ContainsFunc(do.unmade, func(u audit.Event) bool { return u.ID == e.ID }) {
			continue
		}
		c := Change{Type: kind, ID: e.Target.ID, Event: e.ID, Members: do.news.members[identity.GroupID(e.Target.ID)]}
		if kind.Deletes() {
			c.Name, c.ExternalID = e.Target.Name, do.news.externalID
		}
		told[c.ID] = true
		all = append(all, c)
	}
	var event identity.EventID
	if len(do.events) > 0 {
		event = do.events[0].ID
	}
	for _, group := range slices.Sorted(maps.Keys(do.news.members)) {
		if members := do.news.members[group]; !told[string(group)] && !members.Empty() {
			all = append(all, Change{Type: GroupUpdated, ID: string(group), Event: event, Members: members})
		}
	}
	return all
}

// note has the feed keep what a step has changed.
func (s *Service) note(ctx context.Context, tx *store.Tx, tenant identity.TenantID, do *step) error {
	if s.feed == nil {
		return nil
	}
	changes := do.changes()
	if len(changes) == 0 {
		return nil
	}
	return s.feed.Note(ctx, tx, tenant, now(), changes)
}
