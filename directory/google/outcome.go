package google

import (
	"strconv"
	"time"

	"gatehouse/identity"
)

// Result is how a reading ended.
type Result string

// The results. Held is one that was read to its end, but for people whom the brake holds.
const (
	Done   Result = "done"
	Held   Result = "held"
	Failed Result = "failed"
)

// SyncCounts are what a reading has found and done. Changes of people are in one of Created
// to Deleted; Skipped are people and groups that could not be brought, Held those who
// are gone and whom the brake lets not go.
type SyncCounts struct {
	People         int `json:"people" doc:"Who was read, of those who are to be brought"`
	Created        int `json:"created"`
	Changed        int `json:"changed"`
	Deactivated    int `json:"deactivated"`
	Deleted        int `json:"deleted"`
	Held           int `json:"held" doc:"People who are gone and stay, because the brake holds them"`
	Groups         int `json:"groups"`
	GroupsChanged  int `json:"groups_changed" doc:"Groups that were made, renamed, emptied or deleted"`
	MembersAdded   int `json:"members_added"`
	MembersRemoved int `json:"members_removed"`
	Skipped        int `json:"skipped" doc:"People and groups that were not brought"`
}

// SyncOutcome is what came of a reading.
type SyncOutcome struct {
	Result Result    `json:"result" enum:"done,held,failed"`
	Began  time.Time `json:"began_at"`
	Ended  time.Time `json:"ended_at"`
	Code   string    `json:"code,omitempty" doc:"Stable code of what went wrong, or holds it"`
	// Message is a sentence for an admin.
	Message string           `json:"message,omitempty"`
	Counts  SyncCounts       `json:"counts"`
	Event   identity.EventID `json:"event_id,omitempty" doc:"Its record"`
	// Failing is since when none has ended well.
	Failing *time.Time `json:"failing_since,omitempty"`
}

// details are the counts for the journal.
func (c *SyncCounts) details() map[string]string {
	all := map[string]string{}
	for name, n := range map[string]int{"people": c.People, "created": c.Created, "changed": c.Changed, "deactivated": c.Deactivated, "deleted": c.Deleted,
		"held": c.Held, "groups": c.Groups, "groups_changed": c.GroupsChanged, "members_added": c.MembersAdded, "members_removed": c.MembersRemoved, "skipped": c.Skipped} {
		all[name] = strconv.Itoa(n)
	}
	return all
}

// SkippedPerson and SkippedGroup are kinds of a [SyncSkip].
const (
	SkippedPerson = "person"
	SkippedGroup  = "group"
)

// SyncSkip is somebody, or a group, that was not brought.
type SyncSkip struct {
	Kind   string `json:"kind" enum:"person,group"`
	Email  string `json:"email"`
	Reason string `json:"reason" doc:"A sentence: why, and what helps"`
}

// Status is how the reading of a tenant's account stands.
type Status struct {
	Settings
	ServiceAccount

	Version uint64
	Running bool
	Due     time.Time    // zero: not any more
	Last    *SyncOutcome // nil: there was none
	Skipped []SyncSkip   // the first of them
}
