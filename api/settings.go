package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// tenantSettings are what a tenant's admin may set.
type tenantSettings struct {
	DisplayName  string                  `json:"display_name" minLength:"1" maxLength:"200"`
	Session      tenants.SessionSettings `json:"session,omitzero" doc:"Durations are written as 8h or 30m; what is absent has its default"`
	SecondFactor tenants.SecondFactor    `json:"second_factor,omitzero" doc:"Who shows a second factor at sign-in; absent: nobody"`
	SCIM         tenants.SCIM            `json:"scim,omitzero" doc:"What provisioning clients may do and say; to change the brake takes gatehouse.users:delete as well"`
	Logo         string                  `json:"logo,omitempty" readOnly:"true" doc:"Where the logo is on the tenant's hosts; it is set at settings/logo, and left as it is here"`
}

func (a *API) registerSettings() {
	register(a, operation{id: "get-settings", method: http.MethodGet, path: "/settings", tag: "Settings", needs: reads("settings"),
		summary: "Show the tenant's settings"}, a.getSettings)
	register(a, operation{id: "put-settings", method: http.MethodPut, path: "/settings", tag: "Settings", needs: writes("settings"),
		summary: "Replace the tenant's settings"}, a.putSettings)
	register(a, operation{id: "put-logo", method: http.MethodPut, path: "/settings/logo", tag: "Settings", needs: writes("settings"),
		summary: "Set the logo on the pages of the gate: a still image in PNG, JPEG or WebP of at most 64 KiB and 1024 by 1024 pixels"}, a.putLogo)
	register(a, operation{id: "delete-logo", method: http.MethodDelete, path: "/settings/logo", tag: "Settings", needs: writes("settings"),
		status: http.StatusOK, summary: "Take the logo off the pages of the gate"}, a.deleteLogo)
}

func settingsOf(t *tenants.Tenant) tenantSettings {
	shown := tenantSettings{DisplayName: t.DisplayName, Session: t.Settings.Session, SecondFactor: t.Settings.SecondFactor, SCIM: t.Settings.SCIM}
	if t.Logo != nil {
		shown.Logo = t.Logo.URL
	}
	return shown
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
	if err := a.checkNetworks(ctx, c, &in.Body.Session); err != nil {
		return nil, err
	}
	refusal, err := a.mayBrake(ctx, c)
	if err != nil {
		return nil, err
	}
	changed, err := a.cfg.Tenants.Update(ctx, c.cause, c.tenant(), version, func(t *tenants.Tenant) error {
		if refusal != nil && t.Settings.SCIM.Brake != in.Body.SCIM.Brake { // as it is at this moment
			return refusal
		}
		t.DisplayName = in.Body.DisplayName
		t.Settings.Session, t.Settings.SecondFactor, t.Settings.SCIM = in.Body.Session, in.Body.SecondFactor, in.Body.SCIM
		return nil
	})
	if err != nil {
		return nil, err
	}
	return withVersion(changed.Version, settingsOf(changed)), nil
}

// checkNetworks refuses networks that would lock out who sets them, and those of
// a role that there is not: a slip of the pen would let its people in from
// anywhere.
func (a *API) checkNetworks(ctx context.Context, c *call, wanted *tenants.SessionSettings) error {
	t, err := a.tenant(c.tenant())
	if err != nil {
		return err
	}
	if len(wanted.RoleNetworks) > 0 {
		roles, err := a.cfg.Policy.Roles(ctx, c.tenant())
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(wanted.RoleNetworks)) {
			_, kept := t.Settings.Session.RoleNetworks[name] // of a role that was deleted since
			if !kept && !slices.ContainsFunc(roles, func(r authz.Role) bool { return r.Name == name }) {
				return fault.New(fault.Invalid, "role-not-found", fmt.Sprintf("session.role_networks: there is no role %.100q.", name))
			}
		}
	}
	ip := c.cause.IP
	if !ip.IsValid() {
		return nil
	}
	held, err := a.cfg.Policy.Held(ctx, c.principal)
	if err != nil {
		return err
	}
	if !wanted.Admits(ip) || !wanted.AdmitsRoles(held, ip) {
		return errLockedOut
	}
	return nil
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
