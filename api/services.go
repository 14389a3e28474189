package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"gatehouse/api/resources"
	"gatehouse/audit"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/machines"
	"gatehouse/tenants"
)

// Services keeps the programs that call as principals of their own.
type Services interface {
	All(ctx context.Context, tenant identity.TenantID) ([]machines.Machine, error)
	Named(ctx context.Context, tenant identity.TenantID, name string) (machines.Machine, error)
	Put(ctx context.Context, cause audit.Cause, tenant identity.TenantID, service machines.Machine) (machines.Machine, error)
	Delete(ctx context.Context, cause audit.Cause, tenant identity.TenantID, name string, ifVersion uint64) error
	// EndConnection ends what services have open that a connection's provider
	// vouches for.
	EndConnection(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) error
}

// service is one program, without its secrets.
type service struct {
	ID        identity.ServiceID    `json:"id"`
	Name      string                `json:"name"`
	Spec      resources.ServiceSpec `json:"spec" doc:"As it is put; secrets are never given out"`
	CreatedAt time.Time             `json:"created_at"`
	UpdatedAt time.Time             `json:"updated_at"`
}

func (a *API) registerServices() {
	register(a, operation{id: "list-services", method: http.MethodGet, path: "/services", tag: "Services", needs: reads("services"),
		summary: "List the programs that call as services"}, a.listServices)
	register(a, operation{id: "get-service", method: http.MethodGet, path: "/services/{name}", tag: "Services", needs: reads("services"),
		summary: "Show a service"}, a.getService)
	register(a, operation{id: "put-service", method: http.MethodPut, path: "/services/{name}", tag: "Services", needs: writes("services"),
		status: http.StatusOK, summary: "Make or replace a service; without auth_client_secret the one it has is kept. It takes the right to give its role, and the one it had. What it has open ends before the answer"}, a.putService)
	register(a, operation{id: "delete-service", method: http.MethodDelete, path: "/services/{name}", tag: "Services", needs: deletes("services"),
		summary: "Delete a service; ends what it has open before the answer"}, a.deleteService)
}

func serviceOf(m machines.Machine) service {
	return service{ID: m.ID, Name: m.Name, Spec: resources.SpecOfService(m), CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC()}
}

func (a *API) listServices(ctx context.Context, c *call, in *Paging) (*pageOutput[service], error) {
	found, err := a.cfg.Services.All(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(x machines.Machine) string { return x.Name }, serviceOf), nil
}

func (a *API) getService(ctx context.Context, c *call, in *ByName) (*versioned[service], error) {
	found, err := a.cfg.Services.Named(ctx, c.tenant(), in.Name)
	if err != nil {
		return nil, err
	}
	return withVersion(found.Version, serviceOf(found)), nil
}

func (a *API) putService(ctx context.Context, c *call, in *struct {
	ByName
	Condition
	Body resources.ServiceSpec
}) (*versioned[service], error) {
	current, err := a.cfg.Services.Named(ctx, c.tenant(), in.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if err := in.check(current.Version); err != nil {
		return nil, err
	}
	wanted := in.Body.Service(in.Name, current)
	if err := a.mayCall(ctx, c, wanted, current); err != nil {
		return nil, err
	}
	if err := a.settleService(ctx, c.tenant(), wanted); err != nil {
		return nil, err
	}
	kept, err := a.cfg.Services.Put(ctx, c.cause, c.tenant(), wanted)
	if err != nil {
		return nil, err
	}
	return withVersion(kept.Version, serviceOf(kept)), nil
}

// mayCall refuses to let a caller say who acts with a role that they could not
// give: with the one that the service gets, and the one that it has.
func (a *API) mayCall(ctx context.Context, c *call, wanted, current machines.Machine) error {
	if err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), wanted.Role, ""); err != nil {
		return err
	}
	if current.ID == "" || current.Role == wanted.Role {
		return nil
	}
	err := a.cfg.Policy.MayGrant(ctx, c.principal, c.tenant(), current.Role, "")
	if fault.Is(err, fault.NotFound) {
		return nil // a role that is gone allows nothing
	}
	return err
}

// settleService finds the connections that a service names. It refuses one that
// refers to what there is not, or to tokens that are made for the gate itself.
func (a *API) settleService(ctx context.Context, tenant identity.TenantID, m machines.Machine) error {
	roles, err := a.cfg.Policy.Roles(ctx, tenant)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(roles, func(r authz.Role) bool { return r.Name == m.Role }) {
		return fault.New(fault.NotFound, "role-not-found", "There is no role "+m.Role+".")
	}
	all, err := a.cfg.Connections.Connections(ctx, tenant)
	if err != nil {
		return err
	}
	for _, credential := range m.Credentials {
		if credential.JWT == nil {
			continue
		}
		issuer, audience := credential.JWT.Issuer, credential.JWT.Audience
		if name := credential.JWT.Connection; name != "" {
			at := slices.IndexFunc(all, func(c tenants.Connection) bool { return c.Name == name && c.OIDC != nil })
			if at < 0 {
				return fault.New(fault.Invalid, "bad-service", "There is no oidc connection "+name+", by whose provider's tokens the service could be recognised.")
			}
			issuer, credential.JWT.ConnectionID = all[at].OIDC.Issuer, all[at].ID
		}
		if slices.ContainsFunc(all, func(c tenants.Connection) bool {
			return c.OIDC != nil && c.OIDC.Issuer == issuer && c.OIDC.ClientID == audience
		}) {
			return fault.New(fault.Invalid, "bad-service", "The audience "+audience+" is a connection's client_id: its tokens are those by which people sign in. Let the provider issue tokens for the app instead.")
		}
	}
	return nil
}

func (a *API) deleteService(ctx context.Context, c *call, in *struct {
	ByName
	Condition
}) (*struct{}, error) {
	found, err := a.cfg.Services.Named(ctx, c.tenant(), in.Name)
	if err == nil {
		err = in.check(found.Version)
	}
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Services.Delete(ctx, c.cause, c.tenant(), in.Name, found.Version)
}

func (r *application) service(ctx context.Context, tenant identity.TenantID, d resources.Document) (action, error) {
	spec, err := resources.Decode[resources.ServiceSpec](d)
	if err != nil {
		return "", err
	}
	current, err := r.api.cfg.Services.Named(ctx, tenant, d.Name)
	missing := fault.Is(err, fault.NotFound)
	if err != nil && !missing {
		return "", err
	}
	wanted := spec.Service(d.Name, current)
	// A dry run does not find what it would have made itself.
	if err := r.api.settleService(ctx, tenant, wanted); err != nil && !r.dry {
		return "", err
	}
	if !missing && wanted.Same(current) {
		return unchanged, nil
	}
	if r.own(tenant) {
		if err := r.api.mayCall(ctx, r.call, wanted, current); err != nil {
			return "", err
		}
	}
	if !r.dry {
		if _, err := r.api.cfg.Services.Put(ctx, r.call.cause, tenant, wanted); err != nil {
			return "", err
		}
	}
	if missing {
		return created, nil
	}
	return changed, nil
}
