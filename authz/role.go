package authz

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Role is a named set of permissions.
type Role struct {
	Name        string `json:"name"` // unique: [a-z0-9_-], at most 63 characters
	Description string `json:"description,omitempty"`
	// Permissions are "object:action", either of which may be "*". "team/" in
	// front limits one to queries for a team, "account/" to the others.
	Permissions []string  `json:"permissions"`
	BuiltIn     bool      `json:"-"`                 // part of the program; cannot be changed
	Version     uint64    `json:"version,omitempty"` // of the policy that last changed it; 0 for built-in ones
	UpdatedAt   time.Time `json:"updated_at"`
	// assignable says where a built-in role can be given; a tenant's own can be
	// given anywhere.
	assignable string
}

// The built-in roles by name.
const (
	Owner      = "owner"
	Admin      = "admin"
	Member     = "member"
	Viewer     = "viewer"
	TeamAdmin  = "team_admin"
	TeamMember = "team_member"
	TeamViewer = "team_viewer"
)

// builtIn are the roles that every tenant has. The team roles are given in one
// team and reach that team alone; that they also say so themselves means that
// no slip of an assignment makes more of them.
var builtIn = []Role{
	{Name: Owner, Description: "Everything in this organisation", Permissions: []string{"*:*"}, assignable: reachAccount},
	{Name: Admin, Description: "Runs the gateway for this organisation, and everything in its teams", Permissions: []string{"gatehouse.*:*", "team/*:*"}, assignable: reachAccount},
	{Name: Member, Description: "Reads and writes in every team", Permissions: []string{"team/*:read", "team/*:write"}, assignable: reachAccount},
	{Name: Viewer, Description: "Reads in every team", Permissions: []string{"team/*:read"}, assignable: reachAccount},
	{Name: TeamAdmin, Description: "Everything in one team", Permissions: []string{"team/*:*"}, assignable: reachTeam},
	{Name: TeamMember, Description: "Reads and writes in one team", Permissions: []string{"team/*:read", "team/*:write"}, assignable: reachTeam},
	{Name: TeamViewer, Description: "Reads in one team", Permissions: []string{"team/*:read"}, assignable: reachTeam},
}

func builtInRole(name string) (Role, bool) {
	i := slices.IndexFunc(builtIn, func(r Role) bool { return r.Name == name })
	if i < 0 {
		return Role{}, false
	}
	r := builtIn[i]
	r.BuiltIn, r.Permissions = true, slices.Clone(r.Permissions)
	return r, true
}

// teamOnly reports whether a role is for single teams alone.
func (r Role) teamOnly() bool { return r.assignable == reachTeam }

// fits refuses a built-in role in a place that it is not for.
func (r Role) fits(team identity.TeamID) error {
	switch {
	case r.teamOnly() && team == "":
		return fault.New(fault.Invalid, "role-needs-team", "The role "+r.Name+" is given for one team: name the team.")
	case r.assignable == reachAccount && team != "":
		return fault.New(fault.Invalid, "role-is-account-wide", "The role "+r.Name+" is account-wide: give it without a team, or give a team role.")
	}
	return nil
}

const (
	maxPermissions = 200
	maxDescription = 500
)

// check refuses a role that cannot be written.
func (r Role) check() error {
	if _, taken := builtInRole(r.Name); taken {
		return fault.New(fault.Conflict, "role-built-in", "The role "+r.Name+" is built in and cannot be changed.")
	}
	if !isName(r.Name, "_-") {
		return fault.New(fault.Invalid, "role-name-invalid", "A role's name is 1 to 63 characters of a-z, 0-9, - and _, and begins with a letter or digit.")
	}
	if utf8.RuneCountInString(r.Description) > maxDescription || !utf8.ValidString(r.Description) || strings.ContainsRune(r.Description, 0) {
		return fault.New(fault.Invalid, "role-description-invalid", "A role's description has at most 500 characters.")
	}
	if len(r.Permissions) == 0 || len(r.Permissions) > maxPermissions {
		return fault.New(fault.Invalid, "role-permissions-invalid", "A role has 1 to 200 permissions.")
	}
	for _, text := range r.Permissions {
		if _, err := parseGrant(text); err != nil {
			return err
		}
	}
	return nil
}

// Assignment gives a role to a person or to a group, account-wide or for one
// team.
type Assignment struct {
	ID   string          `json:"id"`
	Name string          `json:"name"` // unique: [a-z0-9_-], at most 63 characters; empty at first: the id
	Role string          `json:"role"`
	Team identity.TeamID `json:"team,omitempty"` // empty: account-wide
	// Exactly one of User and Group is set.
	User      identity.UserID  `json:"user,omitempty"`
	Group     identity.GroupID `json:"group,omitempty"`
	Version   uint64           `json:"version,omitempty"` // of the policy that made it
	CreatedAt time.Time        `json:"created_at"`
}

// same reports whether two assignments give the same.
func (a Assignment) same(b Assignment) bool {
	return a.Name == b.Name && a.Role == b.Role && a.Team == b.Team && a.User == b.User && a.Group == b.Group
}

// holder is whom an assignment is for.
func (a Assignment) holder() (kind, id string) {
	if a.User != "" {
		return kindUser, string(a.User)
	}
	return kindGroup, string(a.Group)
}

// subject is the key of whom an assignment is for.
func (a Assignment) subject() string {
	if a.User != "" {
		return subjectUser(a.User)
	}
	return subjectGroup(a.Group)
}

func (a Assignment) where() string {
	if a.Team == "" {
		return atAccount
	}
	return atTeam + string(a.Team)
}

// The subjects of the policy: people and groups have roles, and a role stands
// for a token that was made with it.
func subjectUser(id identity.UserID) string   { return "user:" + string(id) }
func subjectGroup(id identity.GroupID) string { return "group:" + string(id) }
func subjectRole(name string) string          { return "role:" + name }
