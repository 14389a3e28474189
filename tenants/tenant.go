package tenants

import (
	"time"

	"gatehouse/identity"
)

// Status says whether a tenant is served.
type Status string

const (
	// Active tenants are served.
	Active Status = "active"
	// Suspended tenants let nobody in; nothing is deleted.
	Suspended Status = "suspended"
	// Deleting tenants are gone for everybody; what they had is being removed.
	// They are seen only while that does not succeed, and deleting them again
	// goes on with it.
	Deleting Status = "deleting"
)

// Tenant is one customer organisation. Values handed out are shared and must
// not be changed.
type Tenant struct {
	ID          identity.TenantID
	Name        string // unique, immutable: [a-z0-9-], at most 63 characters
	DisplayName string
	Hosts       []string // canonical ([CanonicalHost]); the first is the one we speak of
	Status      Status
	Settings    Settings
	Logo        *Logo // nil: there is none
	Version     uint64
	CreatedAt   time.Time
	UpdatedAt   time.Time

	image []byte // of a logo that is being changed to
	quiet bool   // of one that is being deleted: nothing of it is open any more
}
