package google_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"gatehouse/directory/google"
)

// What a reading has read is not written any more once another one has come after it, even
// if it has not noticed yet.
func TestAReadingThatIsLateWritesNothing(t *testing.T) {
	h := newHouseThatWaits(t, time.Hour) // so that no beat tells it
	h.staff(2)
	h.google.SetGroup("201", "all@acme.example", "All", "1000")
	h.a.put(google.Settings{})
	h.pass(time.Hour)
	h.google.Before(func(path string) {
		if strings.HasSuffix(path, "/members") {
			h.google.Before(nil)
			h.b.put(google.Settings{})
			h.b.read()
			h.google.SetGroup("201", "all@acme.example", "All", "1001") // as only the late one sees it
		}
	})
	if o, err := h.a.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
		t.Fatalf("%+v %v", o, err)
	}
	h.a.hasGroups("All: P 000")
	h.b.reads(google.SyncCounts{People: 2, Groups: 1, MembersAdded: 1, MembersRemoved: 1})
}

// New settings are not kept before the reading by the old ones has ended on this node.
func TestPutWaitsForTheReadingBefore(t *testing.T) {
	h := newHouseThatWaits(t, time.Hour)
	h.staff(2)
	h.a.put(google.Settings{})
	h.pass(time.Hour)
	reached := make(chan struct{})
	h.a.beforeSCIM(func(ctx context.Context, path string) {
		h.a.beforeSCIM(nil)
		close(reached)
		<-ctx.Done()
		for range 50 {
			if !h.a.status().Running {
				t.Error("it was taken away while it still writes")
				return
			}
		}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := h.a.google.Turn(t.Context(), h.tenant)
		ended <- err
	}()
	<-reached
	h.a.put(google.Settings{Minutes: 60})
	must(t, <-ended)
	if h.a.status().Running {
		t.Error("it still runs")
	}
	h.a.has()
	h.a.reads(google.SyncCounts{People: 2, Created: 2})
}
