// Package keyring keeps the private keys by which each connection shows its
// identity provider who we are: one ring for a protocol, with keys of its own for
// every connection, so that what one provider was given is nothing to another.
//
// It exists because a key has the same life whatever it signs. The first is made
// when it is asked for, since most connections never need one; whoever is first
// makes it, on all nodes. The next is published before it signs, the old one stays
// for as long as somebody may need it, and then goes. At rest they are sealed with
// the tenant's key.
//
// It must not know what is signed or in which form a key is published, nor hand out
// a key to anything but the protocol whose ring it is.
package keyring

import (
	"context"
	"crypto/rsa"
	"fmt"
	"slices"
	"time"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

// createTime bounds the making of a key.
const createTime = 15 * time.Second

var (
	// ErrPrepared is why there is no further key: one at a time is prepared.
	ErrPrepared = fault.New(fault.Conflict, "key-prepared", "The next key of this connection is prepared already, and is not signing yet.")

	errNoConnection = fault.New(fault.NotFound, "no-connection", "There is no such connection any more.")
)

// Kind is what the keys of one protocol have of their own.
type Kind struct {
	// Table holds them, and Column of it what others see of one.
	Table, Column string
	// Purpose keeps what is sealed here apart from every other use of the tenant's
	// key; the connection's id, which goes behind it, from the keys of others.
	Purpose string
	// Public writes what others see of a key that is made now.
	Public func(private *rsa.PrivateKey, now time.Time) ([]byte, error)
	// Name is what records call a key, by what others see of it, and the detail that says
	// so. MaxOverlap is for how long [Ring.Roll] may have a key wait. Both are for kinds
	// that are rolled over by hand.
	Name       func(public []byte) (detail, name string)
	MaxOverlap time.Duration
	// Kept is how many a connection has at most.
	Kept int
	// Life is how old the newest gets before the next is made by itself. Zero: there
	// is none before [Ring.Prepare].
	Life time.Duration
	// Ahead is for how long a key that was made by itself is published before it
	// signs, and Behind for how long the one before is after that.
	Ahead, Behind time.Duration
}

// Ring keeps the keys of one protocol. It is safe for concurrent use.
type Ring struct {
	kind   Kind
	stores authn.Stores
	keys   authn.Keys
	now    func() time.Time
	// making lets one key be made at a time: that takes a processor for a good part
	// of a second, and what is published is there for anybody to ask for.
	making chan struct{}
}

// New makes a ring over the store.
func New(kind Kind, stores authn.Stores, keys authn.Keys, now func() time.Time) *Ring {
	return &Ring{kind: kind, stores: stores, keys: keys, now: now, making: make(chan struct{}, 1)}
}

// All gives a connection's keys, newest first, after one was made if there is none,
// or none that is young enough.
func (r *Ring) All(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) ([]Key, error) {
	keys, err := r.Kept(ctx, tenant, connection)
	if err != nil || !r.kind.wanting(keys, r.now()) {
		return keys, err
	}
	if err := r.wait(ctx); err != nil {
		return nil, err
	}
	defer r.done()
	if keys, err = r.Kept(ctx, tenant, connection); err != nil || !r.kind.wanting(keys, r.now()) {
		return keys, err // made while this one waited
	}
	signsAt := r.now()
	if len(keys) > 0 {
		signsAt = signsAt.Add(r.kind.Ahead)
	}
	if _, err := r.add(ctx, tenant, connection, keys, signsAt, nil); err != nil {
		return nil, err
	}
	// Ours, or what another node has kept meanwhile.
	if keys, err = r.Kept(ctx, tenant, connection); err == nil && len(keys) == 0 {
		return nil, errNoConnection
	}
	return keys, err
}

// Kept gives the keys that there are, newest first, and makes none.
func (r *Ring) Kept(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (keys []Key, err error) {
	err = r.stores.Tenant(tenant).Read(ctx, func(tx *store.Tx) (err error) {
		// Where it is not noted when a key signs, it was made by itself.
		keys, err = store.All(ctx, tx, scan, `SELECT generation, `+r.kind.Column+`, private_key, created_at, coalesce(signs_at, created_at + $2)
			FROM `+r.kind.Table+` WHERE connection_id = $1 ORDER BY generation DESC LIMIT $3`, string(connection), r.kind.Ahead.Milliseconds(), r.kind.Kept)
		return err
	})
	r.kind.settle(keys, r.now())
	return keys, outOfReach(err)
}

func scan(row store.Row) (key Key, err error) {
	var created, signsAt int64
	err = row.Scan(&key.generation, &key.Public, &key.sealed, &created, &signsAt)
	key.created, key.SignsAt = time.UnixMilli(created), time.UnixMilli(signsAt)
	return key, err
}

// Signing gives the key that signs.
func (r *Ring) Signing(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (Key, *rsa.PrivateKey, error) {
	keys, err := r.All(ctx, tenant, connection)
	if err != nil {
		return Key{}, nil, err
	}
	key := keys[slices.IndexFunc(keys, func(key Key) bool { return key.State == Signing })]
	private, err := r.open(ctx, tenant, connection, key)
	return key, private, err
}

// Opening gives all keys, for what may be encrypted for any of them: a provider may
// not have heard of the newest yet.
func (r *Ring) Opening(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID) (all []*rsa.PrivateKey, err error) {
	keys, err := r.All(ctx, tenant, connection)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		private, err := r.open(ctx, tenant, connection, key)
		if err != nil {
			return nil, err
		}
		all = append(all, private)
	}
	return all, nil
}

func (r *Ring) open(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, key Key) (*rsa.PrivateKey, error) {
	plain, err := r.keys.Open(ctx, tenant, r.kind.Purpose+string(connection), key.sealed)
	if err != nil {
		return nil, fmt.Errorf("keyring: open key %d of %s: %w", key.generation, connection, err)
	}
	defer clear(plain)
	private, err := read(plain)
	if err != nil {
		return nil, fmt.Errorf("keyring: read key %d of %s: %w", key.generation, connection, err)
	}
	return private, nil
}

// Prepare makes the key that follows these, which are all of a connection's. It is
// published at once, and signs from signsAt on. It is kept once record has told of it,
// also for a caller who has left by then.
func (r *Ring) Prepare(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, keys []Key, signsAt time.Time, record func(context.Context, Key) error) error {
	if keys[0].State == Prepared {
		return ErrPrepared
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	defer r.done()
	kept, err := r.add(ctx, tenant, connection, keys, signsAt, record)
	if err == nil && !kept {
		return ErrPrepared // by another node, or the connection is gone
	}
	return err
}

func (r *Ring) wait(ctx context.Context) error {
	select {
	case r.making <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Ring) done() { <-r.making }

// add makes the key after these and keeps it, unless there is one of its generation
// by then or the connection is gone, and lets go of those that are too old to be of
// use.
func (r *Ring) add(ctx context.Context, tenant identity.TenantID, connection identity.ConnectionID, keys []Key, signsAt time.Time, record func(context.Context, Key) error) (kept bool, err error) {
	// Whoever asks and leaves must not have it made again and again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	defer cancel()
	made := Key{generation: 1, created: r.now(), SignsAt: signsAt}
	if len(keys) > 0 {
		made.generation = keys[0].generation + 1
	}
	private, plain, err := generate()
	if err != nil {
		return false, err
	}
	defer clear(plain)
	if made.Public, err = r.kind.Public(private, made.created); err != nil {
		return false, err
	}
	if made.sealed, err = r.keys.Seal(ctx, tenant, r.kind.Purpose+string(connection), plain); err != nil {
		return false, fmt.Errorf("keyring: seal key of %s: %w", connection, err)
	}
	if record != nil {
		if err := record(ctx, made); err != nil { // P1
			return false, err
		}
	}
	err = r.stores.Tenant(tenant).Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO `+r.kind.Table+` (connection_id, generation, `+r.kind.Column+`, private_key, created_at, signs_at)
			SELECT id, $2, $3, $4, $5, $6 FROM connections WHERE id = $1 ON CONFLICT (connection_id, generation) DO NOTHING`,
			string(connection), made.generation, made.Public, made.sealed, store.Millis(made.created), store.Millis(made.SignsAt))
		kept = n > 0
		if err != nil || !kept {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM `+r.kind.Table+` WHERE connection_id = $1 AND generation <= $2`, string(connection), made.generation-int64(r.kind.Kept))
		return err
	})
	return kept, outOfReach(err)
}

func outOfReach(err error) error {
	return fault.OutOfReach(err, "store-unavailable", "Signing in and out is not possible right now. Try again in a moment.")
}
