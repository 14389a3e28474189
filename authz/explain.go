package authz

import (
	"context"
	"maps"
	"slices"

	"gatehouse/identity"
)

// Explain decides as [Engine.Decide] does for a person, without looking at what
// is remembered, and tells the chain that leads to the answer. No permit comes
// of it.
func (e *Engine) Explain(ctx context.Context, tenant identity.TenantID, user identity.UserID, q Query) (Decision, error) {
	p := &identity.Principal{Kind: identity.KindUser, Tenant: tenant, ID: string(user), User: user}
	if d, settled := settle(p, q); settled {
		return d, nil
	}
	v, err := e.current(ctx, tenant)
	if err != nil {
		return Decision{}, err
	}
	d, m, err := e.evaluate(ctx, v, p, q)
	if err != nil || m.role == "" {
		return d, err
	}
	person, err := e.people.Person(ctx, tenant, user)
	if err != nil {
		return Decision{}, err
	}
	d.Chain = []Link{{Kind: "user", ID: string(user), Name: person.UserName}}
	if m.via != "user" || m.id != string(user) {
		d.Chain = append(d.Chain, Link{Kind: "group", ID: m.id, Name: m.via})
	}
	where := v.where(q)
	for _, a := range v.bySubject[m.key] {
		if a.Role == m.role && (a.Team == "" || a.where() == where) {
			d.Chain = append(d.Chain, Link{Kind: "assignment", ID: a.ID, Name: a.Name})
			break
		}
	}
	d.Chain = append(d.Chain, Link{Kind: "role", Name: m.role}, Link{Kind: "permission", Name: m.text})
	return d, nil
}

// Profile tells who a principal is at this moment: what the app is told. A
// person who is gone or inactive has no roles.
func (e *Engine) Profile(ctx context.Context, p *identity.Principal) (*Profile, error) {
	v, err := e.current(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	profile := &Profile{Version: combine(v.stamp, v.directory)}
	if p.Kind != identity.KindUser {
		profile.Person = identity.Person{Name: p.Name, Active: true}
		if role, ok := v.roles[p.Role]; ok && p.Kind.HoldsRole() && !role.teamOnly() {
			profile.Roles = []string{p.Role}
		}
		return profile, nil
	}
	if profile.Person, err = e.people.Person(ctx, p.Tenant, p.User); err != nil {
		return nil, err
	}
	if !profile.Person.Active {
		return profile, nil
	}
	teams := map[string][]string{}
	for _, s := range subjectsOf(profile.Person) {
		for _, a := range v.bySubject[s.key] {
			if a.Team == "" {
				profile.Roles = append(profile.Roles, a.Role)
			} else if name, ok := v.teamNames[a.Team]; ok {
				teams[name] = append(teams[name], a.Role)
			}
		}
	}
	profile.Roles = distinct(profile.Roles)
	for _, name := range slices.Sorted(maps.Keys(teams)) {
		profile.Teams = append(profile.Teams, TeamRoles{Team: name, Roles: distinct(teams[name])})
	}
	return profile, nil
}

// Held gives the names of the roles that a principal has at this moment, be it
// account-wide or in any team, by themselves or through a group. A person who is
// gone or inactive has none. It is on the way of requests: what is remembered
// costs no allocation, and must not be changed.
func (e *Engine) Held(ctx context.Context, p *identity.Principal) ([]string, error) {
	v, err := e.current(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	k := holderKey{kind: p.Kind, id: p.ID, role: p.Role}
	if roles, ok := v.held.get(k); ok {
		return roles, nil
	}
	subjects, _, err := e.subjects(ctx, v, p)
	if err != nil {
		return nil, err
	}
	var roles []string
	if p.Kind.HoldsRole() {
		roles = append(roles, p.Role) // also one that does not exist: it may have networks
	}
	for _, s := range subjects {
		for _, a := range v.bySubject[s.key] {
			roles = append(roles, a.Role)
		}
	}
	roles = distinct(roles)
	v.held.put(k, roles)
	return roles, nil
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
