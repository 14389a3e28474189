package audit

import (
	"net/netip"
	"time"

	"gatehouse/identity"
)

// Outcome says how what an event tells of ended.
type Outcome string

const (
	// Success is what happened as it was meant to.
	Success Outcome = "success"
	// Refused is what was asked for and not allowed.
	Refused Outcome = "refused"
	// Failed is what was allowed and went wrong.
	Failed Outcome = "failed"
)

// Type is the stable name of a kind of event, "object.what-happened".
type Type string

// The vocabulary. Access decisions are written before forwarding
// ([Journal.Write]); everything else is fsynced before its effect
// ([Journal.Commit]).
const (
	AccessAllowed Type = "access.allowed"
	AccessRefused Type = "access.refused"

	RequestRefused Type = "request.refused" // malformed, over a limit, unknown host

	SignInStarted   Type = "signin.started"
	SignInSucceeded Type = "signin.succeeded"
	SignInRefused   Type = "signin.refused"
	SignedOut       Type = "session.signed_out"
	// SignOutRefused is a sign-out that an identity provider is said to ask for.
	SignOutRefused Type = "signout.refused"
	// SignOutAtProvider is what an identity provider says became of its own session
	// when somebody had signed out here.
	SignOutAtProvider Type = "signout.at_provider"
	// SignalReceived is a security event that a connection's transmitter tells of,
	// believed; SignalRefused is one that is not, or that was heeded before.
	SignalReceived Type = "signal.received"
	SignalRefused  Type = "signal.refused"

	// DeviceLoginAsked is a program on a command line that asks for a sign-in,
	// DeviceLoginAllowed and DeviceLoginDenied what a person says to it. That it has
	// its session is SignInSucceeded.
	DeviceLoginAsked   Type = "device_login.asked"
	DeviceLoginAllowed Type = "device_login.allowed"
	DeviceLoginDenied  Type = "device_login.denied"
	DeviceLoginRefused Type = "device_login.refused"

	SessionsRevoked Type = "session.revoked"
	SessionExpired  Type = "session.expired"
	// SessionRechecked is an identity provider that could not be asked again about who
	// is signed in. What it answers shows in session.revoked and user.changed.
	SessionRechecked Type = "session.rechecked"
	// SessionSteppedUp is a session that took the place of another once its person
	// had shown a second factor.
	SessionSteppedUp Type = "session.stepped_up"
	// RevocationDeferred is a revocation that holds on every node although the
	// database could not be reached, RevocationSettled that the database has got it.
	RevocationDeferred Type = "session.revocation_deferred"
	RevocationSettled  Type = "session.revocation_settled"
	DeviceNew          Type = "device.new"
	DeviceChanged      Type = "device.changed"

	// FactorAdded to FactorsReset are changes of what people prove themselves with
	// beside their identity provider, by themselves or, the last, by an admin.
	FactorAdded       Type = "factor.added"
	FactorRenamed     Type = "factor.renamed"
	FactorRemoved     Type = "factor.removed"
	RecoveryCodesMade Type = "factor.recovery_codes_made"
	FactorsReset      Type = "factor.reset"
	// FactorRefused is a second factor that was shown and does not count.
	FactorRefused Type = "factor.refused"

	// LocalInvited is somebody who was sent a link to a local account, LocalAccepted that
	// they have set what they sign in with, LocalPasswordChanged that they have another
	// password, LocalDeleted that their account was taken away.
	LocalInvited         Type = "local_account.invited"
	LocalAccepted        Type = "local_account.accepted"
	LocalPasswordChanged Type = "local_account.password_changed"
	LocalDeleted         Type = "local_account.deleted"

	UserCreated     Type = "user.created"
	UserChanged     Type = "user.changed"
	UserDeactivated Type = "user.deactivated"
	UserActivated   Type = "user.activated"
	UserDeleted     Type = "user.deleted"
	UserErased      Type = "user.erased" // the record of a deleted person goes
	GroupCreated    Type = "group.created"
	GroupChanged    Type = "group.changed"
	GroupDeleted    Type = "group.deleted"
	TeamCreated     Type = "team.created"
	TeamChanged     Type = "team.changed"
	TeamDeleted     Type = "team.deleted"

	// IdentityLinked is a provider's name for somebody by which they sign in from then on
	// as a person who was there before: by a rule of the connection, or by an admin.
	// IdentityUnlinked is one that was taken from its person.
	IdentityLinked   Type = "identity.linked"
	IdentityUnlinked Type = "identity.unlinked"

	// WebhookChanged to WebhookDisabled are of whom the directory's changes are sent to:
	// what an admin has made of it, and that we send it nothing any more.
	WebhookChanged  Type = "webhook.changed"
	WebhookDeleted  Type = "webhook.deleted"
	WebhookDisabled Type = "webhook.disabled"

	// BrakeHeld is a SCIM token that was about to take more people out than the tenant
	// allows, BrakeReleased to BrakeReset what an admin has decided about it.
	BrakeHeld     Type = "scim.brake.held"
	BrakeReleased Type = "scim.brake.released"
	BrakeRejected Type = "scim.brake.rejected"
	BrakeReset    Type = "scim.brake.reset"

	// SyncChanged is how a directory is fetched that is not pushed, SyncDeleted that it is
	// fetched no more. SyncFinished and SyncFailed are what came of one reading; the changes
	// that it has made have records of their own.
	SyncChanged  Type = "directory_sync.changed"
	SyncDeleted  Type = "directory_sync.deleted"
	SyncFinished Type = "directory_sync.finished"
	SyncFailed   Type = "directory_sync.failed"

	PolicyChanged     Type = "policy.changed"
	ConnectionChanged Type = "connection.changed"
	ConnectionDeleted Type = "connection.deleted"
	ConnectionTested  Type = "connection.tested"
	SetupLinkCreated  Type = "setup_link.created"
	SetupLinkBegun    Type = "setup_link.begun"
	SetupLinkFinished Type = "setup_link.finished"
	SetupLinkDeleted  Type = "setup_link.deleted"
	DomainChanged     Type = "domain.changed"
	DomainVerified    Type = "domain.verified"
	DomainDeleted     Type = "domain.deleted"
	TokenCreated      Type = "token.created" // #nosec G101 -- the name of an event
	TokenRevoked      Type = "token.revoked" // #nosec G101 -- the name of an event
	// TokenRotated is a token whose place another one takes, TokenTakenOver one that is
	// somebody else's from then on. TokenGranted is an OAuth client that was given an
	// access token, TokenRefused one that was not.
	TokenRotated   Type = "token.rotated"    // #nosec G101 -- the name of an event
	TokenTakenOver Type = "token.taken_over" // #nosec G101 -- the name of an event
	TokenGranted   Type = "token.granted"    // #nosec G101 -- the name of an event
	TokenRefused   Type = "token.refused"    // #nosec G101 -- the name of an event
	ServiceChanged Type = "service.changed"
	ServiceDeleted Type = "service.deleted"
	TenantCreated  Type = "tenant.created"
	TenantChanged  Type = "tenant.changed"
	TenantDeleted  Type = "tenant.deleted"
	AuditExported  Type = "audit.exported"

	GatewayStarted Type = "gateway.started"
	GatewayStopped Type = "gateway.stopped"
	// GatewayReloaded is a change of the config that took effect.
	GatewayReloaded Type = "gateway.reloaded"

	// AlertRaised is something that whoever runs the gateway must see to, by its
	// reason; AlertCleared says that it is over. They are in the platform's journal.
	AlertRaised  Type = "alert.raised"
	AlertCleared Type = "alert.cleared"

	// JournalRecovered is written first of all after the journal could not be
	// written or was found torn or damaged, JournalShortened when it ends before
	// records that were in the index already.
	JournalRecovered Type = "journal.recovered"
	JournalShortened Type = "journal.shortened"
)

