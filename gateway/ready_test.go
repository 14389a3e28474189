package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/tenants"
)

// flaky is a part whose state the test sets.
type flaky struct {
	err   atomic.Pointer[error]
	hangs atomic.Bool
}

func (f *flaky) check(ctx context.Context, _ identity.TenantID) error {
	if f.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *flaky) set(err error) {
	if err == nil {
		f.err.Store(nil)
		return
	}
	f.err.Store(&err)
}

func TestP7_ReadinessFollowsItsPartsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := &flaky{}
		r := newReadiness(slog.New(slog.DiscardHandler), check{"journal", part.check})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()

		if err := r.Ready("ten_a"); err != nil {
			t.Fatalf("a sound tenant is refused: %v", err)
		}
		part.set(errors.New("disk is gone"))
		time.Sleep(checkEvery + time.Millisecond)
		if err := r.Ready("ten_a"); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a broken part is not noticed: %v", err)
		}
		part.set(nil)
		time.Sleep(checkEvery + time.Millisecond)
		if err := r.Ready("ten_a"); err != nil {
			t.Fatalf("a mended part is not noticed: %v", err)
		}

		part.hangs.Store(true)
		time.Sleep(checkStale + 2*checkEvery)
		if err := r.Ready("ten_a"); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a check that hangs keeps the tenant served: %v", err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// A look that takes long says how things were when it began.
func TestP7_ASlowLookDoesNotMakeReadinessOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context, identity.TenantID) error { time.Sleep(checkStale - checkEvery); return nil }
		r := newReadiness(slog.New(slog.DiscardHandler), check{"journal", slow})
		if err := r.Ready("ten_a"); err != nil {
			t.Fatalf("a sound tenant is refused: %v", err)
		}
		time.Sleep(checkEvery + time.Millisecond)
		if err := r.Ready("ten_a"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("what was seen more than %v ago still counts: %v", checkStale, err)
		}
	})
}

func TestReadinessForgetsTenantsNobodyAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReadiness(slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		if err := r.Ready("ten_a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(forgetAfter + time.Second)
		if n := r.count.Load(); n != 0 {
			t.Errorf("%d tenants are still watched", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

// A tenant that is deleted is neither looked at nor counted any more, and leaves
// nothing that writes to its journal.
func TestADeletedTenantIsForgotten(t *testing.T) {
	g := open(t)
	r := g.rooms
	acme, err := r.tenants.Create(t.Context(), audit.SystemCause(), tenants.Tenant{Name: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 { // a flood, taken together
		_, err := r.refusals.Record(t.Context(), audit.Event{Tenant: acme.ID, Type: audit.SignInRefused, Outcome: audit.Refused,
			Actor: audit.Actor{Kind: identity.KindAnonymous}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := g.readiness.Ready(acme.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.tenants.Delete(t.Context(), audit.SystemCause(), acme.ID, 0); err != nil {
		t.Fatal(err)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	if err := r.refusals.Run(ended); err != nil { // ends every window
		t.Fatal(err)
	}
	if n := r.journal.Stats().Failures; n != 0 || g.readiness.count.Load() != 0 {
		t.Errorf("%d failures of the journal, %d tenants watched", n, g.readiness.count.Load())
	}
}
