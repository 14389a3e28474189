package google_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"gatehouse/audit"
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

// A node may stand still in the middle of a request, when it has seen that it may write.
// What another one has written meanwhile stays, whatever the request: each of these would
// put an older state in its place, which no later reading would mend.
func TestAReadingThatStandsStillWithinARequestWritesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		path   string // of the request
		older  func(*house)
		newer  func(*house)
		people string
		groups string
	}{
		"a change":   {"/Bulk", func(h *house) { h.rename("Older") }, func(h *house) { h.rename("Newer") }, "Newer", "All: Newer P 001"},
		"a newcomer": {"/Bulk", func(h *house) { h.google.SetUser("1777", "new@acme.example", nil) }, func(h *house) { h.google.DeleteUser("1777") }, "P 000", "All: P 000 P 001"},
		"a departure": {"/Bulk", func(h *house) {
			h.google.SetUser("1001", "p001@acme.example", object{"suspended": true, "name": object{"fullName": "P 001"}})
		},
			func(h *house) {
				h.google.SetUser("1001", "p001@acme.example", object{"suspended": false, "name": object{"fullName": "P 001"}})
			}, "P 000", "All: P 000 P 001"},
		"a group's name": {"/Groups/", func(h *house) { h.google.SetGroup("201", "all@acme.example", "Older", "1000", "1001") },
			func(h *house) { h.google.SetGroup("201", "all@acme.example", "Newer", "1000", "1001") }, "P 000", "Newer: P 000 P 001"},
		"a group's members": {"/Groups/", func(h *house) { h.google.SetGroup("201", "all@acme.example", "All", "1000") },
			func(h *house) { h.google.SetGroup("201", "all@acme.example", "All", "1000", "1001") }, "P 000", "All: P 000 P 001"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouseThatWaits(t, time.Hour) // so that no beat tells it
			h.staff(2)
			h.google.SetGroup("201", "all@acme.example", "All", "1000", "1001")
			h.a.put(google.Settings{})
			if o := h.a.read(); o.Result != google.Done {
				t.Fatalf("%+v", o)
			}
			c.older(h)
			h.pass(24 * time.Hour)
			h.a.beforeSCIM(func(_ context.Context, path string) {
				if !strings.HasPrefix(path, c.path) || strings.Contains(path, "?") {
					return
				}
				h.a.beforeSCIM(nil)
				c.newer(h)
				h.b.put(google.Settings{})
				if o := h.b.read(); o.Result != google.Done {
					t.Errorf("%+v", o)
				}
			})
			if o, err := h.a.google.Turn(t.Context(), h.tenant); o != nil || err != nil {
				t.Fatalf("%+v %v", o, err)
			}
			h.a.has("p000@acme.example", "p001@acme.example")
			if got := h.a.person("p000@acme.example").DisplayName; got != c.people {
				t.Errorf("somebody is %q", got)
			}
			h.a.hasGroups(c.groups)
			if told := h.a.events(audit.SyncFinished, audit.SyncFailed); len(told) != 1 {
				t.Errorf("%d readings are told of", len(told))
			}
		})
	}
}

func (h *house) rename(to string) {
	h.google.SetUser("1000", "p000@acme.example", object{"name": object{"fullName": to}})
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
