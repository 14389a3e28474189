package gateway

import (
	"context"
	"log/slog"

	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// newBrake makes the brake over what tenants set.
func (r *rooms) newBrake(alone bool, log *slog.Logger) *brake.Service {
	return brake.New(brake.Config{Store: r.store, Journal: r.journal, Rules: r.brakeRules, Tenants: r.served, Log: log, Alone: alone,
		// Clients come again by themselves; Google's reading would at its time.
		Decided: func(ctx context.Context, tenant identity.TenantID) {
			if err := r.google.GoOn(ctx, tenant); err != nil {
				log.WarnContext(ctx, "an account that the brake has held is read at its time only", "tenant", tenant, "error", err)
			}
		}})
}

// brakeRules gives a tenant's of this moment.
func (r *rooms) brakeRules(tenant identity.TenantID) brake.Rules {
	var set tenants.Brake
	if t, ok := r.tenants.ByID(tenant); ok {
		set = t.Settings.SCIM.Brake
	}
	share, window, least := set.Limits()
	return brake.Rules{Off: set.Off, Share: share, Window: window, Least: least}
}

// served gives the tenants that are open.
func (r *rooms) served() (all []identity.TenantID) {
	for _, t := range r.tenants.List() {
		if t.Status == tenants.Active {
			all = append(all, t.ID)
		}
	}
	return all
}

// heldBrakes gives the tenants whose provider was about to take too many people out.
func (g *Gateway) heldBrakes() (all []subject) {
	for _, h := range g.rooms.brake.Held() {
		if t, there := g.rooms.tenants.ByID(h.Tenant); there {
			all = append(all, subject{Tenant: h.Tenant, Name: t.Name, detail: h.Why})
		}
	}
	return all
}
