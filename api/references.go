package api

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"gatehouse/identity"
)

// references finds the names that go with ids, each once per answer. A thing
// that is gone is shown by its id alone: a list must not fail over it.
type references struct {
	api     *API
	tenant  identity.TenantID
	users   map[identity.UserID]userRef
	devices map[identity.DeviceID]deviceRef
}

func (a *API) references(tenant identity.TenantID) *references {
	return &references{api: a, tenant: tenant,
		users: map[identity.UserID]userRef{}, devices: map[identity.DeviceID]deviceRef{}}
}

func (r *references) user(ctx context.Context, id identity.UserID) userRef {
	ref, ok := r.users[id]
	if !ok {
		ref = userRef{ID: id}
		if person, err := r.api.cfg.People.Person(ctx, r.tenant, id); err == nil {
			ref.Name, ref.Email = person.Name, person.Email
			if ref.Email == "" {
				ref.Email = person.UserName
			}
		}
		r.users[id] = ref
	}
	return ref
}

func (r *references) device(ctx context.Context, id identity.DeviceID) deviceRef {
	ref, ok := r.devices[id]
	if !ok {
		ref = deviceRef{ID: id}
		if d, err := r.api.cfg.Sessions.Device(ctx, r.tenant, id); err == nil {
			ref = deviceRef{ID: id, Name: d.Name, Kind: d.Kind, OS: d.OS, Browser: d.Browser, Blocked: d.Blocked}
		}
		r.devices[id] = ref
	}
	return ref
}

func (r *references) group(ctx context.Context, id identity.GroupID) string {
	found, err := r.api.cfg.People.Group(ctx, r.tenant, id, false)
	if err != nil {
		return ""
	}
	return found.DisplayName
}

// connectionNames maps the ids of a tenant's connections to their names.
func (a *API) connectionNames(ctx context.Context, tenant identity.TenantID) (map[identity.ConnectionID]string, error) {
	all, err := a.cfg.Connections.Connections(ctx, tenant)
	if err != nil {
		return nil, err
	}
	names := make(map[identity.ConnectionID]string, len(all))
	for _, connection := range all {
		names[connection.ID] = connection.Name
	}
	return names, nil
}

// connectionID finds a connection by name or id. An id is taken as it is: that
// of a connection which is gone must still reach its sessions.
func (a *API) connectionID(ctx context.Context, tenant identity.TenantID, nameOrID string) (identity.ConnectionID, error) {
	if strings.HasPrefix(nameOrID, "con_") { // no name has an underscore
		return identity.ConnectionID(nameOrID), nil
	}
	found, err := a.cfg.Connections.Connection(ctx, tenant, nameOrID)
	return found.ID, err
}

// confirmation is a node's answer to a revocation: true, or "lease_expired"
// when the node was waited out instead.
type confirmation bool

// MarshalJSON gives the contract's form.
func (c confirmation) MarshalJSON() ([]byte, error) {
	if c {
		return json.Marshal(true)
	}
	return json.Marshal("lease_expired")
}

// Schema documents that form.
func (confirmation) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeBoolean}, {Type: huma.TypeString, Enum: []any{"lease_expired"}}},
		Description: "true, or lease_expired when the node was waited out"}
}
