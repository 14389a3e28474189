package authz

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"gatehouse/identity"
)

//go:embed model.conf
var modelText string

// policy is one version of a tenant's roles and assignments. It never changes:
// a change makes another beside it, so that nobody waits and no enforcer is
// read while it is written.
type policy struct {
	tenant      identity.TenantID
	version     uint64 // of the policy_versions table
	stamp       uint64 // unique in this process, never 0
	roles       map[string]Role
	assignments []Assignment
	bySubject   map[string][]Assignment
	enforcer    *casbin.Enforcer
}

// newPolicy builds the enforcer for the tenant's own roles and assignments;
// the built-in roles are added here.
func newPolicy(tenant identity.TenantID, version uint64, own []Role, assignments []Assignment) (*policy, error) {
	p := &policy{tenant: tenant, version: version, roles: map[string]Role{}, assignments: assignments, bySubject: map[string][]Assignment{}}
	m, err := model.NewModelFromString(modelText)
	if err != nil {
		return nil, fmt.Errorf("authz: model: %w", err)
	}
	if p.enforcer, err = casbin.NewEnforcer(m); err != nil {
		return nil, fmt.Errorf("authz: enforcer: %w", err)
	}
	p.enforcer.AddFunction("covers", both(covers))
	p.enforcer.AddFunction("reaches", both(reaches))

	var rules, links [][]string
	for _, r := range slices.Concat(builtIn, own) {
		if b, ok := builtInRole(r.Name); ok {
			r = b
		}
		p.roles[r.Name] = r
		for _, text := range r.Permissions {
			g, err := parseGrant(text)
			if err != nil {
				return nil, fmt.Errorf("authz: role %s: %w", r.Name, err)
			}
			rules = append(rules, []string{subjectRole(r.Name), g.reach, g.Object, g.Action})
		}
	}
	for _, a := range assignments {
		p.bySubject[a.subject()] = append(p.bySubject[a.subject()], a)
		links = append(links, []string{a.subject(), subjectRole(a.Role), a.where()})
	}
	// The Ex forms leave out what is there already.
	if _, err := p.enforcer.AddPoliciesEx(rules); err != nil {
		return nil, fmt.Errorf("authz: permissions: %w", err)
	}
	if len(links) > 0 {
		if _, err := p.enforcer.AddGroupingPoliciesEx(links); err != nil {
			return nil, fmt.Errorf("authz: assignments: %w", err)
		}
	}
	return p, nil
}

// both makes a function of two strings one of Casbin's.
func both(f func(a, b string) bool) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if len(args) == 2 {
			a, okA := args[0].(string)
			b, okB := args[1].(string)
			if okA && okB {
				return f(a, b), nil
			}
		}
		return false, fmt.Errorf("authz: the model hands over %v, not two strings", args)
	}
}

// subject is one key by which a caller can have roles.
type subject struct {
	key string
	via string // for the reason: "user", "token", or the group's name
	id  string
}

// match is the permission that allowed something, and whose it was.
type match struct {
	subject
	role string
	text string // as it stands in the role
}

// allows asks Casbin for each subject in turn, until one is allowed.
func (p *policy) allows(subjects []subject, where string, wanted Permission) (match, bool, error) {
	for _, s := range subjects {
		if len(p.bySubject[s.key]) == 0 && !strings.HasPrefix(s.key, subjectRole("")) {
			continue // has no role: no need to ask
		}
		ok, rule, err := p.enforcer.EnforceEx(s.key, where, wanted.Object, wanted.Action)
		if err != nil {
			return match{}, false, fmt.Errorf("authz: evaluate: %w", err)
		}
		if ok && len(rule) == 4 {
			m := match{subject: s, role: strings.TrimPrefix(rule[0], subjectRole("")), text: Permission{rule[2], rule[3]}.String()}
			if rule[1] != reachAny {
				m.text = rule[1] + "/" + m.text
			}
			return m, true, nil
		}
	}
	return match{}, false, nil
}
