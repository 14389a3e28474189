package clustertest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"gatehouse/internal/cluster"
)

// Arbiter puts Arbiters through the suite. fresh is called once per test and
// opens ways to one empty database, as several nodes have them.
func Arbiter(t *testing.T, fresh func(t *testing.T) (open func() cluster.Arbiter)) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, open func() cluster.Arbiter)
	}{
		{"before the first epoch there is none", noEpoch},
		{"an epoch is advanced from by one caller alone", advanceOnce},
		{"what one advances, all see", advanceSeen},
		{"P2 messages are read in one order without a hole, while they are appended", outboxOrder},
		{"a message survives the round trip", outboxValues},
		{"the end of the outbox has nothing after it", outboxEnd},
		{"nodes are apart once they have said so", apart},
		{"a call ends with its context", calls},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

func noEpoch(t *testing.T, open func() cluster.Arbiter) {
	if e := epoch(t, open()); e.Number != 0 || e.Server != "" || e.Outbox != 0 || len(e.Apart) != 0 {
		t.Errorf("an empty database says %+v", e)
	}
}

func advanceOnce(t *testing.T, open func() cluster.Arbiter) {
	from := epoch(t, open())
	for round := range 20 {
		const callers = 8
		won := make(chan cluster.Epoch, callers)
		var group sync.WaitGroup
		for i := range callers {
			arbiter := open()
			group.Go(func() {
				e, err := arbiter.Advance(t.Context(), from, fmt.Sprintf("server-%d-%d", round, i))
				switch {
				case err == nil:
					won <- e
				case !errors.Is(err, cluster.ErrOvertaken):
					t.Errorf("who comes too late is told %v", err)
				}
			})
		}
		group.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of %d callers advanced from epoch %d", len(won), callers, from.Number)
		}
		e := <-won
		if e.Number != from.Number+1 || epoch(t, open()).Server != e.Server {
			t.Fatalf("the winner was told %+v, others see %+v", e, epoch(t, open()))
		}
		from = e
	}
}

func advanceSeen(t *testing.T, open func() cluster.Arbiter) {
	one, other := open(), open()
	first := advance(t, one, cluster.Epoch{}, "run-1")
	if e := epoch(t, other); e.Number != 1 || e.Server != "run-1" {
		t.Fatalf("after the first epoch began, another node sees %+v", e)
	}
	if err := other.Append(t.Context(), message(1)); err != nil {
		t.Fatal(err)
	}
	// The same server may be trusted anew, under a new number.
	second := advance(t, other, epoch(t, other), "run-1")
	if second.Number != 2 || second.Outbox != 1 {
		t.Errorf("the second epoch is %+v", second)
	}
	if _, err := one.Advance(t.Context(), first, "run-2"); !errors.Is(err, cluster.ErrOvertaken) {
		t.Errorf("advancing from an epoch of the past: %v", err)
	}
	if _, err := one.Advance(t.Context(), cluster.Epoch{Number: 9}, "run-2"); !errors.Is(err, cluster.ErrOvertaken) {
		t.Errorf("advancing from an epoch to come: %v", err)
	}
	if e := epoch(t, one); e.Number != 2 || e.Server != "run-1" || e.Outbox != 1 {
		t.Errorf("in the end the epoch is %+v", e)
	}
}

func outboxOrder(t *testing.T, open func() cluster.Arbiter) {
	const writers, each = 6, 40
	var group sync.WaitGroup
	for w := range writers {
		arbiter := open()
		group.Go(func() {
			for i := range each {
				if err := arbiter.Append(t.Context(), message(w*each+i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// The reader never goes back: a message that became visible late is lost to it.
	reader := open()
	var seen []string
	for at := uint64(0); at < writers*each && !t.Failed(); {
		end := epoch(t, reader).Outbox
		messages, last, err := reader.Outbox(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if last-at != uint64(len(messages)) {
			t.Fatalf("%d messages after %d end at %d", len(messages), at, last)
		}
		if len(messages) == 0 && end > at {
			t.Fatalf("the outbox ends at %d, and there is nothing after %d", end, at)
		}
		for _, m := range messages {
			seen = append(seen, m.ID)
		}
		at = last
	}
	group.Wait()
	if t.Failed() {
		return
	}
	again := read(t, open())
	if !slices.Equal(seen, again) {
		t.Error("read while they were written, the messages stand in another order, or some are missing")
	}
	for w := range writers {
		last := -1
		for i := range each {
			at := slices.Index(seen, message(w*each+i).ID)
			if at <= last {
				t.Fatalf("message %d of writer %d stands at %d, the one before it at %d", i, w, at, last)
			}
			last = at
		}
	}
}

func outboxValues(t *testing.T, open func() cluster.Arbiter) {
	sent := []cluster.Message{
		{ID: "1", Topic: "sessions", Tenant: "ten_acme", Body: []byte("\x00\xff{\"a\":'\"}")},
		{ID: "2", Topic: "sessions", Body: []byte{}},
		{ID: "3", Topic: "other", Tenant: "ten_globex", Body: make([]byte, cluster.MaxBody)},
	}
	one := open()
	for _, m := range sent {
		if err := one.Append(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	got, _, err := open().Outbox(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Body = append([]byte{}, got[i].Body...)
	}
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got %v", got)
	}
}

func outboxEnd(t *testing.T, open func() cluster.Arbiter) {
	arbiter := open()
	for i := range 3 {
		if err := arbiter.Append(t.Context(), message(i)); err != nil {
			t.Fatal(err)
		}
	}
	for after, want := range map[uint64]int{0: 3, 2: 1, 3: 0} {
		messages, last, err := arbiter.Outbox(t.Context(), after)
		if err != nil || len(messages) != want || last != 3 {
			t.Errorf("after %d: %d messages up to %d, %v", after, len(messages), last, err)
		}
	}
}

func apart(t *testing.T, open func() cluster.Arbiter) {
	one, other := open(), open()
	say := func(a cluster.Arbiter, node string) {
		t.Helper()
		if err := a.Apart(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	say(one, "a")
	say(one, "a")
	say(other, "b")
	names := epoch(t, other).Apart
	slices.Sort(names)
	if !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("apart are %q", names)
	}
}

func calls(t *testing.T, open func() cluster.Arbiter) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	arbiter := open()
	if _, err := arbiter.Epoch(ctx); err == nil {
		t.Error("Epoch answers without a context")
	}
	if err := arbiter.Append(ctx, message(1)); err == nil {
		t.Error("Append answers without a context")
	}
	if got := read(t, arbiter); len(got) != 0 {
		t.Errorf("the outbox holds %q", got)
	}
}

func message(i int) cluster.Message {
	return cluster.Message{ID: fmt.Sprintf("message-%d", i), Topic: "test", Tenant: "ten_acme", Body: fmt.Appendf(nil, "%d", i)}
}

func epoch(t *testing.T, a cluster.Arbiter) cluster.Epoch {
	t.Helper()
	e, err := a.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func advance(t *testing.T, a cluster.Arbiter, from cluster.Epoch, server string) cluster.Epoch {
	t.Helper()
	e, err := a.Advance(t.Context(), from, server)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// read gives the ids of the whole outbox.
func read(t *testing.T, a cluster.Arbiter) (ids []string) {
	t.Helper()
	for at := uint64(0); ; {
		messages, last, err := a.Outbox(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			ids = append(ids, m.ID)
		}
		if last == at {
			return ids
		}
		at = last
	}
}
