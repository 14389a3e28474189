package keyring

import (
	"context"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// ErrNonePrepared is why nothing can be done with a next key.
var ErrNonePrepared = fault.New(fault.Conflict, "no-key-prepared", "No next key of this connection is prepared, or it signs already.")

// Finish has the prepared one of these keys, which are all of a connection's, sign
// from now on. It does once record has told of it, also for a caller who has left by
// then.
func (r *Ring) Finish(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, keys []Key, record func(context.Context, Key) error) error {
	return r.next(ctx, tenant, connection, keys, record, `UPDATE `+r.kind.Table+` SET signs_at = $4
		WHERE connection_id = $1 AND generation = $2 AND `+r.kind.Column+` = $3 AND signs_at > $4`)
}

// TakeBack lets go of the prepared one of these keys, which are all of a connection's,
// as if it had never been: what was encrypted for it meanwhile is opened no more. It
// does once record has told of it, also for a caller who has left by then.
func (r *Ring) TakeBack(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, keys []Key, record func(context.Context, Key) error) error {
	return r.next(ctx, tenant, connection, keys, record, `DELETE FROM `+r.kind.Table+`
		WHERE connection_id = $1 AND generation = $2 AND `+r.kind.Column+` = $3 AND signs_at > $4`)
}

// next changes the prepared key: that very one, if it is still to come. A generation
// comes again once a key was taken back.
func (r *Ring) next(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, keys []Key, record func(context.Context, Key) error, change string) error {
	if len(keys) == 0 || keys[0].State != Prepared {
		return ErrNonePrepared
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	defer cancel()
	key := keys[0]
	key.SignsAt = r.now()
	if err := record(ctx, key); err != nil { // P1
		return err
	}
	changed := int64(0)
	err := r.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) (err error) {
		changed, err = tx.Exec(ctx, change, string(connection), key.generation, key.Public, store.Millis(key.SignsAt))
		return err
	})
	if err == nil && changed == 0 {
		return ErrNonePrepared // by another node, or its time has come
	}
	return outOfReach(err)
}
