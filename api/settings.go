package api

import (
	"context"
	"net/http"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// tenantSettings are what a tenant's admin may set.
type tenantSettings struct {
	DisplayName string                  `json:"display_name" minLength:"1" maxLength:"200"`
	Session     tenants.SessionSettings `json:"session,omitzero" doc:"Durations are written as 8h or 30m; what is absent has its default"`
}

func (a *API) registerSettings() {
	register(a, operation{id: "get-settings", method: http.MethodGet, path: "/settings", tag: "Settings", needs: reads("settings"),
		summary: "Show the tenant's settings"}, a.getSettings)
	register(a, operation{id: "put-settings", method: http.MethodPut, path: "/settings", tag: "Settings", needs: writes("settings"),
		summary: "Replace the tenant's settings"}, a.putSettings)
}

func settingsOf(t *tenants.Tenant) tenantSettings {
	return tenantSettings{DisplayName: t.DisplayName, Session: t.Settings.Session}
}

func (a *API) getSettings(_ context.Context, c *call, _ *struct{}) (*versioned[tenantSettings], error) {
	t, err := a.tenant(c.tenant())
	if err != nil {
		return nil, err
	}
	return withVersion(t.Version, settingsOf(t)), nil
}

func (a *API) putSettings(ctx context.Context, c *call, in *struct {
	Condition
	Body tenantSettings
}) (*versioned[tenantSettings], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	if ip := c.cause.IP; ip.IsValid() && !in.Body.Session.Admits(ip) {
		return nil, errLockedOut
	}
	changed, err := a.cfg.Tenants.Update(ctx, c.cause, c.tenant(), version, func(t *tenants.Tenant) error {
		t.DisplayName = in.Body.DisplayName
		t.Settings.Session = in.Body.Session
		return nil
	})
	if err != nil {
		return nil, err
	}
	return withVersion(changed.Version, settingsOf(changed)), nil
}

var errLockedOut = fault.New(fault.Conflict, "would-lock-you-out",
	"The networks leave out the address that you come from yourself. Add it, or change them from inside.")

func (a *API) tenant(id identity.TenantID) (*tenants.Tenant, error) {
	t, ok := a.cfg.Tenants.ByID(id)
	if !ok {
		return nil, errNoSuchTenant
	}
	return t, nil
}
