package tenants

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// SCIM is what provisioning clients may do, and what they may say of people.
type SCIM struct {
	Brake Brake `json:"brake,omitzero" yaml:"brake,omitempty" doc:"How many people SCIM tokens may deactivate or delete before an admin has to look; absent: its defaults"`
	Rate  Rate  `json:"rate,omitzero" yaml:"rate,omitempty" doc:"How many requests SCIM tokens may make; absent: its defaults"`
	// Retain is how long a record stays of who was deleted, by whomever; 0: none does.
	Retain Duration `json:"retain,omitzero" yaml:"retain,omitempty" doc:"How long a record stays of who a deleted person was, from 24h to 87600h (10 years); absent: none does"`
	// Schemas are what people have here beyond the standard's schemas.
	Schemas []SCIMSchema `json:"schemas,omitempty" yaml:"schemas,omitempty" maxItems:"10" doc:"Schemas of the tenant's own that a person has beside the core and the enterprise one"`
}

// Equal reports whether both say the same.
func (s SCIM) Equal(o SCIM) bool {
	return s.Brake == o.Brake && s.Rate == o.Rate && s.Retain == o.Retain && slices.EqualFunc(s.Schemas, o.Schemas, SCIMSchema.equal)
}

// Rate is how many requests a second provisioning clients may make, for as long as they
// like; more go through for a while. Every 10 operations of a Bulk count as one more.
type Rate struct {
	Off    bool `json:"off,omitempty" yaml:"off,omitempty" doc:"Whether they may make any number"`
	Token  int  `json:"token,omitempty" yaml:"token,omitempty" minimum:"1" maximum:"10000" doc:"Requests a second of one token; default 100"`
	Tenant int  `json:"tenant,omitempty" yaml:"tenant,omitempty" minimum:"1" maximum:"10000" doc:"Requests a second of all tokens of the tenant together; default 200"`
}

const (
	defaultTokenRate  = 100
	defaultTenantRate = 200
	maxRate           = 10_000
)

// Limits are the settings with the defaults filled in.
func (r Rate) Limits() (token, tenant int) {
	return cmp.Or(r.Token, defaultTokenRate), cmp.Or(r.Tenant, defaultTenantRate)
}

const (
	minRetain = 24 * time.Hour
	maxRetain = 10 * 365 * 24 * time.Hour
)

// Brake is how many people clients may take out within a window.
type Brake struct {
	Off bool `json:"off,omitempty" yaml:"off,omitempty" doc:"Whether they may take out any number"`
	// Share is counted in percent of the people who are active, and Least in people: the
	// larger of the two is how many may go.
	Share  int      `json:"share,omitempty" yaml:"share,omitempty" minimum:"1" maximum:"100" doc:"Percent of the active people who may be taken out within the window; default 20"`
	Window Duration `json:"window,omitzero" yaml:"window,omitempty" doc:"Within which time they are counted; default 1h"`
	Least  int      `json:"least,omitempty" yaml:"least,omitempty" minimum:"1" maximum:"1000000" doc:"How many people may be taken out within the window in any case; default 10"`
}

const (
	defaultShare  = 20
	defaultWindow = time.Hour
	defaultLeast  = 10

	maxLeast = 1_000_000
	// A window that is shorter holds nobody back, and a longer one is remembered by
	// nobody.
	minWindow = time.Minute
	maxWindow = 7 * 24 * time.Hour
)

// Limits are the settings with the defaults filled in.
func (b Brake) Limits() (share int, window time.Duration, least int) {
	return cmp.Or(b.Share, defaultShare), cmp.Or(time.Duration(b.Window), defaultWindow), cmp.Or(b.Least, defaultLeast)
}

func (s SCIM) check() error {
	if r := time.Duration(s.Retain); r != 0 && (r < minRetain || r > maxRetain) {
		return invalid("bad-settings", fmt.Sprintf("scim.retain must lie between %v and %v.", minRetain, maxRetain))
	}
	b := s.Brake
	if b.Share < 0 || b.Share > 100 {
		return invalid("bad-settings", "scim.brake.share is a percentage, from 1 to 100.")
	}
	if w := time.Duration(b.Window); w != 0 && (w < minWindow || w > maxWindow) {
		return invalid("bad-settings", fmt.Sprintf("scim.brake.window must lie between %v and %v.", minWindow, maxWindow))
	}
	if b.Least < 0 || b.Least > maxLeast {
		return invalid("bad-settings", fmt.Sprintf("scim.brake.least must lie between 1 and %d.", maxLeast))
	}
	if r := s.Rate; r.Token < 0 || r.Token > maxRate || r.Tenant < 0 || r.Tenant > maxRate {
		return invalid("bad-settings", fmt.Sprintf("scim.rate.token and scim.rate.tenant must lie between 1 and %d.", maxRate))
	}
	return checkSchemas(s.Schemas)
}
