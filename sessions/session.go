package sessions

import (
	"net/netip"
	"time"

	"gatehouse/identity"
)

// Session is one sign-in of one person on one device.
type Session struct {
	ID         identity.SessionID
	Tenant     identity.TenantID
	User       identity.UserID
	Device     identity.DeviceID
	Connection identity.ConnectionID
	// IDPSubject and IDPSession are how the identity provider calls the person
	// and its own session (OIDC sub and sid; SAML NameID and SessionIndex).
	IDPSubject string
	IDPSession string
	AMR        []string
	ACR        string
	IP         netip.Addr // at sign-in
	UserAgent  string
	AuthAt     time.Time
	CreatedAt  time.Time
	SeenAt     time.Time // last request, to within the write-behind interval
	ExpiresAt  time.Time // absolute limit
	EndedAt    time.Time // zero while it lives
	EndReason  string
}

// Device is one browser profile or app of one person. It outlives sessions.
type Device struct {
	ID        identity.DeviceID
	User      identity.UserID
	Name      string
	Kind      string // desktop, phone, tablet, bot, unknown
	OS        string
	Browser   string
	Blocked   bool
	FirstSeen time.Time
	LastSeen  time.Time
	LastIP    netip.Addr
}

// Selector says which sessions a revocation ends. Exactly one of the fields
// that select is set; Except spares one session of those selected.
type Selector struct {
	Session    identity.SessionID
	Device     identity.DeviceID
	User       identity.UserID
	Connection identity.ConnectionID
	All        bool
	Except     identity.SessionID
}

// Revocation is what a revocation did. When it is returned, P2 holds for all
// sessions it counts.
type Revocation struct {
	Sessions    int
	Devices     int
	Connections int // live requests and streams that were closed
	Nodes       []NodeConfirmation
	Took        time.Duration
	Event       identity.EventID
}

// NodeConfirmation says how a node is known to serve none of the sessions.
type NodeConfirmation struct {
	ID           string
	Confirmed    bool // false: its lease was waited out
	LeaseExpired bool
}
