package directory

import (
	"context"

	"gatehouse/internal/store"
)

type fenceKey struct{}

// WithFence has each change that is made under ctx depend on what holds says in the
// transaction that makes it, where the writers of a tenant go one after the other on all
// nodes: with an error nothing of it is done. It is for whoever writes by a lease, which
// can be lost at any moment, also in the middle of a call. Before the record of a change
// it is asked as well, so that what is refused seldom has one.
func WithFence(ctx context.Context, holds func(context.Context, *store.Tx) error) context.Context {
	return context.WithValue(ctx, fenceKey{}, holds)
}

// fenced gives why a change may not be made; nil if it may.
func fenced(ctx context.Context, tx *store.Tx) error {
	if holds, ok := ctx.Value(fenceKey{}).(func(context.Context, *store.Tx) error); ok {
		return holds(ctx, tx)
	}
	return nil
}
