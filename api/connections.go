package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"gatehouse/api/resources"
	"gatehouse/authz"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// connection is one way for people to sign in, without its secret.
type connection struct {
	ID             identity.ConnectionID    `json:"id"`
	Name           string                   `json:"name"`
	Spec           resources.ConnectionSpec `json:"spec" doc:"As it is put; secrets are never given out"`
	HasSecret      bool                     `json:"has_client_secret"`
	SignalsGuarded bool                     `json:"has_signals_authorization" doc:"Whether a push must carry a secret"`
	CreatedAt      time.Time                `json:"created_at"`
	UpdatedAt      time.Time                `json:"updated_at"`
}

func (a *API) registerConnections() {
	register(a, operation{id: "list-connections", method: http.MethodGet, path: "/connections", tag: "Connections", needs: reads("connections"),
		summary: "List connections to identity providers"}, a.listConnections)
	register(a, operation{id: "get-connection", method: http.MethodGet, path: "/connections/{name}", tag: "Connections", needs: reads("connections"),
		summary: "Show a connection"}, a.getConnection)
	register(a, operation{id: "put-connection", method: http.MethodPut, path: "/connections/{name}", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Make or replace a connection; without client_secret the one it has is kept. Changing whom it trusts takes the right to make owners, and ends its sessions before the answer, as disabling it does; changing its signals takes that right as well"}, a.putConnection)
	register(a, operation{id: "check-connection", method: http.MethodPost, path: "/connections/{name}/check", tag: "Connections", needs: writes("connections"),
		status: http.StatusOK, summary: "Tell what putting a connection would do, or what is wrong with it, and do nothing"}, a.checkConnection)
	register(a, operation{id: "delete-connection", method: http.MethodDelete, path: "/connections/{name}", tag: "Connections", needs: deletes("connections"),
		summary: "Delete a connection; ends its sessions and SCIM tokens before the answer"}, a.deleteConnection)
	register(a, operation{id: "test-connection", method: http.MethodPost, path: "/connections/{name}/test", tag: "Connections", needs: writes("connections"), secret: true,
		status: http.StatusOK, summary: "Prepare a test of a connection, enabled or not: whoever opens the address is sent to the identity provider and shown what it says of them, and nobody is signed in"}, a.testConnection)
}

func connectionOf(c tenants.Connection) connection {
	return connection{ID: c.ID, Name: c.Name, Spec: resources.SpecOfConnection(c), HasSecret: c.HasSecret(),
		SignalsGuarded: guarded(c), CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC()}
}

func (a *API) listConnections(ctx context.Context, c *call, in *Paging) (*pageOutput[connection], error) {
	found, err := a.cfg.Connections.Connections(ctx, c.tenant())
	if err != nil {
		return nil, err
	}
	return pageWithin(*in, found, func(x tenants.Connection) string { return x.Name }, connectionOf), nil
}

func (a *API) getConnection(ctx context.Context, c *call, in *ByName) (*versioned[connection], error) {
	found, err := a.cfg.Connections.Connection(ctx, c.tenant(), in.Name)
	if err != nil {
		return nil, err
	}
	return withVersion(found.Version, connectionOf(found)), nil
}

func (a *API) putConnection(ctx context.Context, c *call, in *struct {
	ByName
	Condition
	Creation
	Body resources.ConnectionSpec
}) (*versioned[connection], error) {
	current, err := a.cfg.Connections.Connection(ctx, c.tenant(), in.Name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if err := cmp.Or(in.Creation.check(current.ID != ""), in.Condition.check(current.Version)); err != nil {
		return nil, err
	}
	wanted, err := in.Body.Connection(in.Name, current)
	if err != nil {
		return nil, err
	}
	if err := a.mayTrust(ctx, c, wanted, current); err != nil {
		return nil, err
	}
	kept, err := a.keepConnection(ctx, c, c.tenant(), wanted, current)
	if err != nil {
		return nil, err
	}
	return withVersion(kept.Version, connectionOf(kept)), nil
}

// keepConnection makes a connection or replaces the current one, which is zero
// if there is none. Whatever closes a connection also ends its sessions before
// the answer (P2): a disabled one has none, and one that trusts somebody else
// from now on, or opens again, is kept disabled until they are over. So nobody
// signs in between, and repeating a call that failed on the way completes it. One
// that was made since the current was looked for is not replaced: who may do that
// was not asked. With what is closed goes what rules that do not hold any more have
// given to people who are signed in by other connections; after a failure, what any
// of its rules has.
func (a *API) keepConnection(ctx context.Context, c *call, tenant identity.TenantID, wanted, current tenants.Connection) (tenants.Connection, error) {
	if current.ID == "" {
		wanted.Version = tenants.NoConnection
	}
	if current.ID != "" && (!current.Enabled || wanted.TrustsAnew(current)) || !wanted.Enabled {
		closed, err := a.closeConnection(ctx, c, tenant, wanted)
		if closed.ID != "" {
			err = errors.Join(err, a.cfg.People.DropRules(ctx, c.cause, tenant, closed.ID, wanted.StillRuled(current)))
		}
		if err != nil || !wanted.Enabled {
			return closed, err
		}
		wanted.Version = closed.Version
	}
	return a.cfg.Connections.PutConnection(ctx, c.cause, tenant, wanted)
}

// closeConnection keeps a connection as one that lets nobody in, and then ends
// its sessions.
func (a *API) closeConnection(ctx context.Context, c *call, tenant identity.TenantID, connection tenants.Connection) (tenants.Connection, error) {
	connection.Enabled = false
	closed, err := a.cfg.Connections.PutConnection(ctx, c.cause, tenant, connection)
	if closed.ID == "" {
		return tenants.Connection{}, err
	}
	// Also if not all nodes could be told: it is closed, and its sessions are to end.
	_, revoked := a.cfg.Sessions.Revoke(ctx, c.cause, tenant, sessions.Selector{Connection: closed.ID}, sessions.ReasonConnectionClosed)
	return closed, errors.Join(err, revoked, a.cfg.Services.EndConnection(ctx, tenant, closed.ID), a.cfg.Tokens.EndConnection(ctx, tenant, closed.ID))
}

func (a *API) deleteConnection(ctx context.Context, c *call, in *struct {
	ByName
	Condition
}) (*struct{}, error) {
	found, err := a.cfg.Connections.Connection(ctx, c.tenant(), in.Name)
	if err == nil {
		err = in.check(found.Version)
	}
	if err != nil {
		return nil, err
	}
	if found.Type == tenants.Local { // which refuses it, and is not to be closed for that
		return nil, a.cfg.Connections.DeleteConnection(ctx, c.cause, c.tenant(), in.Name, found.Version)
	}
	closed, err := a.closeConnection(ctx, c, c.tenant(), found)
	if err == nil {
		err = a.cfg.People.DropConnection(ctx, c.cause, c.tenant(), closed.ID)
	}
	if err == nil {
		err = a.cfg.Tokens.DropConnection(ctx, c.cause, c.tenant(), closed.ID)
	}
	if err != nil {
		return nil, err
	}
	return nil, a.cfg.Connections.DeleteConnection(ctx, c.cause, c.tenant(), in.Name, closed.Version)
}

// trial is where a test of a connection begins.
type trial struct {
	Path      string    `json:"path" doc:"On the tenant's host, to be opened in a browser, once"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (a *API) testConnection(ctx context.Context, c *call, in *ByName) (*bodyOutput[trial], error) {
	found, err := a.cfg.Connections.Connection(ctx, c.tenant(), in.Name)
	if err != nil {
		return nil, err
	}
	permit, _, err := a.cfg.Policy.Decide(ctx, c.principal, authz.Query{Tenant: c.tenant(), Access: authz.NeedPermission, Permission: reads("users")})
	if err != nil {
		return nil, err
	}
	path, until, err := a.cfg.Trials.Test(ctx, c.cause.Actor, c.tenant(), found, permit.Valid(c.tenant()))
	if err != nil {
		return nil, err
	}
	return &bodyOutput[trial]{trial{Path: path, ExpiresAt: until}}, nil
}
