package api

import (
	"context"
	"iter"
	"net/http"
	"time"

	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// Config is what the API works on.
type Config struct {
	Callers     Callers
	Policy      Policy
	Journal     Journal
	Refusals    authz.Refusals
	Log         Log
	Sessions    Sessions
	People      People
	Brake       Brake
	Feed        Feed
	Webhooks    Webhooks
	Sender      Sender
	Google      Google
	Tenants     Tenants
	Connections Connections
	Trials      Trials
	SetupLinks  SetupLinks
	SAML        SAML
	OIDC        OIDC
	Tokens      Tokens
	Factors     Factors
	// LocalAccounts are of people who sign in by no identity provider.
	LocalAccounts LocalAccounts
	Services      Services
	Health        Health
	// SCIMRequests are what provisioning clients have sent.
	SCIMRequests SCIMRequests
	// Port is where the tenants' hosts are served, for links that are asked for over
	// the admin socket; 0 is that of https.
	Port int
}

// Callers answers who made a request. A nil principal is an anonymous caller;
// garbage where a proof should be is a fault of kind Unauthenticated.
type Callers interface {
	Caller(r *http.Request) (*identity.Principal, error)
}

// Policy decides and keeps who may do what.
type Policy interface {
	Decide(ctx context.Context, p *identity.Principal, q authz.Query) (authz.Permit, authz.Decision, error)
	Profile(ctx context.Context, p *identity.Principal) (*authz.Profile, error)
	// Held names the roles of a principal, account-wide and in teams.
	Held(ctx context.Context, p *identity.Principal) ([]string, error)
	Explain(ctx context.Context, tenant identity.TenantID, user identity.UserID, q authz.Query) (authz.Decision, error)
	// MayGrant and MayDefine refuse to let a caller give away, or write down, a
	// role that holds more than the caller has; team is a name or empty.
	MayGrant(ctx context.Context, p *identity.Principal, tenant identity.TenantID, role, team string) error
	MayDefine(ctx context.Context, p *identity.Principal, tenant identity.TenantID, role authz.Role) error
	Roles(ctx context.Context, tenant identity.TenantID) ([]authz.Role, error)
	PutRole(ctx context.Context, cause audit.Cause, tenant identity.TenantID, role authz.Role, ifVersion uint64) (authz.Role, error)
	DeleteRole(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error
	Assignments(ctx context.Context, tenant identity.TenantID) ([]authz.Assignment, error)
	Assign(ctx context.Context, cause audit.Cause, tenant identity.TenantID, assignment authz.Assignment) (authz.Assignment, error)
	Unassign(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id string) error
}

// Journal records access decisions and refusals before their effect.
type Journal interface {
	audit.Recorder
	Write(ctx context.Context, e *audit.Event) (audit.Receipt, error)
	All(ctx context.Context, tenant identity.TenantID) iter.Seq2[audit.Event, error]
}

// Log searches what the journal holds.
type Log interface {
	// Verify checks that the journal in this node's folder is as it was written.
	Verify(ctx context.Context, tenant identity.TenantID) (audit.Report, error)
	Search(ctx context.Context, tenant identity.TenantID, filter audit.Filter) (audit.Page, error)
	Access(ctx context.Context, tenant identity.TenantID, filter audit.Filter) (audit.Page, error)
	ByID(ctx context.Context, tenant identity.TenantID, id identity.EventID) (audit.Event, error)
	// Subscribe gives what comes into the log of all nodes, in its order, Locate where
	// in that order an event is, and After what comes behind.
	Subscribe(ctx context.Context, tenant identity.TenantID) (events <-chan audit.Indexed, cancel func(), err error)
	Locate(ctx context.Context, tenant identity.TenantID, id identity.EventID) (audit.Indexed, error)
	After(ctx context.Context, tenant identity.TenantID, position uint64) iter.Seq2[audit.Indexed, error]
}

// Sessions lists and ends sessions and devices.
type Sessions interface {
	List(ctx context.Context, tenant identity.TenantID, filter sessions.Filter) ([]sessions.Session, string, error)
	Get(ctx context.Context, tenant identity.TenantID, id identity.SessionID) (sessions.Session, error)
	Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, which sessions.Selector, reason string) (sessions.Revocation, error)
	Devices(ctx context.Context, tenant identity.TenantID, filter sessions.DeviceFilter) ([]sessions.Device, string, error)
	NewDevices(ctx context.Context, p *identity.Principal, since time.Time) ([]sessions.Device, error)
	Device(ctx context.Context, tenant identity.TenantID, id identity.DeviceID) (sessions.Device, error)
	UpdateDevice(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.DeviceID, change func(*sessions.Device) error) (sessions.Device, error)
	// Open counts the live requests and streams of each session.
	Open(tenant identity.TenantID) map[identity.SessionID]int
}

// People is the directory.
type People interface {
	Person(ctx context.Context, tenant identity.TenantID, id identity.UserID) (identity.Person, error)
	User(ctx context.Context, tenant identity.TenantID, id identity.UserID) (directory.User, error)
	Users(ctx context.Context, tenant identity.TenantID, query directory.UserQuery) (directory.UserPage, error)
	CreateUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, u directory.User) (directory.User, error)
	UpdateUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64, change func(*directory.User) error) (directory.User, error)
	DeleteUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID, ifVersion uint64) error
	// FormerUsers are those who are deleted and kept a record of.
	FormerUsers(ctx context.Context, tenant identity.TenantID, query directory.FormerQuery) (directory.FormerPage, error)
	FormerUser(ctx context.Context, tenant identity.TenantID, id identity.UserID) (directory.FormerUser, error)
	EraseFormerUser(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.UserID) error
	// Identities are what a person signs in by at identity providers. Unlink does not end
	// sessions; it may be done although there is an error.
	Identities(ctx context.Context, tenant identity.TenantID, user identity.UserID) ([]directory.Identity, error)
	Link(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, by directory.Namer, connection identity.ConnectionID, subject string) error
	Unlink(ctx context.Context, cause audit.Cause, tenant identity.TenantID, user identity.UserID, connection identity.ConnectionID, subject string) (unlinked bool, err error)
	Find(ctx context.Context, tenant identity.TenantID, query directory.Query) (directory.Page, error)
	Groups(ctx context.Context, tenant identity.TenantID, query directory.GroupQuery) (directory.GroupPage, error)
	Group(ctx context.Context, tenant identity.TenantID, id identity.GroupID, withMembers bool) (directory.Group, error)
	Members(ctx context.Context, tenant identity.TenantID, query directory.MemberQuery) (directory.MemberPage, error)
	Sizes(ctx context.Context, tenant identity.TenantID, groups []identity.GroupID, most int) (map[identity.GroupID]directory.Size, error)
	Nestings(ctx context.Context, tenant identity.TenantID) ([]directory.Nesting, error)
	CreateGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, g directory.Group) (directory.Group, error)
	UpdateGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64, edit func(*directory.Group, *directory.MemberChange) error) (directory.Group, error)
	DeleteGroup(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.GroupID, ifVersion uint64) error
	// DropRules and DropConnection take people out of the groups into which the rules of
	// a connection have put them, save those still ruled, or the connection that goes.
	DropRules(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection identity.ConnectionID, still []string) error
	DropConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection identity.ConnectionID) error
	Teams(ctx context.Context, tenant identity.TenantID) ([]directory.Team, error)
	Team(ctx context.Context, tenant identity.TenantID, id identity.TeamID) (directory.Team, error)
	CreateTeam(ctx context.Context, cause audit.Cause, tenant identity.TenantID, team directory.Team) (directory.Team, error)
	UpdateTeam(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TeamID, ifVersion uint64, change func(*directory.Team) error) (directory.Team, error)
	DeleteTeam(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TeamID, ifVersion uint64) error
}

