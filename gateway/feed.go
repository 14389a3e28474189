package gateway

import (
	"context"
	"log/slog"

	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/tenants"
)

// newFeed makes the feed of directories, before the directory that writes it.
func (r *rooms) newFeed(log *slog.Logger) *feed.Service {
	return feed.New(feed.Config{Store: r.store, Keys: r.keys, Journal: r.journal, Tenants: r.served, Log: log})
}

// announcePeople tells the other nodes of a change of a directory, and whoever follows it
// here. Those who follow it elsewhere hear of it there ([nodes.hearChange]).
func (r *rooms) announcePeople(ctx context.Context, tenant identity.TenantID, changed bool, people []identity.UserID) error {
	if changed {
		r.feed.Wake(tenant)
	}
	return r.nodes.AnnouncePeople(ctx, tenant, changed, people)
}

// follow tells whoever follows a directory here that another node has changed it.
func (r *rooms) follow(tenant identity.TenantID) {
	if r.feed != nil { // else it is the start
		r.feed.Wake(tenant)
	}
}

// serves reports whether a tenant is open.
func (r *rooms) serves(tenant identity.TenantID) bool {
	t, ok := r.tenants.ByID(tenant)
	return ok && t.Status == tenants.Active
}

// stoppedWebhooks gives the tenants that have webhooks which are sent nothing any more.
func (g *Gateway) stoppedWebhooks() (all []subject) {
	for _, s := range g.rooms.feed.Stopped() {
		if t, there := g.rooms.tenants.ByID(s.Tenant); there {
			all = append(all, subject{Tenant: s.Tenant, Name: t.Name, detail: s.Why})
		}
	}
	return all
}
