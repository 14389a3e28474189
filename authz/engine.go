package authz

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// Stores hands out the tenants' data.
type Stores interface {
	Tenant(id identity.TenantID) store.Tenant
}

// People knows who somebody is at this moment.
type People interface {
	// Person gives a person with their groups; a fault of kind NotFound if there
	// is none.
	Person(ctx context.Context, tenant identity.TenantID, id identity.UserID) (identity.Person, error)
	// Version changes with every change of the tenant's people, groups and teams,
	// and before a read could see it.
	Version(tenant identity.TenantID) uint64
}

// Config is what an [Engine] works with.
type Config struct {
	Store   Stores
	Journal audit.Recorder
	People  People
	// MaxTenants bounds how many tenants' policies are kept in memory; default
	// 512. The one not used for longest is dropped, and read again when needed.
	MaxTenants int
	// Announce tells the other nodes that a tenant's policy has changed, and returns
	// once they have taken it in (a new Version of its People). Where nothing has changed now, it does
	// so only if an earlier announcement failed. Nil: there are none.
	Announce func(ctx context.Context, tenant identity.TenantID, changed bool) error
}

const defaultMaxTenants = 512

// Engine decides who may do what, for every tenant. It is safe for concurrent
// use and has nothing to close.
type Engine struct {
	store   Stores
	journal audit.Recorder
	people  People

	announce func(context.Context, identity.TenantID, bool) error

	mu         sync.RWMutex
	views      map[identity.TenantID]*view
	maxTenants int
	clock      atomic.Uint64 // counts the policies that were built

	turns store.Turns // one tenant's loads and changes go one after the other
}

// view is a policy together with the state of the directory that decisions
// were made by.
type view struct {
	*policy
	directory uint64
	places    map[string]string // of the teams, by name
	teamNames map[identity.TeamID]string
	decisions *memory[decisionKey, Decision]
	held      *memory[holderKey, []string]
	used      atomic.Uint64 // the engine's clock when it was last asked
}

// New makes an engine.
func New(c Config) *Engine {
	if c.MaxTenants <= 0 {
		c.MaxTenants = defaultMaxTenants
	}
	if c.Announce == nil {
		c.Announce = func(context.Context, identity.TenantID, bool) error { return nil }
	}
	return &Engine{store: c.Store, journal: c.Journal, people: c.People, announce: c.Announce, maxTenants: c.MaxTenants,
		views: map[identity.TenantID]*view{}}
}

// Version changes whenever what is decided for the tenant might: with its
// policy and with its directory. It means nothing outside this process; the
// policy's own number is in [Decision].
func (e *Engine) Version(tenant identity.TenantID) uint64 {
	directory := e.people.Version(tenant)
	if v := e.view(tenant); v != nil {
		return combine(v.stamp, directory)
	}
	return combine(0, directory)
}

// combine puts two counters into one number. Each would have to go round once,
// four billion changes, for a mistake.
func combine(stamp, directory uint64) uint64 { return stamp<<32 | directory&(1<<32-1) }

// Refresh reads what is in memory of a tenant anew if it has changed, so that it is
// at hand while SQL is away.
func (e *Engine) Refresh(ctx context.Context, tenant identity.TenantID) error {
	if e.view(tenant) == nil {
		return nil
	}
	_, err := e.current(ctx, tenant)
	return err
}

// Forget drops what is in memory of a tenant that was deleted. It waits for a
// load under way, as long as one waits for anything here.
func (e *Engine) Forget(tenant identity.TenantID) {
	if done, err := e.turns.Take(context.Background(), tenant); err == nil {
		defer done()
	}
	e.drop(tenant)
}

