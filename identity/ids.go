package identity

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// The ids are distinct types, so that a user's id cannot be passed where a
// session's is meant. Each is a three-letter prefix, an underscore and 26
// characters of lower-case base32 that sort by time of creation. An id is not
// a secret: what grants access is always a separate token.
type (
	// TenantID names one tenant for ever: a tenant that is deleted and made
	// anew under the same name has another id, and so another key.
	TenantID string
	// UserID names a person in one tenant's directory.
	UserID string
	// GroupID names a group in one tenant's directory.
	GroupID string
	// TeamID names a team: the unit inside a tenant for which roles can be given.
	TeamID string
	// ConnectionID names a tenant's connection to one identity provider.
	ConnectionID string
	// SessionID names one sign-in of a person on a device.
	SessionID string
	// DeviceID names one browser profile or app of one person, across sign-ins.
	DeviceID string
	// TokenID names an API or SCIM token; it is not the token.
	TokenID string
	// ServiceID names a program that calls as a service principal.
	ServiceID string
	// EventID names one record of the journal.
	EventID string
	// RequestID names one request, in the journal, the logs and towards the app.
	RequestID string
)

// Each of these begins the id of every person, group or service principal, and no other id.
const (
	UserPrefix    = "usr_"
	GroupPrefix   = "grp_"
	ServicePrefix = "svc_"
)

// Platform is the operators' own tenant: its people are the operators, its
// journal holds what concerns no single customer. No app is behind its host.
const Platform TenantID = "ten_platform"

// PlatformName is the name by which the command line and the logs know [Platform].
const PlatformName = "platform"

// Each id below is made fresh from the current time and 80 random bits.

// NewTenantID makes the id of a tenant.
func NewTenantID() TenantID { return TenantID(newID("ten_")) }

// NewUserID makes the id of a person.
func NewUserID() UserID { return UserID(newID(UserPrefix)) }

// NewGroupID makes the id of a group.
func NewGroupID() GroupID { return GroupID(newID(GroupPrefix)) }

// NewTeamID makes the id of a team.
func NewTeamID() TeamID { return TeamID(newID("tea_")) }

// NewConnectionID makes the id of a connection.
func NewConnectionID() ConnectionID { return ConnectionID(newID("con_")) }

// NewSessionID makes the id of a session.
func NewSessionID() SessionID { return SessionID(newID("ses_")) }

// NewDeviceID makes the id of a device.
func NewDeviceID() DeviceID { return DeviceID(newID("dev_")) }

// NewTokenID makes the id of a token.
func NewTokenID() TokenID { return TokenID(newID("tok_")) }

// NewServiceID makes the id of a service principal.
func NewServiceID() ServiceID { return ServiceID(newID(ServicePrefix)) }

// NewEventID makes the id of a journal record.
func NewEventID() EventID { return EventID(newID("evt_")) }

// NewRequestID makes the id of a request.
func NewRequestID() RequestID { return RequestID(newID("req_")) }

// base32hex keeps the order of the bytes it encodes (RFC 4648 §7).
var encoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// newID has 60 bits of the time, in 4096ths of a millisecond, and 68 of chance, which
// is how RFC 9562 §6.2 has ids in order that are made in one millisecond.
func newID(prefix string) string {
	var raw [16]byte
	_, _ = rand.Read(raw[7:]) // never fails: crypto/rand aborts the program instead
	now := time.Now()
	part := int64(now.Nanosecond()) % int64(time.Millisecond) << 12 / int64(time.Millisecond) // in 4096ths
	// #nosec G115 -- milliseconds since 1970 fit 48 bits until the year 10889.
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixMilli())<<16|uint64(part)<<4|uint64(raw[7]&0xf))
	return prefix + strings.ToLower(encoding.EncodeToString(raw[:]))
}
