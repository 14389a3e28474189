package directory_test

import (
	"context"
	"errors"
	"testing"

	"gatehouse/audit"
	"gatehouse/directory"
	"gatehouse/internal/store"
)

// A rehearsal is over when its time is, whatever it is at: others wait for it.
func TestARehearsalKeepsToItsTime(t *testing.T) {
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var told error
	withdraw := func(ctx context.Context, _ *store.Tx, _ audit.Cause, _ audit.Target) error {
		stop() // in the middle of the write
		told = ctx.Err()
		return told
	}
	people := directory.New(directory.Config{Store: b.db, Journal: b, Sessions: b, Withdraw: withdraw})
	ann := b.create(t, directory.User{UserName: "ann", Active: true, Source: directory.SourceSCIM})
	err := people.Rehearse(ctx, b.tenant, func(ctx context.Context, people *directory.Service) error {
		return people.DeleteUser(ctx, cause, b.tenant, ann.ID, 0)
	})
	if !errors.Is(told, context.Canceled) || !errors.Is(err, context.Canceled) {
		t.Errorf("it went on: %v, %v", told, err)
	}
}