// Decide answers a query. The permit is valid exactly when the decision
// allows; with an error there is neither, and nothing may be forwarded.
// Decisions are remembered as long as policy and directory stay the same.
func (e *Engine) Decide(ctx context.Context, p *identity.Principal, q Query) (Permit, Decision, error) {
	d, settled := settle(p, q)
	if !settled {
		v, err := e.current(ctx, q.Tenant)
		if err != nil {
			return Permit{}, Decision{}, err
		}
		k := decisionKey{kind: p.Kind, id: p.ID, role: p.Role, access: q.Access, permission: q.Permission, where: v.where(q)}
		var known bool
		if d, known = v.decisions.get(k); !known {
			if d, _, err = e.evaluate(ctx, v, p, q); err != nil {
				return Permit{}, Decision{}, err
			}
			v.decisions.put(k, d)
		}
	}
	if d.Allowed && q.MaxAge > 0 {
		d = recent(d, p, q.MaxAge) // never remembered: it changes by itself
	}
	if d.Allowed && q.FactorAge > 0 {
		d = shown(d, p, q.FactorAge) // nor is this
	}
	return Permit{tenant: q.Tenant, ok: d.Allowed}, d, nil
}

// recent refuses what is allowed to somebody who has not authenticated within
// this time.
func recent(d Decision, p *identity.Principal, within time.Duration) Decision {
	switch {
	case p == nil || p.Kind != identity.KindUser:
		d.Allowed, d.Reason, d.Message = false, ReasonNotAPerson, "The route asks for a recent authentication, and only a person has one."
	case p.AuthTime.IsZero():
		d.Allowed, d.Reason, d.Message = false, ReasonTooOld, "The identity provider has not said when the person authenticated."
	case time.Since(p.AuthTime) >= within:
		d.Allowed, d.Reason, d.Message = false, ReasonTooOld,
			"The person authenticated at "+p.AuthTime.UTC().Format(time.RFC3339)+", more than "+within.String()+" ago."
	}
	return d
}

// shown refuses what is allowed to somebody who has not shown a second factor
// within this time.
func shown(d Decision, p *identity.Principal, within time.Duration) Decision {
	switch {
	case p == nil || p.Kind != identity.KindUser:
		d.Allowed, d.Reason, d.Message = false, ReasonNotAPerson, "The route asks for a second factor, and only a person has one."
	case p.FactorTime.IsZero():
		d.Allowed, d.Reason, d.Message = false, ReasonNoFactor, "The person has not shown a second factor."
	case time.Since(p.FactorTime) >= within:
		d.Allowed, d.Reason, d.Message = false, ReasonNoFactor,
			"The person has shown a second factor at "+p.FactorTime.UTC().Format(time.RFC3339)+", more than "+within.String()+" ago."
	}
	return d
}

// settle decides what needs neither policy nor directory.
func settle(p *identity.Principal, q Query) (Decision, bool) {
	switch {
	case q.Tenant == "":
		return refused(ReasonWrongTenant, "The query names no tenant."), true
	case p == nil || p.Kind == identity.KindAnonymous:
		if q.Access == Public {
			return Decision{Allowed: true, Reason: ReasonPublic, Message: "The route is open to everybody."}, true
		}
		return refused(ReasonAnonymous, "Nobody is signed in."), true
	case p.Kind == identity.KindOperator || p.Kind == identity.KindSystem:
		return Decision{Allowed: true, Reason: ReasonOperator, Message: "The operator of the gateway may do everything."}, true
	case p.Tenant != q.Tenant:
		return refused(ReasonWrongTenant, "The caller belongs to another organisation."), true
	case q.Access == Public:
		return Decision{Allowed: true, Reason: ReasonPublic, Message: "The route is open to everybody."}, true
	}
	return Decision{}, false
}

func refused(reason, message string) Decision { return Decision{Reason: reason, Message: message} }

