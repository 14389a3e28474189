package api

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

const defaultLinkDays = 7

func (a *API) registerSetupLinks() {
	register(a, operation{id: "list-setup-links", method: http.MethodGet, path: "/setup-links", tag: "Connections", needs: reads("connections"),
		summary: "List the links by which somebody connects an identity provider"}, a.listSetupLinks)
	register(a, operation{id: "create-setup-link", method: http.MethodPost, path: "/setup-links", tag: "Connections", needs: writes("connections"), secret: true,
		status: http.StatusCreated, summary: "Make a link by which whoever has it connects an identity provider, without an account: one connection of one name, which is switched on once it was tried with success. The address is given once"}, a.createSetupLink)
	register(a, operation{id: "delete-setup-link", method: http.MethodDelete, path: "/setup-links/{id}", tag: "Connections", needs: deletes("connections"),
		summary: "Take a link back"}, a.deleteSetupLink)
}

type createSetupLinkInput struct {
	Body struct {
		Connection    string              `json:"connection" minLength:"1" maxLength:"63" doc:"The name that the connection will have; no connection in use has it"`
		DisplayName   string              `json:"display_name,omitempty" maxLength:"200"`
		DefaultRole   string              `json:"default_role,omitempty" maxLength:"63"`
		Link          tenants.LinkRule    `json:"link,omitempty" enum:",email,external_id"`
		UnknownPeople tenants.UnknownRule `json:"unknown_people,omitempty" enum:",refuse"`
		ExpiresInDays int                 `json:"expires_in_days,omitempty" minimum:"1" maximum:"30" doc:"Absent: 7"`
	}
}

// madeSetupLink is a link with what stands in it.
type madeSetupLink struct {
	SetupLink

	Path string `json:"path" doc:"On the tenant's host; shown this once"`
	URL  string `json:"url,omitempty" doc:"The same with the host, as far as it is known"`
}

func (a *API) listSetupLinks(ctx context.Context, c *call, in *Paging) (*pageOutput[SetupLink], error) {
	found, err := a.cfg.SetupLinks.List(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(l SetupLink) string { return l.ID }, func(l SetupLink) SetupLink { return l }), nil
}

// createSetupLink lets somebody else say whom the tenant trusts: the maker must be
// allowed to say so themselves.
func (a *API) createSetupLink(ctx context.Context, c *call, in *createSetupLinkInput) (*bodyOutput[madeSetupLink], error) {
	current, err := a.cfg.Connections.Connection(ctx, c.tenant(), in.Body.Connection)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	wanted := tenants.Connection{Name: in.Body.Connection, DefaultRole: in.Body.DefaultRole, Link: in.Body.Link}
	if err := a.mayTrust(ctx, c, wanted, current); err != nil {
		return nil, err
	}
	days := in.Body.ExpiresInDays
	if days == 0 {
		days = defaultLinkDays
	}
	l, path, err := a.cfg.SetupLinks.Create(ctx, c.cause, c.tenant(), SetupLink{Connection: in.Body.Connection, DisplayName: in.Body.DisplayName,
		DefaultRole: in.Body.DefaultRole, Link: in.Body.Link, UnknownPeople: in.Body.UnknownPeople}, time.Duration(days)*24*time.Hour)
	if err != nil {
		return nil, err
	}
	return &bodyOutput[madeSetupLink]{madeSetupLink{SetupLink: l, Path: path, URL: a.onHost(c, path)}}, nil
}

// onHost gives the whole address of a path on the tenant's host: that of the call,
// or for a call over the socket the tenant's first host.
func (a *API) onHost(c *call, path string) string {
	if c.request.ClientIP.IsValid() {
		return c.request.Origin + path
	}
	t, ok := a.cfg.Tenants.ByID(c.tenant())
	if !ok || len(t.Hosts) == 0 {
		return ""
	}
	host := t.Hosts[0]
	if a.cfg.Port != 0 && a.cfg.Port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(a.cfg.Port))
	}
	return "https://" + host + path
}

func (a *API) deleteSetupLink(ctx context.Context, c *call, in *ByID[string]) (*struct{}, error) {
	return nil, a.cfg.SetupLinks.Delete(ctx, c.cause, c.tenant(), in.ID)
}
