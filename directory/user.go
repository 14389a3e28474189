package directory

import (
	"encoding/json"
	"time"

	"gatehouse/identity"
)

// Source says who made a record, and so whose word on it counts.
type Source string

// The sources. What SCIM brought is SCIM's to say: sign-ins leave it alone.
const (
	SourceSCIM   Source = "scim"
	SourceSignIn Source = "signin" // just in time, at the first sign-in
	SourceAdmin  Source = "admin"
)

// User is a person in a tenant.
type User struct {
	ID          identity.UserID
	UserName    string // unique in the tenant by its [identity.NameKey] (RFC 7643 §4.1.1, RFC 7644 §5)
	ExternalID  string // the provisioning client's own key (RFC 7643 §3.1)
	Email       string // canonical: lower case; may be empty
	DisplayName string
	Active      bool
	Source      Source
	// OtherEmails are further addresses, canonical, by which the person can be
	// found; Email is always found as well.
	OtherEmails []string
	// Attributes holds what SCIM knows beyond the fields above (name, emails, the
	// enterprise extension...) as the JSON object that SCIM answers with.
	Attributes json.RawMessage
	Groups     []identity.Group // read only: the groups the person is in, also through others
	Version    uint64
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Group is a set of people, and of groups whose people are in it as well.
type Group struct {
	ID          identity.GroupID
	DisplayName string // unique in the tenant by its [identity.NameKey]
	ExternalID  string
	Source      Source
	Connection  identity.ConnectionID // whose sign-ins made it and fill it; "" for other sources; never changes
	Members     []Member              // only where the call asks for them
	Version     uint64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Team is the unit inside a tenant for which roles can be given.
type Team struct {
	ID          identity.TeamID
	Name        string // unique, stands in the app's paths: [a-z0-9-]
	DisplayName string
	Version     uint64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}
