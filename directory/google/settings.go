package google

import (
	"net/mail"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/fault"
)

// Gone is what becomes of people and groups that Google does not have any more.
type Gone string

// Who is deactivated can come back as who they were; a group is emptied, and keeps its
// roles.
const (
	Deactivate Gone = "deactivate"
	Delete     Gone = "delete"
)

// Settings are how an account is read. The key is none of them: it is given once.
type Settings struct {
	Admin    string   `json:"admin" yaml:"admin" doc:"Address of an admin of the account, for whom the service account reads: it needs the rights to read users and groups"`
	Customer string   `json:"customer,omitempty" yaml:"customer,omitempty" doc:"The account's customer id, C0…; absent: that of the admin"`
	OrgUnits []string `json:"org_units,omitempty" yaml:"org_units,omitempty" maxItems:"100" doc:"Only people in these organisational units and below, such as /Sales; absent: everybody"`
	Groups   []string `json:"groups,omitempty" yaml:"groups,omitempty" maxItems:"200" doc:"Only these groups, by their address, what is in them, and the people in those; absent: all groups, and everybody"`
	Gone     Gone     `json:"gone,omitempty" yaml:"gone,omitempty" enum:"deactivate,delete" doc:"What becomes of people whom Google does not have any more, or who are not to be brought any more. deactivate (the default) keeps them inactive, and empties groups; delete deletes both"`
	TakeOver bool     `json:"take_over,omitempty" yaml:"take_over,omitempty" doc:"Whether people with the same user name whom somebody else has brought become Google's. Without it they are skipped"`
	Minutes  int      `json:"interval_minutes,omitempty" yaml:"interval_minutes,omitempty" minimum:"5" maximum:"1440" doc:"How often it is read; absent: every 30 minutes"`
	Paused   bool     `json:"paused,omitempty" yaml:"paused,omitempty" doc:"Whether nothing is read for now"`
}

const (
	defaultMinutes = 30
	minMinutes     = 5
	maxMinutes     = 24 * 60
	maxOrgUnits    = 100
	maxGroups      = 200
	maxName        = 254
)

func (s *Settings) interval() time.Duration {
	if s.Minutes == 0 {
		return defaultMinutes * time.Minute
	}
	return time.Duration(s.Minutes) * time.Minute
}

func (s *Settings) deletes() bool { return s.Gone == Delete }

func invalid(field, detail string, args ...any) error {
	return fault.New(fault.Invalid, "bad-directory-sync", detail, args...).At(field)
}

func (s *Settings) check() error {
	if !isAddress(s.Admin) {
		return invalid("admin", "admin is the address of an admin of the Google Workspace account.")
	}
	if s.Customer != "" && !isID(s.Customer) {
		return invalid("customer", "customer is the account's id, as the Admin console has it under Account settings: C and some letters and digits.")
	}
	if len(s.OrgUnits) > maxOrgUnits || slices.ContainsFunc(s.OrgUnits, func(u string) bool { return !strings.HasPrefix(u, "/") || len(u) > 1024 }) {
		return invalid("org_units", "org_units are at most %d paths such as /Sales/EMEA.", maxOrgUnits)
	}
	if len(s.Groups) > maxGroups || slices.ContainsFunc(s.Groups, func(g string) bool { return !isAddress(g) }) {
		return invalid("groups", "groups are at most %d addresses of groups.", maxGroups)
	}
	if s.Gone != "" && s.Gone != Deactivate && s.Gone != Delete {
		return invalid("gone", "gone is deactivate or delete.")
	}
	if s.Minutes != 0 && (s.Minutes < minMinutes || s.Minutes > maxMinutes) {
		return invalid("interval_minutes", "interval_minutes lies between %d and %d.", minMinutes, maxMinutes)
	}
	return nil
}

func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= maxName && !strings.ContainsAny(s, "/?#% ")
}

// isID reports whether s can be an id of Google's, which becomes part of addresses.
func isID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-'
	})
}

// within reports whether an organisational unit is one of those, or below one.
func (s *Settings) within(unit string) bool {
	return len(s.OrgUnits) == 0 || slices.ContainsFunc(s.OrgUnits, func(u string) bool {
		u = strings.TrimSuffix(u, "/")
		below, ok := strings.CutPrefix(strings.ToLower(unit), strings.ToLower(u))
		return ok && (below == "" || below[0] == '/')
	})
}
