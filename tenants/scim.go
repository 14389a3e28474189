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
	// Schemas are what people have here beyond the standard's schemas.
	Schemas []SCIMSchema `json:"schemas,omitempty" yaml:"schemas,omitempty" maxItems:"10" doc:"Schemas of the tenant's own that a person has beside the core and the enterprise one"`
}

// Equal reports whether both say the same.
func (s SCIM) Equal(o SCIM) bool {
	return s.Brake == o.Brake && slices.EqualFunc(s.Schemas, o.Schemas, SCIMSchema.equal)
}

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
	return checkSchemas(s.Schemas)
}
