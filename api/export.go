package api

import (
	"context"

	"gatehouse/api/resources"
	"gatehouse/directory"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

type exportResult struct {
	Documents []resources.Document `json:"documents"`
}

// export gives what apply takes, without secrets: applied to the same gateway
// it changes nothing.
func (a *API) export(ctx context.Context, c *call, in *struct {
	Tenant string `query:"tenant" maxLength:"64" doc:"Name or id of one tenant; absent: all"`
}) (*bodyOutput[exportResult], error) {
	chosen := a.cfg.Tenants.List()
	if in.Tenant != "" {
		one, err := a.named(in.Tenant)
		if err != nil {
			return nil, err
		}
		chosen = []*tenants.Tenant{one}
	}
	whole, err := a.may(ctx, c, writes("tenants"))
	if err != nil {
		return nil, err
	}
	documents := []resources.Document{}
	for _, t := range chosen {
		if t.ID == identity.Platform || t.Status == tenants.Deleting {
			continue // the operators' own tenant comes from the config file
		}
		of, err := a.documentsOf(ctx, t, whole)
		if err != nil {
			return nil, err
		}
		documents = append(documents, of...)
	}
	return &bodyOutput[exportResult]{exportResult{Documents: documents}}, nil
}

// documentsOf gives those of one tenant: whole, or without what only those see who may
// change it.
func (a *API) documentsOf(ctx context.Context, t *tenants.Tenant, whole bool) ([]resources.Document, error) {
	var documents []resources.Document
	add := func(kind resources.Kind, tenant, name string, spec any) error {
		d, err := resources.New(kind, tenant, name, spec)
		documents = append(documents, d)
		return err
	}
	logo, err := a.logoOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := add(resources.KindTenant, "", t.Name, resources.TenantSpec{Hosts: t.Hosts, DisplayName: t.DisplayName, Settings: t.Settings, Logo: logo}); err != nil {
		return nil, err
	}
	connections, err := a.cfg.Connections.Connections(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range connections {
		if err := add(resources.KindConnection, t.Name, c.Name, resources.SpecOfConnection(c)); err != nil {
			return nil, err
		}
	}
	teams, err := a.cfg.People.Teams(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, team := range teams {
		if err := add(resources.KindTeam, t.Name, team.Name, resources.TeamSpec{DisplayName: team.DisplayName}); err != nil {
			return nil, err
		}
	}
	roles, err := a.cfg.Policy.Roles(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		if r.BuiltIn {
			continue
		}
		if err := add(resources.KindRole, t.Name, r.Name, resources.RoleSpec{Description: r.Description, Permissions: r.Permissions}); err != nil {
			return nil, err
		}
	}
	assignments, names, err := a.assignments(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, x := range assignments {
		spec := resources.AssignmentSpec{Role: x.Role, Team: names[x.Team]}
		if x.User != "" {
			var u directory.User
			u, err = a.cfg.People.User(ctx, t.ID, x.User)
			spec.User = u.UserName
		} else {
			var g directory.Group
			g, err = a.cfg.People.Group(ctx, t.ID, x.Group, false)
			spec.Group = g.DisplayName
		}
		if fault.Is(err, fault.NotFound) {
			continue // deleted since the assignments were read
		}
		if err != nil {
			return nil, err
		}
		if err := add(resources.KindAssignment, t.Name, x.Name, spec); err != nil {
			return nil, err
		}
	}
	services, err := a.cfg.Services.All(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, m := range services {
		if err := add(resources.KindService, t.Name, m.Name, resources.SpecOfService(m)); err != nil {
			return nil, err
		}
	}
	webhooks, err := a.cfg.Webhooks.Webhooks(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, w := range webhooks {
		if !whole {
			w = w.Veiled()
		}
		if err := add(resources.KindWebhook, t.Name, w.Name, resources.SpecOfWebhook(w)); err != nil {
			return nil, err
		}
	}
	sync, err := a.cfg.Google.Status(ctx, t.ID)
	if fault.Is(err, fault.NotFound) {
		return documents, nil
	}
	if err != nil {
		return nil, err
	}
	err = add(resources.KindGoogleSync, t.Name, resources.GoogleSyncName, resources.SpecOfGoogleSync(sync))
	return documents, err
}
