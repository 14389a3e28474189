package tenants

import (
	"cmp"
	"fmt"
	"time"
)

// Settings are what a tenant's admin may set. Zero values mean the defaults.
type Settings struct {
	Session SessionSettings `json:"session,omitzero" yaml:"session,omitempty"`
}

// SessionSettings bound how long a sign-in lasts.
type SessionSettings struct {
	Idle     Duration `json:"idle,omitzero" yaml:"idle,omitempty"`         // since the last request; default 8h
	Absolute Duration `json:"absolute,omitzero" yaml:"absolute,omitempty"` // since the sign-in; default 168h
}

const (
	defaultIdle     = 8 * time.Hour
	defaultAbsolute = 168 * time.Hour

	// Below a minute nobody could work, above these nobody would remember.
	minLimit    = time.Minute
	maxIdle     = 90 * 24 * time.Hour
	maxAbsolute = 365 * 24 * time.Hour
)

// Limits are the settings with the defaults filled in; idle is never longer
// than absolute.
func (s SessionSettings) Limits() (idle, absolute time.Duration) {
	absolute = cmp.Or(time.Duration(s.Absolute), defaultAbsolute)
	return min(cmp.Or(time.Duration(s.Idle), defaultIdle), absolute), absolute
}

func (s SessionSettings) check() error {
	idle, absolute := time.Duration(s.Idle), time.Duration(s.Absolute)
	if idle != 0 && (idle < minLimit || idle > maxIdle) {
		return invalid("bad-settings", fmt.Sprintf("session.idle must lie between %v and %v.", minLimit, maxIdle))
	}
	if absolute != 0 && (absolute < minLimit || absolute > maxAbsolute) {
		return invalid("bad-settings", fmt.Sprintf("session.absolute must lie between %v and %v.", minLimit, maxAbsolute))
	}
	if _, longest := s.Limits(); idle > longest {
		return invalid("bad-settings", fmt.Sprintf("session.idle must not be longer than session.absolute, which is %v.", longest))
	}
	return nil
}

// Duration is a time.Duration that reads and writes as text: "8h".
type Duration time.Duration

// String is the text that time.Duration writes: "8h0m0s".
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration for JSON and YAML.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration understands.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("not a duration such as 8h or 30m: %w", err)
	}
	*d = Duration(parsed)
	return nil
}
