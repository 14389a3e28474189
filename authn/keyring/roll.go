package keyring

import (
	"context"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// Roll makes a connection's next key, once the journal has told of it. It is published
// at once, and signs when the overlap is over; until then the one before it does.
func (r *Ring) Roll(ctx context.Context, journal audit.Recorder, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, overlap time.Duration) error {
	if overlap < 0 || overlap > r.kind.MaxOverlap {
		return fault.New(fault.Invalid, "bad-overlap", "The overlap of two keys is at most %d days.", int(r.kind.MaxOverlap.Hours()/24))
	}
	keys, err := r.All(ctx, tenant, c.ID)
	if err != nil {
		return err
	}
	return r.Prepare(ctx, tenant, c.ID, keys, r.now().Add(overlap), func(ctx context.Context, made Key) error {
		e := cause.Event(tenant, audit.ConnectionChanged, audit.Success)
		e.Connection, e.Target = c.ID, audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
		e.Details = map[string]string{"change": "key-prepared", "type": string(c.Type), "signs_at": made.SignsAt.UTC().Format(time.RFC3339)}
		detail, name := r.kind.Name(made.Public)
		e.Details[detail] = name
		_, err := journal.Commit(ctx, e)
		return err
	})
}
