package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/api/resources"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// tenantView is a customer organisation as the operators see it.
type tenantView struct {
	ID          identity.TenantID `json:"id"`
	Name        string            `json:"name"`
	DisplayName string            `json:"display_name"`
	Hosts       []string          `json:"hosts"`
	Status      tenants.Status    `json:"status" enum:"active,suspended,deleting" doc:"deleting: nobody gets in, and what was left is removed by deleting again"`
	Settings    tenants.Settings  `json:"settings"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
}

type createTenantInput struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" patternDescription:"lower-case letters, digits and hyphens"`
		resources.TenantSpec
	}
}

type changeTenantInput struct {
	ByName
	Condition
	Body struct {
		Status      tenants.Status `json:"status,omitempty" enum:"active,suspended" doc:"suspended: nobody gets in, and everybody is signed out; nothing is deleted"`
		DisplayName string         `json:"display_name,omitempty" maxLength:"200"`
		Hosts       []string       `json:"hosts,omitempty" maxItems:"50"`
	}
}

func (a *API) registerTenants() {
	register(a, operation{id: "list-tenants", method: http.MethodGet, path: "/platform/tenants", tag: "Platform", platform: true, needs: reads("tenants"),
		summary: "List tenants"}, a.listTenants)
	register(a, operation{id: "create-tenant", method: http.MethodPost, path: "/platform/tenants", tag: "Platform", platform: true, needs: writes("tenants"),
		status: http.StatusCreated, summary: "Make a tenant"}, a.createTenant)
	register(a, operation{id: "get-tenant", method: http.MethodGet, path: "/platform/tenants/{name}", tag: "Platform", platform: true, needs: reads("tenants"),
		summary: "Show a tenant"}, a.getTenant)
	register(a, operation{id: "change-tenant", method: http.MethodPatch, path: "/platform/tenants/{name}", tag: "Platform", platform: true, needs: writes("tenants"),
		summary: "Suspend, resume or change a tenant"}, a.changeTenant)
	register(a, operation{id: "delete-tenant", method: http.MethodDelete, path: "/platform/tenants/{name}", tag: "Platform", platform: true, needs: deletes("tenants"),
		summary: "Delete a tenant with all its data"}, a.deleteTenant)
}

func tenantOf(t *tenants.Tenant) tenantView {
	return tenantView{ID: t.ID, Name: t.Name, DisplayName: t.DisplayName, Hosts: append([]string{}, t.Hosts...), Status: t.Status,
		Settings: t.Settings, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
}

func (a *API) listTenants(_ context.Context, _ *call, in *Paging) (*pageOutput[tenantView], error) {
	return pageWithin(*in, a.cfg.Tenants.List(), func(x *tenants.Tenant) string { return x.Name }, tenantOf), nil
}

// named finds a tenant by name or id.
func (a *API) named(nameOrID string) (*tenants.Tenant, error) {
	if t, ok := a.cfg.Tenants.ByName(nameOrID); ok {
		return t, nil
	}
	return a.tenant(identity.TenantID(nameOrID))
}

func (a *API) createTenant(ctx context.Context, c *call, in *createTenantInput) (*versioned[tenantView], error) {
	made, err := a.cfg.Tenants.Create(ctx, c.cause, tenants.Tenant{Name: in.Body.Name, DisplayName: in.Body.DisplayName,
		Hosts: in.Body.Hosts, Status: tenants.Active, Settings: in.Body.Settings})
	if err != nil {
		return nil, err
	}
	return withVersion(made.Version, tenantOf(made)), nil
}

func (a *API) getTenant(_ context.Context, _ *call, in *ByName) (*versioned[tenantView], error) {
	found, err := a.named(in.Name)
	if err != nil {
		return nil, err
	}
	return withVersion(found.Version, tenantOf(found)), nil
}

func (a *API) changeTenant(ctx context.Context, c *call, in *changeTenantInput) (*versioned[tenantView], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	found, err := a.named(in.Name)
	if err != nil {
		return nil, err
	}
	changed, err := a.cfg.Tenants.Update(ctx, c.cause, found.ID, version, func(t *tenants.Tenant) error {
		if in.Body.Status != "" {
			t.Status = in.Body.Status
		}
		if in.Body.DisplayName != "" {
			t.DisplayName = in.Body.DisplayName
		}
		if in.Body.Hosts != nil {
			t.Hosts = in.Body.Hosts
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return withVersion(changed.Version, tenantOf(changed)), nil
}

func (a *API) deleteTenant(ctx context.Context, c *call, in *struct {
	ByName
	Condition
}) (*struct{}, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	found, err := a.named(in.Name)
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Tenants.Delete(ctx, c.cause, found.ID, version)
}
