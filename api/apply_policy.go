package api

import (
	"context"
	"slices"

	"gatehouse/api/resources"
	"gatehouse/authz"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

func (r *application) team(ctx context.Context, tenant identity.TenantID, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.TeamSpec](d)
	if err != nil {
		return "", err
	}
	if spec.DisplayName == "" {
		spec.DisplayName = d.Name
	}
	all, err := r.api.cfg.People.Teams(ctx, tenant)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(t directory.Team) bool { return t.Name == d.Name })
	switch {
	case at < 0 && r.dry:
		r.planned[d.Tenant+"/"+d.Name] = true
		return created, nil
	case at < 0:
		_, err := r.api.cfg.People.CreateTeam(ctx, r.call.cause, tenant, directory.Team{Name: d.Name, DisplayName: spec.DisplayName})
		return created, err
	case all[at].DisplayName == spec.DisplayName:
		return unchanged, nil
	case r.dry:
		return changed, nil
	}
	_, err = r.api.cfg.People.UpdateTeam(ctx, r.call.cause, tenant, all[at].ID, 0, func(t *directory.Team) error {
		t.DisplayName = spec.DisplayName
		return nil
	})
	return changed, err
}

func (r *application) role(ctx context.Context, tenant identity.TenantID, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.RoleSpec](d)
	if err != nil {
		return "", err
	}
	current, err := r.api.role(ctx, tenant, d.Name)
	missing := fault.Is(err, fault.NotFound)
	if err != nil && !missing {
		return "", err
	}
	if !missing && current.Description == spec.Description && slices.Equal(current.Permissions, spec.Permissions) {
		return unchanged, nil
	}
	wanted := authz.Role{Name: d.Name, Description: spec.Description, Permissions: spec.Permissions}
	if r.own(tenant) {
		if err := r.api.mayDefine(ctx, r.call, wanted, current); err != nil {
			return "", err
		}
	}
	if !r.dry {
		if _, err := r.api.cfg.Policy.PutRole(ctx, r.call.cause, tenant, wanted, 0); err != nil {
			return "", err
		}
	}
	if missing {
		return created, nil
	}
	return changed, nil
}

// assignment gives a role; authz replaces an assignment of the same name.
func (r *application) assignment(ctx context.Context, tenant identity.TenantID, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.AssignmentSpec](d)
	if err != nil {
		return "", err
	}
	if r.dry && r.planned[d.Tenant+"/"+spec.Team] {
		return created, nil
	}
	wanted, err := r.api.assignmentFrom(ctx, tenant, d.Name, spec)
	if err != nil {
		return "", err
	}
	all, err := r.api.cfg.Policy.Assignments(ctx, tenant)
	if err != nil {
		return "", err
	}
	named := func(x authz.Assignment) bool { return x.Name == d.Name }
	at := slices.IndexFunc(all, named)
	if r.own(tenant) {
		if err := r.api.cfg.Policy.MayGrant(ctx, r.call.principal, tenant, wanted.Role, spec.Team); err != nil {
			return "", err
		}
		if err := r.api.mayMove(ctx, r.call, named); err != nil {
			return "", err
		}
	}
	if at >= 0 {
		same := all[at].Role == wanted.Role && all[at].Team == wanted.Team && all[at].User == wanted.User && all[at].Group == wanted.Group
		switch {
		case same:
			return unchanged, nil
		case r.dry:
			return changed, nil
		}
	} else if r.dry {
		return created, nil
	}
	if _, err := r.api.cfg.Policy.Assign(ctx, r.call.cause, tenant, wanted); err != nil {
		return "", err
	}
	if at >= 0 {
		return changed, nil
	}
	return created, nil
}
