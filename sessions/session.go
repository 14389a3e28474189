package sessions

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"gatehouse/identity"
)

// Session is one sign-in of one person on one device.
type Session struct {
	ID         identity.SessionID
	Tenant     identity.TenantID
	User       identity.UserID
	Device     identity.DeviceID
	DeviceHash TokenHash // of the device's token; empty in lists
	Connection identity.ConnectionID
	// IDPSubject and IDPSession are how the identity provider calls the person
	// and its own session (OIDC sub and sid; SAML NameID and SessionIndex).
	IDPSubject string
	IDPSession string
	AMR        []string
	ACR        string
	IP         netip.Addr // at sign-in
	UserAgent  string
	Program    bool      // it is carried by a program, as a bearer token, and not by a browser
	AuthAt     time.Time // when the person authenticated; zero: the identity provider did not say
	FactorAt   time.Time // when they last showed a second factor; zero: never
	CreatedAt  time.Time
	SeenAt     time.Time // last request, to within the write-behind interval
	ExpiresAt  time.Time // absolute limit, or Until if that is sooner
	Until      time.Time // when the provider's own session ends; zero: it did not say
	EndedAt    time.Time // zero while it lives
	EndReason  string
}

// Device is one browser profile or app of one person. It outlives sessions.
type Device struct {
	ID        identity.DeviceID
	User      identity.UserID
	Name      string
	Kind      string // desktop, phone, tablet, bot, cli, unknown
	OS        string
	Browser   string
	Blocked   bool
	FirstSeen time.Time
	LastSeen  time.Time
	LastIP    netip.Addr
}

// Selector says which sessions a revocation ends. Exactly one of the fields
// that select is set; Except spares one session of those selected, and Until those
// that were begun after it.
type Selector struct {
	Session    identity.SessionID    `json:"session,omitempty"`
	Device     identity.DeviceID     `json:"device,omitempty"`
	User       identity.UserID       `json:"user,omitempty"`
	Connection identity.ConnectionID `json:"connection,omitempty"`
	Group      identity.GroupID      `json:"group,omitempty"`  // whose members they are of
	Team       identity.TeamID       `json:"team,omitempty"`   // in which their people have a role
	Network    netip.Prefix          `json:"network,omitzero"` // in which they signed in
	Before     time.Time             `json:"before,omitzero"`  // at which they had signed in already
	All        bool                  `json:"all,omitempty"`
	// IDPSubject and IDPSessions narrow a connection to the sessions that its
	// identity provider calls so.
	IDPSubject  string             `json:"idp_subject,omitempty"`
	IDPSessions []string           `json:"idp_sessions,omitempty"`
	Except      identity.SessionID `json:"except,omitempty"`
	Until       time.Time          `json:"until,omitzero"`

	// Users is what a group or a team comes to. It is for registries: they know
	// neither.
	Users []identity.UserID `json:"users,omitempty"`
}

// The reasons for which this room itself ends a session. Callers of
// [Service.Revoke] may give others of the same form.
const (
	ReasonSignedOut     = "signed-out" // by the person; journalled as such
	ReasonReplaced      = "replaced"   // a new sign-in in the same browser
	ReasonDeviceBlocked = "device-blocked"
	ReasonUserInactive  = "user-inactive"
	ReasonExpired       = "expired"
	ReasonLimit         = "session-limit"      // the person signed in once more than the tenant allows
	ReasonUnfinished    = "sign-in-unfinished" // it was refused, or ended by somebody, while it was being made
	ReasonTenantDeleted = "tenant-deleted"
	// ReasonSignedOutAtProvider: the identity provider has said that the person has
	// signed out there.
	ReasonSignedOutAtProvider = "signed-out-at-provider"
	// ReasonRefreshRefused: the identity provider was asked again, and says that the
	// person may not go on. ReasonRecheckOverdue: it could not be asked for too long.
	ReasonRefreshRefused = "refresh-refused"
	ReasonRecheckOverdue = "recheck-overdue"
	// ReasonConnectionClosed: the way by which the person signed in was disabled
	// or deleted, or trusts another provider from now on.
	ReasonConnectionClosed = "connection-closed"
	// ReasonCredentialsReplaced: what the person signs in with here is another by now.
	ReasonCredentialsReplaced = "credentials-replaced"
	// ReasonIdentityUnlinked: what the person signed in by is not theirs any more.
	ReasonIdentityUnlinked = "identity-unlinked"
)

// NewSession is what a finished sign-in tells of itself.
type NewSession struct {
	User       identity.UserID
	Connection identity.ConnectionID
	// ConnectionVersion is that of the connection by which the sign-in was
	// verified; if it has changed since, there will be no session.
	ConnectionVersion uint64
	IDPSubject        string
	IDPSession        string
	// LogoutHint is what the identity provider wants back at sign-out (the
	// id_token); sealed at rest. One over [MaxLogoutHint] bytes is not kept.
	LogoutHint string
	// Refresh is what the identity provider is asked again by, from RefreshDue on; ""
	// if it is not asked ([Refresh]).
	Refresh    string
	RefreshDue time.Time
	AMR        []string
	ACR        string
	IP         netip.Addr
	UserAgent  string
	Hints      ClientHints
	AuthAt     time.Time // zero: not known
	FactorAt   time.Time // zero: none was shown
	Until      time.Time // when the provider's own session ends, and this at the latest; zero: it did not say
	// DeviceToken is the browser's device cookie, or what a program was given to be
	// known again by, if it sent one; anything that is not a token of ours for that
	// counts as none.
	DeviceToken string
	// Replaces is the token of the session that the browser has had until now;
	// that session ends.
	Replaces string
	// Program is what is signed in, where it is no browser: its devices are no
	// browser's. Nil: a browser.
	Program *Program
	// Details are what the sign-in's record tells beyond the session: how the
	// person signed in.
	Details map[string]string
}

// Program is a program that a person lets have a session of theirs.
type Program struct {
	Name string
	Host string // what it says it runs on
	// AllowedBy is the session in which the person allowed it. Unless that lives at
	// the moment at which the new one is made, there will be none: whatever has ended
	// it was to end what comes of it as well.
	AllowedBy identity.SessionID
	// Carried gives the session that has taken the place of AllowedBy by now
	// ([Config].Carry), and AllowedBy itself if none has; nil: none can.
	Carried func(ctx context.Context) (identity.SessionID, error)
}

// Created is a new session with the tokens for the browser or program, which
// exist nowhere else.
type Created struct {
	Session     Session
	Device      Device
	Token       string
	DeviceToken string
	NewDevice   bool // not seen with this person before
}

// Revocation is what a revocation did. When it is returned without an error,
// P2 holds for all sessions that were selected.
type Revocation struct {
	Sessions    int
	Devices     int
	Connections int // live requests and streams that were closed
	Nodes       []NodeConfirmation
	Took        time.Duration
	Event       identity.EventID
	// Deferred: SQL could not be reached and gets it later ([Unsettled]). Sessions and
	// Devices then count what this node knew of.
	Deferred bool
}

// Confirmed reports whether every node is known to serve none of the sessions.
func (r Revocation) Confirmed() bool {
	return !slices.ContainsFunc(r.Nodes, func(n NodeConfirmation) bool { return !n.Confirmed && !n.LeaseExpired })
}

// NodeConfirmation says how a node is known to serve none of the sessions.
type NodeConfirmation struct {
	ID           string
	Confirmed    bool // false: its lease was waited out
	LeaseExpired bool
}