// Tenants keeps the tenants themselves.
type Tenants interface {
	ByID(id identity.TenantID) (*tenants.Tenant, bool)
	ByName(name string) (*tenants.Tenant, bool)
	List() []*tenants.Tenant
	Create(ctx context.Context, cause audit.Cause, t tenants.Tenant) (*tenants.Tenant, error)
	Update(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64, change func(*tenants.Tenant) error) (*tenants.Tenant, error)
	// CheckImage looks whether an image may be a logo, and LogoImage gives the one that
	// is; NotFound if there is none.
	CheckImage(ctx context.Context, image []byte) (tenants.Image, error)
	LogoImage(ctx context.Context, id identity.TenantID) (tenants.Logo, []byte, error)
	// SetLogo keeps an image as the tenant's logo; an empty one takes it away.
	SetLogo(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64, image []byte) (*tenants.Tenant, error)
	Delete(ctx context.Context, cause audit.Cause, id identity.TenantID, ifVersion uint64) error
}

// Connections keeps how a tenant's people sign in.
type Connections interface {
	Connections(ctx context.Context, tenant identity.TenantID) ([]tenants.Connection, error)
	Connection(ctx context.Context, tenant identity.TenantID, name string) (tenants.Connection, error)
	PutConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, connection tenants.Connection) (tenants.Connection, error)
	DeleteConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error
	ConnectionByID(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) (tenants.Connection, error)
	Domains(ctx context.Context, tenant identity.TenantID) ([]tenants.Domain, error)
	Domain(ctx context.Context, tenant identity.TenantID, name string) (tenants.Domain, error)
	PutDomain(ctx context.Context, cause audit.Cause, tenant identity.TenantID, d tenants.Domain) (tenants.Domain, error)
	// VerifyDomain asks the DNS whether the tenant's people run the domain.
	VerifyDomain(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string) (tenants.Domain, error)
	DeleteDomain(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error
}

