package authz

import (
	"time"

	"gatehouse/identity"
)

// Access is what a route asks of its caller.
type Access uint8

const (
	// NeedPermission is the zero value: a route that says nothing asks for the most.
	NeedPermission Access = iota
	// NeedSignIn lets every signed-in person of the tenant through.
	NeedSignIn
	// Public lets everybody through.
	Public
)

// Query is one question: may this principal do this, here?
type Query struct {
	Tenant     identity.TenantID
	Access     Access
	Permission Permission // with NeedPermission
	Team       string     // the team's name, or empty: account-level
	// MaxAge, if set, is how long ago the caller may have authenticated.
	MaxAge time.Duration
	// FactorAge, if set, is how long ago the caller may have shown a second factor.
	FactorAge time.Duration
}

// The reasons of decisions: stable codes for the log and for programs.
const (
	ReasonPublic      = "public"       // the route is for everybody
	ReasonSignedIn    = "signed-in"    // the route is for everybody signed in
	ReasonRole        = "role"         // a role allows it
	ReasonOperator    = "operator"     // the operator's admin socket, or the gateway itself
	ReasonSCIM        = "scim-token"   // what a SCIM token is for
	ReasonNoRole      = "no-role"      // no role allows it
	ReasonAnonymous   = "anonymous"    // nobody is signed in
	ReasonInactive    = "inactive"     // the person is deactivated or gone
	ReasonWrongTenant = "wrong-tenant" // the caller belongs to another tenant
	ReasonNoRoute     = "no-route"     // no route covers the path: for callers of [Routes.Match]

	// ReasonTooOld: the person may do it, but has authenticated too long ago, or
	// nobody knows when.
	ReasonTooOld = "authentication-too-old"
	// ReasonNoFactor: the person may do it, but has not shown a second factor, or too
	// long ago.
	ReasonNoFactor = "second-factor-needed"
	// ReasonNotAPerson: only a person can have authenticated just now.
	ReasonNotAPerson = "not-a-person"
)

// Decision is the answer with its reason.
type Decision struct {
	Allowed bool
	Reason  string // one of the Reason codes
	// Message is one sentence for the admin who looks the decision up.
	Message       string
	Role          string // the role that allowed it
	Via           string // "user", "token", or the name of the group that the role came by
	PolicyVersion uint64
	// Subject is what records call the person: the email, as the directory knows
	// it now. Empty where the caller carries a name, or none was looked up.
	Subject string
	// Chain leads from the person to the permission that allowed it; only
	// [Engine.Explain] fills it.
	Chain []Link
}

// Link is one step of an explanation.
type Link struct {
	Kind string // user, group, assignment, role, permission
	ID   string // where the step has one
	Name string
}

// Permit proves that a query was allowed. Only this package makes a valid one;
// the forwarding stage takes it by value and refuses the zero value.
type Permit struct {
	tenant identity.TenantID
	ok     bool
}

// Valid reports whether the permit was issued for this tenant.
func (p Permit) Valid(tenant identity.TenantID) bool { return p.ok && p.tenant == tenant }

// Profile is what a principal is at this moment, as the app is told: names of
// account-wide roles, of groups, and of teams with the roles there.
type Profile struct {
	Person identity.Person
	Roles  []string
	Teams  []TeamRoles
	// Version changes whenever policy or directory change for the tenant; a
	// profile may be kept as long as Engine.Version still answers the same.
	Version uint64
}

// TeamRoles are the roles a person has in one team.
type TeamRoles struct {
	Team  string
	Roles []string
}
