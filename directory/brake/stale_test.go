package brake

import (
	"testing"
	"time"
)

func TestWhereManyAreTheyAreCountedSeldom(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		people int
		age    time.Duration
		full   bool
		want   bool
	}{
		{50, 59 * time.Second, false, false}, {50, time.Minute, false, true}, {50, time.Minute, true, true},
		{1_000_000, 11*time.Minute - 1, false, false}, {1_000_000, 11 * time.Minute, false, true},
		{1_000_000, 59 * time.Second, true, false}, {1_000_000, time.Minute, true, true},
		{50, -time.Second, false, true}, // by the clock of another node, which is ahead
	} {
		r := record{people: c.people, counted: now.Add(-c.age)}
		if got := r.stale(now, c.full); got != c.want {
			t.Errorf("%d people counted %v ago, full: %t: %t", c.people, c.age, c.full, got)
		}
	}
	if r := (record{}); !r.stale(now, false) {
		t.Error("who was never counted is not to be")
	}
}