// Trials prepares tests of connections.
type Trials interface {
	// Test gives the address on the tenant's host at which a test begins, and until when
	// it can; people is whether it may show who is known here.
	Test(ctx context.Context, by audit.Actor, tenant identity.TenantID, c tenants.Connection, people bool) (path string, until time.Time, err error)
}

// SetupLinks keeps the links by which organisations connect their providers
// themselves.
type SetupLinks interface {
	// Create answers with the link and the address on the tenant's host, which is kept
	// nowhere.
	Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, l SetupLink, life time.Duration) (SetupLink, string, error)
	List(ctx context.Context, tenant identity.TenantID) ([]SetupLink, error)
	Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id string) error
}

// SetupLink is a way to set up one connection, without what stands in it.
type SetupLink struct {
	ID            string              `json:"id"`
	Connection    string              `json:"connection" doc:"The name that the connection will have"`
	DisplayName   string              `json:"display_name,omitempty"`
	DefaultRole   string              `json:"default_role,omitempty"`
	Link          tenants.LinkRule    `json:"link,omitempty"`
	UnknownPeople tenants.UnknownRule `json:"unknown_people,omitempty"`
	CreatedBy     string              `json:"created_by"`
	CreatedAt     time.Time           `json:"created_at"`
	BegunAt       *time.Time          `json:"begun_at,omitempty" doc:"When a browser began with it: it is good in that one alone since"`
	ExpiresAt     time.Time           `json:"expires_at"`
}

// Tokens makes and revokes API and SCIM tokens.
type Tokens interface {
	// Create answers with the token and its secret, which is kept nowhere.
	Create(ctx context.Context, cause audit.Cause, tenant identity.TenantID, token Token) (Token, string, error)
	List(ctx context.Context, tenant identity.TenantID) ([]Token, error)
	Find(ctx context.Context, tenant identity.TenantID, id identity.TokenID) (Token, error)
	Revoke(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID) error
	// Rotate answers as Create does; an overlap of 0 is the default.
	Rotate(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, overlap time.Duration, expires time.Time) (Token, string, error)
	TakeOver(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.TokenID, by identity.UserID) (Token, error)
	// EndConnection ends what tokens of a connection have open that has been disabled, and
	// DropConnection the tokens.
	EndConnection(ctx context.Context, tenant identity.TenantID, id identity.ConnectionID) error
	DropConnection(ctx context.Context, cause audit.Cause, tenant identity.TenantID, id identity.ConnectionID) error
}

// The kinds of a [Token].
const (
	PlainToken  = "token"
	ClientToken = "client"
)

// Token is what may be known of a token once it is made: everything but its
// secret.
type Token struct {
	ID           identity.TokenID      `json:"id"`
	Kind         string                `json:"kind" enum:"token,client" doc:"client: the secret of an OAuth client, which gets access tokens by it"`
	Name         string                `json:"name"`
	Scope        string                `json:"scope" enum:"api,scim"`
	Role         string                `json:"role,omitempty" doc:"Account-wide role of an API token"`
	ClientID     string                `json:"client_id,omitempty" doc:"Of an OAuth client; it stays the same when the secret is rotated"`
	ConnectionID identity.ConnectionID `json:"connection_id,omitempty" doc:"The connection that a SCIM token is of: it is good while that is enabled, and ends with it"`
	Connection   string                `json:"connection,omitempty" doc:"Its name"`
	Access       []string              `json:"access,omitempty" doc:"What of SCIM it may use; absent: all"`
	CreatedBy    string                `json:"created_by,omitempty"`
	Owner        identity.UserID       `json:"owner,omitempty" doc:"The person with whom an API token ends; absent: it ends with nobody"`
	CreatedAt    time.Time             `json:"created_at"`
	ExpiresAt    *time.Time            `json:"expires_at,omitempty"`
	UsedAt       *time.Time            `json:"last_used_at,omitempty"`
	RevokedAt    *time.Time            `json:"revoked_at,omitempty"`
	Successor    identity.TokenID      `json:"successor,omitempty" doc:"The token that takes its place; this one ends with the overlap"`
}
