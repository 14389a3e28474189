package tenants

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Settings are what a tenant's admin may set. Zero values mean the defaults.
type Settings struct {
	Session      SessionSettings `json:"session,omitzero" yaml:"session,omitempty"`
	SecondFactor SecondFactor    `json:"second_factor,omitzero" yaml:"second_factor,omitempty"`
	SCIM         SCIM            `json:"scim,omitzero" yaml:"scim,omitempty"`
}

// Equal reports whether both say the same.
func (s Settings) Equal(o Settings) bool {
	return s.Session.Equal(o.Session) && s.SecondFactor.Equal(o.SecondFactor) && s.SCIM.Equal(o.SCIM)
}

func (s Settings) check() error {
	if err := s.Session.check(); err != nil {
		return err
	}
	if err := s.SecondFactor.check(); err != nil {
		return err
	}
	return s.SCIM.check()
}

// SessionSettings bound sign-ins: how long they last, how many a person has, and
// where and for what they count.
type SessionSettings struct {
	Idle     Duration `json:"idle,omitzero" yaml:"idle,omitempty" doc:"How long a session lasts without a request; default 8h"`
	Absolute Duration `json:"absolute,omitzero" yaml:"absolute,omitempty" doc:"How long a session lasts at all; default 168h"`
	// MaxPerPerson is how many sessions a person has at once, 0 for any number; what
	// becomes of one more is WhenFull.
	MaxPerPerson int      `json:"max_per_person,omitempty" yaml:"max_per_person,omitempty" minimum:"0" maximum:"1000" doc:"How many sessions a person has at once; absent: any number"`
	WhenFull     WhenFull `json:"when_full,omitempty" yaml:"when_full,omitempty" enum:"end_oldest,refuse" doc:"What becomes of one more; absent: the oldest ends"`
	// BindDevice has a session count only together with the cookie of the device on
	// which it was made.
	BindDevice bool `json:"bind_device,omitempty" yaml:"bind_device,omitempty" doc:"Whether a session counts only with the cookie of the device that signed in"`
	// Networks are where people and API tokens may come from; none: anywhere.
	Networks []netip.Prefix `json:"networks,omitempty" yaml:"networks,omitempty" maxItems:"100" doc:"Addresses (CIDR) from which people and API tokens are let in; absent: any"`
	// RoleNetworks are where those may come from who hold a role, by its name. They
	// narrow Networks, and each other.
	RoleNetworks map[string][]netip.Prefix `json:"role_networks,omitempty" yaml:"role_networks,omitempty" maxProperties:"20" doc:"Addresses (CIDR), by role, from which people and API tokens with that role are let in, if networks lets them in as well; whoever has several of the roles must be let in by each"`
	// ReauthAge is how old a person's authentication may be where a route asks for
	// a recent one.
	ReauthAge Duration `json:"reauth_age,omitzero" yaml:"reauth_age,omitempty" doc:"How long ago a person may have authenticated at the identity provider, for routes with step_up; default 15m"`
	// DeviceLogin is whether people may let programs on a command line have sessions
	// of theirs.
	DeviceLogin DeviceLogin `json:"device_login,omitempty" yaml:"device_login,omitempty" enum:"allow,recent,refuse" doc:"Whether people may sign in programs on their command line (gatehouse login); recent: if they have authenticated within reauth_age; absent: allow"`
}

// DeviceLogin is what people may do for programs that ask to be signed in (RFC
// 8628).
type DeviceLogin string

const (
	// AllowDeviceLogin is the default.
	AllowDeviceLogin DeviceLogin = "allow"
	// RecentDeviceLogin asks for a recent authentication ([SessionSettings.ReauthAge]).
	RecentDeviceLogin DeviceLogin = "recent"
	// RefuseDeviceLogin lets no program in, nor any that was let in before.
	RefuseDeviceLogin DeviceLogin = "refuse"
)

// WhenFull is what becomes of a sign-in by a person who has as many as allowed.
type WhenFull string

const (
	// EndOldest ends the oldest session; it is the default.
	EndOldest WhenFull = "end_oldest"
	// RefuseMore refuses the new one.
	RefuseMore WhenFull = "refuse"
)

// Equal reports whether both say the same.
func (s SessionSettings) Equal(o SessionSettings) bool {
	return s.Idle == o.Idle && s.Absolute == o.Absolute && s.MaxPerPerson == o.MaxPerPerson && s.WhenFull == o.WhenFull &&
		s.admitsAs(o)
}