// Actor is who did it.
type Actor struct {
	Kind identity.Kind `json:"kind"`
	ID   string        `json:"id,omitempty"`
	Name string        `json:"name,omitempty"`
}

// ActorOf names a principal as an actor; nil is anonymous.
func ActorOf(p *identity.Principal) Actor {
	if p == nil {
		return Actor{Kind: identity.KindAnonymous}
	}
	name := p.Email
	if name == "" {
		name = p.Name
	}
	return Actor{Kind: p.Kind, ID: p.ID, Name: name}
}

// Target is what it was done to.
type Target struct {
	Kind string `json:"kind"` // user, session, device, group, connection, route, ...
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// Event is one thing that happened. The journal fills ID, Time and Seq; the
// caller fills what it knows of the rest. No field may hold a secret; Path is
// without the query string, because queries carry secrets.
type Event struct {
	ID      identity.EventID  `json:"id"`
	Seq     uint64            `json:"seq"`
	Node    string            `json:"node"`
	Time    time.Time         `json:"time"`
	Tenant  identity.TenantID `json:"tenant"`
	Type    Type              `json:"type"`
	Outcome Outcome           `json:"outcome"`
	// Reason is the stable code of why ("no-role", "signature-invalid"), Message
	// one sentence for the admin who reads the log.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`

	Actor  Actor  `json:"actor"`
	Target Target `json:"target,omitzero"`

	Session    identity.SessionID    `json:"session,omitempty"`
	Device     identity.DeviceID     `json:"device,omitempty"`
	Connection identity.ConnectionID `json:"connection,omitempty"`

	RequestID identity.RequestID `json:"request_id,omitempty"`
	Method    string             `json:"method,omitempty"`
	Host      string             `json:"host,omitempty"`
	Path      string             `json:"path,omitempty"`
	Route     string             `json:"route,omitempty"`
	IP        netip.Addr         `json:"ip,omitzero"`
	UserAgent string             `json:"user_agent,omitempty"`

	// Permission ("alerts:read"), Team, Role and PolicyVersion tell how an
	// access decision came about.
	Permission    string `json:"permission,omitempty"`
	Team          string `json:"team,omitempty"`
	Role          string `json:"role,omitempty"`
	PolicyVersion uint64 `json:"policy_version,omitempty"`

	// Count is how many alike refusals without records of their own this one
	// stands for, when a flood of anonymous ones was taken together (see
	// [Refusals]); 0 is one event.
	Count int64 `json:"count,omitempty"`
	// Details holds what is special to the type, under keys that the type's
	// classification lists; the journal leaves out any other key.
	Details map[string]string `json:"details,omitempty"`
}

// Receipt proves that a record is in the journal. Only the journal can make a
// valid one; whoever needs the proof (the forwarding stage) takes it by value
// and refuses the zero value.
type Receipt struct {
	event   identity.EventID
	tenant  identity.TenantID
	request identity.RequestID
	seq     uint64
}

// Valid reports whether the receipt came from the journal.
func (r Receipt) Valid() bool { return r.event != "" }

// Event is the id of the record, for the person to quote and the admin to find.
func (r Receipt) Event() identity.EventID { return r.event }

// Tenant is whose journal holds the record.
func (r Receipt) Tenant() identity.TenantID { return r.tenant }

// Request is the request that the record is about, if it is about one.
func (r Receipt) Request() identity.RequestID { return r.request }
