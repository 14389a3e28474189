package identity

import "time"

// Kind says what sort of caller a [Principal] is.
type Kind string

const (
	// KindUser is a person with a session.
	KindUser Kind = "user"
	// KindAPIToken is a program with an API token of ours.
	KindAPIToken Kind = "api_token"
	// KindSCIMToken is an identity provider that pushes users and groups.
	KindSCIMToken Kind = "scim_token"
	// KindSync is the gateway itself, fetching users and groups from an identity
	// provider that does not push them. No request from outside is of this kind.
	KindSync Kind = "directory_sync"
	// KindService is a program that shows what somebody else has issued: a token of
	// an authorization server, or a client certificate.
	KindService Kind = "service"
	// KindIDP is an identity provider that tells of sign-outs.
	KindIDP Kind = "identity_provider"
	// KindOperator is whoever reaches the local admin socket: the operator's own
	// account on the machine is the authentication.
	KindOperator Kind = "operator"
	// KindSetupLink is whoever connects an identity provider by a link.
	KindSetupLink Kind = "setup_link"
	// KindSystem is the gateway itself, acting on a timer or at start.
	KindSystem Kind = "system"
	// KindAnonymous is a caller that has not shown who it is.
	KindAnonymous Kind = "anonymous"
)

// HoldsRole reports whether callers of this kind have the account-wide role that
// is in their [Principal], and no other.
func (k Kind) HoldsRole() bool { return k == KindAPIToken || k == KindService }

// Provisions reports whether callers of this kind bring users and groups, and take them
// out, for an identity provider: that is what they may do, and all.
func (k Kind) Provisions() bool { return k == KindSCIMToken || k == KindSync }

// An API or SCIM token of ours is the prefix, by which scanners for leaked
// secrets know one when they see it, and 32 random bytes in base64url (RFC 4648
// §5). Any other credential in Authorization is the app's own business.
const (
	TokenPrefix = "gh_"
	TokenLength = len(TokenPrefix) + 43
)

// The token of a session that a program on somebody's command line carries, where
// a browser has a cookie, is this prefix and 32 random bytes in base64url. It is
// longer than [TokenLength], so that no text is both.
const (
	ProgramTokenPrefix = TokenPrefix + "cli_"
	ProgramTokenLength = len(ProgramTokenPrefix) + 43
)

// Principal is the authenticated caller of one request, in one tenant. A nil
// *Principal is an anonymous caller. It is immutable once made and may be
// shared between requests.
type Principal struct {
	Kind   Kind
	Tenant TenantID
	// ID is the user's, the token's, the service's or the operator's id, by Kind.
	ID string
	// User, Session and Device are set for KindUser alone, and Connection for it and for
	// a KindSCIMToken that is bound to one.
	User       UserID
	Session    SessionID
	Device     DeviceID
	Connection ConnectionID
	// Program, for KindUser, is a session that a program shows in so many words, and
	// no browser by itself: what keeps other sites from using a cookie is not for it.
	Program bool
	// Email and Name are what is known of the person, or the token's or service's name.
	Email string
	Name  string
	// Role is the account-wide role of a token or service; a person's roles are
	// resolved by authz at the time of the decision, never kept here.
	Role string
	// Access is what a KindSCIMToken may use.
	Access Access
	// ByCertificate is set where a service was recognised by the certificate of its
	// connection: no field of the request has made it who it is.
	ByCertificate bool
	// Expires is when a token or certificate is no longer good; zero for whoever has
	// none.
	Expires time.Time
	// AuthTime is when the person last proved who they are, zero if that is not
	// known; AMR how (RFC 8176).
	AuthTime time.Time
	AMR      []string
	ACR      string
	// FactorTime is when the person last showed a second factor, zero if never.
	FactorTime time.Time
}

// Person is what the directory knows of a user at this moment: the part that
// decisions and the app's identity headers are made of.
type Person struct {
	ID       UserID
	UserName string
	Email    string
	Name     string
	Active   bool
	Groups   []Group
}

// MaxGroupDepth is how many groups above each other, beside the one that somebody is in
// by themselves, they are in as well. Whatever asks who is in a group goes by it.
const MaxGroupDepth = 16

// Group is a directory group as seen from a member.
type Group struct {
	ID       GroupID
	Name     string
	Indirect bool // the member is in it through other groups alone
}
