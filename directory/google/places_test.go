package google

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/identity"
)

// A place goes from one to the other in turn, to nobody before its time, and is not lost
// with one who stops waiting.
func TestPlacesGoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		all := newPlaces(1, time.Minute)
		first, second := &place{of: all}, &place{of: all}
		if err := first.take(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := first.pass(ctx); err != nil || !first.had {
			t.Fatal("given up for nobody", err)
		}
		first.since = time.Now()
		turns := make(chan string, 8)
		go func() {
			_ = second.take(ctx)
			turns <- "second"
			time.Sleep(2 * time.Minute)
			_ = second.pass(ctx)
			turns <- "second again"
			second.give()
		}()
		synctest.Wait()
		if err := first.pass(ctx); err != nil || len(turns) > 0 {
			t.Fatal("given up before its time", err)
		}
		time.Sleep(time.Minute)
		if err := first.pass(ctx); err != nil || !first.had || len(turns) != 1 {
			t.Fatalf("%v %v %d", err, first.had, len(turns))
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		third := &place{of: all}
		if err := third.take(short); err == nil || third.had {
			t.Fatal("taken twice")
		}
		third.give()
		first.give()
		synctest.Wait()
		if len(turns) != 2 || len(all.free) != 0 || all.waiting.Load() != 0 {
			t.Errorf("%d turns, %d places", len(turns), len(all.free))
		}
	})
}

// No tenant waits twice, and not too many do.
func TestPlacesAreBounded(t *testing.T) {
	all := newPlaces(1, time.Minute)
	one := identity.NewTenantID()
	if !all.enter(one) || all.enter(one) {
		t.Error("waits twice, or not at all")
	}
	for range begun - 1 {
		all.enter(identity.NewTenantID())
	}
	if all.enter(identity.NewTenantID()) {
		t.Error("there is no end of them")
	}
	if all.leave(one); !all.enter(one) {
		t.Error("there is no room again")
	}
}
