package tenants

import (
	"context"
	"reflect"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// LocalName is the name of the one connection of the type [Local] that a tenant can
// have: so there is no second one, and none that was another before.
const LocalName = "local"

// localTitle is what people choose it by until somebody says otherwise.
const localTitle = "Local account"

// checkLocal lets nothing be said of local accounts but whether they are let in and
// what they are called: there is no provider to say anything about, and nobody comes
// to have one by signing in.
func (c *Connection) checkLocal() error {
	plain := Connection{ID: c.ID, Name: c.Name, DisplayName: c.DisplayName, Type: Local, Enabled: c.Enabled,
		Version: c.Version, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
	said := c.clone()
	if len(said.Admits.Domains) == 0 && len(said.Admits.Groups) == 0 {
		said.Admits = Admission{}
	}
	if len(said.GroupRules) == 0 {
		said.GroupRules = nil
	}
	if !reflect.DeepEqual(said, plain) {
		return badConnection("that of local accounts has no settings but enabled and display_name").At("type")
	}
	return nil
}

// EnsureLocal gives the connection by which local accounts sign in, and makes it if
// the tenant has none yet. One that is disabled stays so.
func (s *Service) EnsureLocal(ctx context.Context, cause audit.Cause, tenant identity.TenantID) (Connection, error) {
	c, err := s.Connection(ctx, tenant, LocalName)
	if fault.Is(err, fault.NotFound) {
		c, err = s.PutConnection(ctx, cause, tenant, Connection{Name: LocalName, DisplayName: localTitle, Type: Local, Enabled: true, Version: NoConnection})
		if fault.Is(err, fault.Precondition) { // somebody else has made it just now
			c, err = s.Connection(ctx, tenant, LocalName)
		}
	}
	if err == nil && c.Type != Local {
		err = fault.New(fault.Conflict, "name-taken", "There is a connection of the name %q to an identity provider, from before that name was kept for local accounts. Make it anew under another name first.", LocalName)
	}
	return c, err
}

var errLocalStays = fault.New(fault.Conflict, "local-stays",
	"The connection of local accounts is not deleted: disable it, and nobody gets in by it. Accounts are deleted one by one.")
