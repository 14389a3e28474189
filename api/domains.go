package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// domain leads people with an address in it to a connection.
type domain struct {
	Name       string     `json:"name"`
	Connection string     `json:"connection" doc:"Name of the connection that its people sign in by"`
	Required   bool       `json:"required" doc:"Whether they may sign in by no other"`
	Verified   bool       `json:"verified" doc:"Whether it counts"`
	VerifiedAt *time.Time `json:"verified_at,omitempty"`
	Record     dnsRecord  `json:"record" doc:"TXT record in the DNS that proves it"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
}

type dnsRecord struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ByDomain is the domain in the path.
type ByDomain struct {
	Name string `path:"name" minLength:"1" maxLength:"253"`
}

func (a *API) registerDomains() {
	register(a, operation{id: "list-domains", method: http.MethodGet, path: "/domains", tag: "Connections", needs: reads("connections"),
		summary: "List the domains whose people are led to a connection"}, a.listDomains)
	register(a, operation{id: "get-domain", method: http.MethodGet, path: "/domains/{name}", tag: "Connections", needs: reads("connections"),
		summary: "Show a domain"}, a.getDomain)
	register(a, operation{id: "put-domain", method: http.MethodPut, path: "/domains/{name}", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Lead people with an address in a domain to a connection. It counts once it is verified, and stays verified when it is changed"}, a.putDomain)
	register(a, operation{id: "verify-domain", method: http.MethodPost, path: "/domains/{name}/verify", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Look for the domain's record in the DNS"}, a.verifyDomain)
	register(a, operation{id: "delete-domain", method: http.MethodDelete, path: "/domains/{name}", tag: "Connections", needs: deletes("connections"),
		summary: "Let people of a domain sign in as all others"}, a.deleteDomain)
}

// domainOf shows a domain, with its connection by name: of that which was deleted
// just now there is none.
func (a *API) domainOf(ctx context.Context, tenant identity.TenantID, d tenants.Domain) (domain, error) {
	c, err := a.cfg.Connections.ConnectionByID(ctx, tenant, d.Connection)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return domain{}, err
	}
	out := domain{Name: d.Name, Connection: c.Name, Required: d.Required, Verified: d.Verified(), CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC()}
	out.Record.Name, out.Record.Value = d.Record()
	if d.Verified() {
		at := d.VerifiedAt.UTC()
		out.VerifiedAt = &at
	}
	return out, nil
}

func (a *API) shownDomain(ctx context.Context, c *call, d tenants.Domain, err error) (*versioned[domain], error) {
	if err != nil {
		return nil, err
	}
	out, err := a.domainOf(ctx, c.tenant(), d)
	if err != nil {
		return nil, err
	}
	return withVersion(d.Version, out), nil
}

func (a *API) listDomains(ctx context.Context, c *call, in *Paging) (*pageOutput[domain], error) {
	found, err := a.cfg.Connections.Domains(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	all := make([]domain, len(found))
	for i, d := range found {
		if all[i], err = a.domainOf(ctx, c.tenant(), d); err != nil {
			return nil, err
		}
	}
	return pageWithin(*in, all, func(d domain) string { return d.Name }, func(d domain) domain { return d }), nil
}

func (a *API) getDomain(ctx context.Context, c *call, in *ByDomain) (*versioned[domain], error) {
	d, err := a.cfg.Connections.Domain(ctx, c.tenant(), in.Name)
	return a.shownDomain(ctx, c, d, err)
}

func (a *API) putDomain(ctx context.Context, c *call, in *struct {
	ByDomain
	Condition
	Body struct {
		Connection string `json:"connection" minLength:"1" maxLength:"63"`
		Required   bool   `json:"required,omitempty" doc:"Whether people with a verified address in the domain may sign in by no other connection"`
	}
}) (*versioned[domain], error) {
	current, err := a.cfg.Connections.Domain(ctx, c.tenant(), in.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if err := in.check(current.Version); err != nil {
		return nil, err
	}
	connection, err := a.cfg.Connections.Connection(ctx, c.tenant(), in.Body.Connection)
	if err != nil {
		return nil, err
	}
	kept, err := a.cfg.Connections.PutDomain(ctx, c.cause, c.tenant(), tenants.Domain{Name: in.Name, Connection: connection.ID,
		Required: in.Body.Required, Version: current.Version})
	return a.shownDomain(ctx, c, kept, err)
}

func (a *API) verifyDomain(ctx context.Context, c *call, in *ByDomain) (*versioned[domain], error) {
	d, err := a.cfg.Connections.VerifyDomain(ctx, c.cause, c.tenant(), in.Name)
	return a.shownDomain(ctx, c, d, err)
}

func (a *API) deleteDomain(ctx context.Context, c *call, in *struct {
	ByDomain
	Condition
}) (*struct{}, error) {
	d, err := a.cfg.Connections.Domain(ctx, c.tenant(), in.Name)
	if err == nil {
		err = in.check(d.Version)
	}
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Connections.DeleteDomain(ctx, c.cause, c.tenant(), in.Name, d.Version)
}