// evaluate decides by policy and directory, without looking at what is
// remembered.
func (e *Engine) evaluate(ctx context.Context, v *view, p *identity.Principal, q Query) (Decision, match, error) {
	subjects, d, err := e.subjects(ctx, v, p)
	d.PolicyVersion = v.version
	switch {
	case err != nil:
		return Decision{}, match{}, err
	case d.Reason != "":
		return d, match{}, nil
	case p.Kind.Provisions():
		if q.Access == NeedPermission && q.Permission.Object == scimObject {
			d.Allowed, d.Reason, d.Via, d.Message = true, ReasonSCIM, "token", "A SCIM token provisions people and groups."
			return d, match{}, nil
		}
		d.Reason, d.Message = ReasonNoRole, "A SCIM token is for provisioning people and groups alone."
		return d, match{}, nil
	case q.Access == NeedSignIn:
		d.Allowed, d.Reason, d.Message = true, ReasonSignedIn, "The route is open to everybody who is signed in."
		return d, match{}, nil
	case q.Access != NeedPermission, q.Permission.Object == platformObject && q.Tenant != identity.Platform:
		d.Reason, d.Message = ReasonNoRole, "No role of an organisation reaches this."
		return d, match{}, nil
	}
	m, ok, err := v.allows(subjects, v.where(q), q.Permission)
	if err != nil {
		return Decision{}, match{}, err
	}
	if !ok {
		d.Reason, d.Message = ReasonNoRole, "No role allows "+q.Permission.String()+v.locate(q)+"."
		return d, match{}, nil
	}
	d.Allowed, d.Reason, d.Role, d.Via = true, ReasonRole, m.role, m.via
	d.Message = "The role " + m.role + " allows " + q.Permission.String() + v.locate(q) + "."
	return d, m, nil
}

// locate says where a query asks. Unknown teams share one remembered decision,
// so their names, which callers choose, are not in it.
func (v *view) locate(q Query) string {
	switch v.where(q) {
	case atAccount:
		return ""
	case atTeam:
		return " in every team"
	default:
		return " in team " + q.Team
	}
}

// subjects are the keys by which the caller can have roles; a decision with a
// reason instead if there is no such caller.
func (e *Engine) subjects(ctx context.Context, v *view, p *identity.Principal) ([]subject, Decision, error) {
	switch p.Kind {
	case identity.KindUser:
		person, err := e.people.Person(ctx, p.Tenant, p.User)
		switch {
		case fault.Is(err, fault.NotFound) || err == nil && !person.Active:
			d := refused(ReasonInactive, "The person is deactivated or gone.")
			d.Subject = cmp.Or(person.Email, person.UserName)
			return nil, d, nil
		case err != nil:
			return nil, Decision{}, err
		}
		return subjectsOf(person), Decision{Subject: cmp.Or(person.Email, person.UserName)}, nil
	case identity.KindAPIToken, identity.KindService:
		via := "token"
		if p.Kind == identity.KindService {
			via = "service"
		}
		role, ok := v.roles[p.Role]
		if !ok || role.teamOnly() {
			return nil, refused(ReasonNoRole, "The "+via+"'s role does not exist, or is for teams alone."), nil
		}
		return []subject{{key: subjectRole(p.Role), via: via, id: p.ID}}, Decision{}, nil
	case identity.KindSCIMToken, identity.KindSync:
		return nil, Decision{}, nil
	default:
		return nil, refused(ReasonNoRole, "A caller of this kind has no roles."), nil
	}
}

// subjectsOf puts the person first and then the groups by name, so that the
// reason of a decision does not depend on chance.
func subjectsOf(person identity.Person) []subject {
	all := []subject{{key: subjectUser(person.ID), via: "user", id: string(person.ID)}}
	groups := slices.SortedFunc(slices.Values(person.Groups), func(a, b identity.Group) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	for _, g := range groups {
		all = append(all, subject{key: subjectGroup(g.ID), via: g.Name, id: string(g.ID)})
	}
	return all
}

// where is the place that a query asks about.
func (v *view) where(q Query) string {
	if q.Team == "" || q.Permission.Own() {
		return atAccount
	}
	if place, ok := v.places[q.Team]; ok {
		return place
	}
	return atTeam
}
