package authz

import (
	"strings"

	"gatehouse/internal/fault"
)

// Permission is an object and what is done to it: "alerts:read". In a role
// either may be "*", and an object may end in ".*" for all whose names begin
// so.
type Permission struct{ Object, Action string }

// String gives the form used in roles and the log.
func (p Permission) String() string {
	if p.Object == "" {
		return ""
	}
	return p.Object + ":" + p.Action
}

// Own reports whether a permission is for the gateway's own objects.
func (p Permission) Own() bool { return strings.HasPrefix(p.Object+".", ownPrefix) }

// The actions that follow from a request's method.
const (
	Read   = "read"
	Write  = "write"
	Delete = "delete"
)

// ownPrefix begins the names of the gateway's own objects. They belong to the
// whole account: a role in a team never reaches them, and the app's routes
// cannot ask for them.
const ownPrefix = "gatehouse."

// platformObject is the operators' business, whatever a tenant's roles say.
const platformObject = ownPrefix + "tenants"

// scimObject is all that a SCIM token is for.
const scimObject = ownPrefix + "scim"

const maxNameLength = 63

// ParsePermission reads "object:action"; either may be a pattern.
func ParsePermission(text string) (Permission, error) {
	object, action, ok := strings.Cut(text, ":")
	known := object == "*" || isName(strings.TrimSuffix(object, ".*"), "._-")
	doable := action == "*" || isName(action, "_-")
	if !ok || !known || !doable {
		return Permission{}, fault.New(fault.Invalid, "permission-invalid",
			`A permission is written object:action, such as alerts:read; "*" may stand for either.`)
	}
	return Permission{Object: object, Action: action}, nil
}

// isName reports whether s is a short lower-case name that begins with a letter
// or digit; more lists the other characters that it may hold.
func isName(s, more string) bool {
	if s == "" || len(s) > maxNameLength {
		return false
	}
	for i, c := range []byte(s) {
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !plain && (i == 0 || !strings.Contains(more, string(rune(c)))) {
			return false
		}
	}
	return true
}

// covers reports whether a pattern covers a value, which may be a pattern
// itself: then it covers all that the value stands for.
func covers(pattern, value string) bool {
	if value == "" {
		return false
	}
	if stem, ok := strings.CutSuffix(pattern, ".*"); ok {
		return len(value) > len(stem)+1 && strings.HasPrefix(value, stem) && value[len(stem)] == '.'
	}
	return pattern == "*" || pattern == value
}

// The reaches of a role's permission.
const (
	reachAny     = "any"
	reachAccount = "account" // account-level queries only
	reachTeam    = "team"    // queries for a team only
)

// grant is one permission of a role with its reach.
type grant struct {
	reach string
	Permission
}

// parseGrant reads a role's permission: "object:action", with "team/" or
// "account/" in front of it to limit its reach.
func parseGrant(text string) (grant, error) {
	reach := reachAny
	if rest, ok := strings.CutPrefix(text, "team/"); ok {
		reach, text = reachTeam, rest
	} else if rest, ok := strings.CutPrefix(text, "account/"); ok {
		reach, text = reachAccount, rest
	}
	p, err := ParsePermission(text)
	return grant{reach: reach, Permission: p}, err
}

// The places of a query: the account, or one team by its id. Ids never come
// back, so a deleted team's roles do not pass to the next of its name.
const (
	atAccount = "account"
	atTeam    = "team:" // and the team's id; alone: a team that the gateway does not know
)

// reaches reports whether a permission of this reach holds at a place.
func reaches(reach, where string) bool {
	switch reach {
	case reachAny:
		return true
	case reachTeam:
		return strings.HasPrefix(where, atTeam)
	default:
		return reach == reachAccount && where == atAccount
	}
}
