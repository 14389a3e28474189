package gateway

import (
	"gatehouse/identity"
	"gatehouse/tenants"
)

// scimSchemas gives what people of a tenant have in SCIM beside the standard, as it is
// at this moment. A tenant's version moves with all of its settings.
func (r *rooms) scimSchemas(tenant identity.TenantID) (schemas []tenants.SCIMSchema, version uint64) {
	if t, ok := r.tenants.ByID(tenant); ok {
		return t.Settings.SCIM.Schemas, t.Version
	}
	return nil, 0
}
