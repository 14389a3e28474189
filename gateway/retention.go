package gateway

import (
	"context"
	"time"

	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/internal/store"
	"gatehouse/scim/recorder"
)

// retentionEvery is how often it is looked for records of deleted people whose time is
// over: they are kept for days.
const retentionEvery = time.Hour

// retained is how long a tenant keeps a record of who was deleted; 0: it does not.
func (r *rooms) retained(tenant identity.TenantID) time.Duration {
	if t, ok := r.tenants.ByID(tenant); ok {
		return time.Duration(t.Settings.SCIM.Retain)
	}
	return 0
}

// eraseOverdue removes the records of deleted people whose time is over, of every
// tenant, until ctx is done.
func (r *rooms) eraseOverdue(ctx context.Context) error {
	look := func(ctx context.Context) {
		for _, t := range r.tenants.List() {
			if ctx.Err() != nil {
				return
			}
			if err := r.directory.EraseOverdue(ctx, t.ID); err != nil {
				r.nodes.log.WarnContext(ctx, "records of deleted people that are overdue were not removed", "tenant", t.ID, "error", err)
			}
		}
	}
	look(ctx)
	every(ctx, retentionEvery, look)
	return nil
}

// erase removes what is kept beside their record of somebody who is deleted.
func erase(ctx context.Context, tx *store.Tx, id identity.UserID) error {
	if err := feed.Erase(ctx, tx, id); err != nil {
		return err
	}
	return recorder.Erase(ctx, tx, id)
}
