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
	return r.Prepare(ctx, tenant, c.ID, keys, r.now().Add(overlap), r.record(journal, cause, tenant, c, "key-prepared"))
}

// SignNow ends an overlap before its time, once the journal has told of it: the prepared
// key signs, and is published alone.
func (r *Ring) SignNow(ctx context.Context, journal audit.Recorder, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	keys, err := r.Kept(ctx, tenant, c.ID)
	if err != nil {
		return err
	}
	return r.Finish(ctx, tenant, c.ID, keys, r.record(journal, cause, tenant, c, "key-finished"))
}

// GiveUp lets go of a prepared key, once the journal has told of it; the one that signs
// goes on.
func (r *Ring) GiveUp(ctx context.Context, journal audit.Recorder, cause audit.Cause, tenant identity.TenantID, c tenants.Connection) error {
	keys, err := r.Kept(ctx, tenant, c.ID)
	if err != nil {
		return err
	}
	return r.TakeBack(ctx, tenant, c.ID, keys, r.record(journal, cause, tenant, c, "key-taken-back"))
}

// record gives the way to tell of a change of a key.
func (r *Ring) record(journal audit.Recorder, cause audit.Cause, tenant identity.TenantID, c tenants.Connection, change string) func(context.Context, Key) error {
	return func(ctx context.Context, key Key) error {
		e := cause.Event(tenant, audit.ConnectionChanged, audit.Success)
		e.Connection, e.Target = c.ID, audit.Target{Kind: "connection", ID: string(c.ID), Name: c.Name}
		e.Details = map[string]string{"change": change, "type": string(c.Type)}
		if change != "key-taken-back" {
			e.Details["signs_at"] = key.SignsAt.UTC().Format(time.RFC3339)
		}
		detail, name := r.kind.Name(key.Public)
		e.Details[detail] = name
		_, err := journal.Commit(ctx, e)
		return err
	}
}