// admitsAs reports whether both let in the same: what is open under one of them
// may go on under the other.
func (s SessionSettings) admitsAs(o SessionSettings) bool {
	return s.BindDevice == o.BindDevice && s.ReauthAge == o.ReauthAge && s.DeviceLogin == o.DeviceLogin && slices.Equal(s.Networks, o.Networks) &&
		maps.EqualFunc(s.RoleNetworks, o.RoleNetworks, slices.Equal[[]netip.Prefix])
}

// Admits reports whether anybody may come from an address.
func (s *SessionSettings) Admits(ip netip.Addr) bool {
	return len(s.Networks) == 0 || within(s.Networks, ip)
}

// AdmitsRoles reports whether somebody with these roles may: every one of them
// that has networks must let them in.
func (s *SessionSettings) AdmitsRoles(roles []string, ip netip.Addr) bool {
	for _, role := range roles {
		if networks, ok := s.RoleNetworks[role]; ok && !within(networks, ip) {
			return false
		}
	}
	return true
}

func within(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap()
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}

const (
	defaultIdle     = 8 * time.Hour
	defaultAbsolute = 168 * time.Hour
	defaultReauth   = 15 * time.Minute

	// Below a minute nobody could work, above these nobody would remember.
	minLimit    = time.Minute
	maxIdle     = 90 * 24 * time.Hour
	maxAbsolute = 365 * 24 * time.Hour
	maxReauth   = 7 * 24 * time.Hour

	maxPerPerson = 1000
	maxNetworks  = 100 // each time they are listed
	maxRoles     = 20  // with networks of their own
)

// Limits are the settings with the defaults filled in; idle is never longer
// than absolute.
func (s SessionSettings) Limits() (idle, absolute time.Duration) {
	absolute = cmp.Or(time.Duration(s.Absolute), defaultAbsolute)
	return min(cmp.Or(time.Duration(s.Idle), defaultIdle), absolute), absolute
}

// Recent is [SessionSettings.ReauthAge] with the default filled in.
func (s *SessionSettings) Recent() time.Duration {
	return cmp.Or(time.Duration(s.ReauthAge), defaultReauth)
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
	if s.MaxPerPerson < 0 || s.MaxPerPerson > maxPerPerson {
		return invalid("bad-settings", fmt.Sprintf("session.max_per_person must lie between 0 and %d.", maxPerPerson))
	}
	if s.WhenFull != "" && s.WhenFull != EndOldest && s.WhenFull != RefuseMore {
		return invalid("bad-settings", fmt.Sprintf("session.when_full is %s or %s.", EndOldest, RefuseMore))
	}
	if age := time.Duration(s.ReauthAge); age != 0 && (age < minLimit || age > maxReauth) {
		return invalid("bad-settings", fmt.Sprintf("session.reauth_age must lie between %v and %v.", minLimit, maxReauth))
	}
	switch s.DeviceLogin {
	case "", AllowDeviceLogin, RecentDeviceLogin, RefuseDeviceLogin:
	default:
		return invalid("bad-settings", fmt.Sprintf("session.device_login is %s, %s or %s.", AllowDeviceLogin, RecentDeviceLogin, RefuseDeviceLogin))
	}
	if err := checkNetworks("session.networks", s.Networks); err != nil {
		return err
	}
	if len(s.RoleNetworks) > maxRoles {
		return invalid("bad-settings", fmt.Sprintf("session.role_networks are for at most %d roles.", maxRoles))
	}
	for _, role := range slices.Sorted(maps.Keys(s.RoleNetworks)) {
		key := fmt.Sprintf("session.role_networks.%.100q", role)
		if !isRoleName(role) {
			return invalid("bad-settings", key+" is not the name of a role.")
		}
		if len(s.RoleNetworks[role]) == 0 {
			return invalid("bad-settings", key+" names no network. Leave the role out if it may come from anywhere.")
		}
		if err := checkNetworks(key, s.RoleNetworks[role]); err != nil {
			return err
		}
	}
	return nil
}

func checkNetworks(key string, networks []netip.Prefix) error {
	if len(networks) > maxNetworks {
		return invalid("bad-settings", fmt.Sprintf("%s are at most %d.", key, maxNetworks))
	}
	for _, n := range networks {
		if !n.IsValid() || n != n.Masked() || n.Addr().Is4In6() {
			return invalid("bad-settings", fmt.Sprintf("%s: %s is no range of addresses such as 192.0.2.0/24 or 2001:db8::/32.", key, n))
		}
	}
	return nil
}

// isRoleName is the rule for the names of roles: [a-z0-9_-], at most 63, with a
// letter or digit first.
func isRoleName(s string) bool {
	return s != "" && len(s) <= maxName && s[0] != '-' && s[0] != '_' &&
		!strings.ContainsFunc(s, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' })
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
