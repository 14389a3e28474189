package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/fault"
)

func TestTurnsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		done, err := turns.Take(t.Context(), "ten_acme")
		if err != nil {
			t.Fatal(err)
		}
		other, err := turns.Take(t.Context(), "ten_globex")
		if err != nil {
			t.Fatal("a tenant waits for another:", err)
		}
		other()

		begun := time.Now()
		if _, err := turns.Take(t.Context(), "ten_acme"); !fault.Is(err, fault.Unavailable) || time.Since(begun) != turnTime { // by the bubble's clock
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun = time.Now()
		if _, err := turns.Take(ctx, "ten_acme"); !errors.Is(err, context.Canceled) || time.Since(begun) != 0 {
			t.Errorf("the caller has left, %v ago: %v", time.Since(begun), err)
		}

		next := make(chan error, 1)
		go func() {
			done, err := turns.Take(t.Context(), "ten_acme")
			if err == nil {
				done()
			}
			next <- err
		}()
		synctest.Wait()
		done()
		if err := <-next; err != nil {
			t.Error("whoever waited has no turn:", err)
		}
		if len(turns.asked) != 0 {
			t.Error(len(turns.asked), "turns are kept that nobody has")
		}
	})
}

func TestTurnsGoOneAfterTheOther(t *testing.T) {
	var turns Turns
	var group sync.WaitGroup
	n := 0 // the race detector watches it
	for range 8 {
		group.Go(func() {
			for range 100 {
				done, err := turns.Take(t.Context(), "ten_acme")
				if err != nil {
					t.Error(err)
					return
				}
				n++
				done()
			}
		})
	}
	group.Wait()
	if n != 800 || len(turns.asked) != 0 {
		t.Errorf("%d turns, %d left", n, len(turns.asked))
	}
}
