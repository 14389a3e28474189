package audit

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

func several(n int) []Event {
	events := make([]Event, n)
	for i := range events {
		events[i] = Event{Tenant: acme, Type: UserCreated, Outcome: Success, RequestID: identity.RequestID(fmt.Sprint("req_", i))}
	}
	return events
}

func TestEventsTogetherShareOneWait(t *testing.T) {
	j := open(t, Options{})
	if err := CommitAll(t.Context(), j, several(200)); err != nil {
		t.Fatal(err)
	}
	all := read(t, j, acme)
	for i, e := range all {
		if want := fmt.Sprint("req_", i); string(e.RequestID) != want {
			t.Fatalf("record %d is of %s, want %s", i, e.RequestID, want)
		}
	}
	// One may be that of the segment's beginning.
	if s := j.Stats(); len(all) != 200 || s.Syncs > 2 {
		t.Errorf("%d records, %d fsyncs", len(all), s.Syncs)
	}
}

func TestEventsTogetherAreDurableInEverySegment(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, SegmentBytes: 4 << 10})
	if err := j.CommitAll(t.Context(), several(200)); err != nil {
		t.Fatal(err)
	}
	l := must[*log](t)(j.logOf(acme))
	if l.tail == nil || l.tail.synced != 200 {
		t.Errorf("not all of it is durable: %+v", l.tail)
	}
	if report := verified(t, dir, acme); report.Records != 200 || report.Segments < 3 {
		t.Errorf("%+v", report)
	}
}

func TestEventsTogetherAreOfOneTenant(t *testing.T) {
	j := open(t, Options{})
	events := several(2)
	events[1].Tenant = "ten_globex"
	if err := j.CommitAll(t.Context(), events); err == nil {
		t.Error("recorded")
	}
	if err := j.CommitAll(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// As of one event: the disk is waited for, but not for ever, and a caller who leaves
// after the first record takes none back.
func TestP7EventsTogetherAreNotWaitedForForever(t *testing.T) {
	j := open(t, Options{})
	must[Receipt](t)(j.Commit(t.Context(), Event{Tenant: acme, Type: GatewayStarted}))
	synctest.Test(t, func(t *testing.T) {
		resume := stall(t, j)
		refused(t, j.CommitAll(t.Context(), several(3)))
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- j.CommitAll(ctx, several(3)) }()
		synctest.Wait()
		cancel()
		resume()
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
	if n := len(read(t, j, acme)); n != 7 {
		t.Errorf("%d records", n)
	}
}

// single is a recorder that knows events one by one.
type single struct{ events []Event }

func (s *single) Commit(ctx context.Context, e Event) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, err
	}
	if len(s.events) == 3 {
		return Receipt{}, fault.New(fault.Unavailable, "away", "Not now.")
	}
	s.events = append(s.events, e)
	return Receipt{}, nil
}

func TestEventsTogetherForARecorderOfOne(t *testing.T) {
	s := &single{}
	if err := CommitAll(t.Context(), s, several(3)); err != nil || len(s.events) != 3 || s.events[2].RequestID != "req_2" {
		t.Errorf("%v, %+v", err, s.events)
	}
	if err := CommitAll(t.Context(), s, several(1)); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}
