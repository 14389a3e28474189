package gateway

// failingSyncs gives the tenants whose Google Workspace account could not be read for long.
func (g *Gateway) failingSyncs() (all []subject) {
	for tenant, why := range g.rooms.google.Failing() {
		if t, there := g.rooms.tenants.ByID(tenant); there {
			all = append(all, subject{Tenant: tenant, Name: t.Name, detail: why})
		}
	}
	return all
}
