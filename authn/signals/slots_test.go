package signals

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// One tenant's transmitters do not keep the others' from being waited for, and
// all of them together not more than so many.
func TestSlotsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots()
		for range maxTenantAtOnce {
			if crowded, ok := s.take(t.Context(), "ten_a"); crowded || !ok {
				t.Fatal(crowded, ok)
			}
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := s.take(soon, "ten_a"); ok {
			t.Error("a tenant has more than its share")
		}
		if crowded, ok := s.take(t.Context(), "ten_b"); crowded || !ok {
			t.Error("another tenant has to wait")
		}
		waited := make(chan bool)
		go func() {
			crowded, ok := s.take(t.Context(), "ten_a")
			waited <- crowded && ok
		}()
		synctest.Wait()
		if crowded, ok := s.take(t.Context(), "ten_b"); !crowded || !ok {
			t.Error("whoever comes while others wait does not hear of it")
		}
		s.free("ten_a")
		if !<-waited {
			t.Error("whoever waited has no slot, or does not know that it is crowded")
		}
		for s.taken < maxAtOnce {
			s.taken++ // by many others
		}
		if _, ok := s.take(soon, "ten_c"); ok {
			t.Error("there are more than there may be")
		}
	})
}
