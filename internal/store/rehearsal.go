package store

import (
	"context"
	"errors"

	"gatehouse/identity"
)

// Rehearse runs fn with a handle on the tenant whose transactions are all part of one,
// which leaves no trace, whatever fn gives: each of them sees what those before it have
// written, and nobody else sees any of it. The tenant's writers wait for it as for any
// other write, so ctx should not last for long. The handle is of use inside fn alone, by
// one goroutine, and not inside a transaction of its own.
func (t Tenant) Rehearse(ctx context.Context, fn func(Tenant) error) error {
	err := t.Write(ctx, func(tx *Tx) error {
		if err := fn(Tenant{rehearsal{tx}, t.id}); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// errRehearsed ends the transaction of a rehearsal that went well.
var errRehearsed = errors.New("store: this was a rehearsal")

// rehearsal is the database inside [Tenant.Rehearse].
type rehearsal struct{ tx *Tx }

// tenantTx is a part of the transaction, which is undone where fn fails: so a statement
// that fails spoils no more than that.
func (r rehearsal) tenantTx(ctx context.Context, _ identity.TenantID, _ bool, fn func(*Tx) error) error {
	if _, err := r.tx.conn.ExecContext(ctx, `SAVEPOINT part`); err != nil {
		return err
	}
	if err := fn(r.tx); err != nil {
		_, undone := r.tx.conn.ExecContext(ctx, `ROLLBACK TO SAVEPOINT part`)
		return errors.Join(err, undone)
	}
	_, err := r.tx.conn.ExecContext(ctx, `RELEASE SAVEPOINT part`)
	return err
}

func (rehearsal) systemTx(context.Context, bool, func(*Tx) error) error { return errUnbound }
func (rehearsal) create(context.Context, identity.TenantID) error       { return errUnbound }
func (rehearsal) drop(context.Context, identity.TenantID) error         { return errUnbound }
func (rehearsal) check(context.Context, identity.TenantID) error        { return errUnbound }
func (rehearsal) run(context.Context) error                             { return errUnbound }
func (rehearsal) close() error                                          { return errUnbound }
