package webhooks_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/directory"
	"gatehouse/directory/feed"
)

// Two nodes send to one webhook: each change arrives once, and in its order.
func TestNodesDeliverOnceAndInOrder(t *testing.T) {
	h := newHouse(t)
	var busy atomic.Int32
	r := h.receives(func(_ received, w http.ResponseWriter) {
		if busy.Add(1) > 1 {
			t.Error("two messages at a time")
		}
		defer busy.Add(-1)
		w.WriteHeader(http.StatusNoContent)
	})
	h.a.put(h.tenant, "hr", r.URL)
	h.a.runs()
	h.b.runs()
	const each = 30
	var writing sync.WaitGroup
	for i, n := range []*node{h.a, h.b} {
		writing.Go(func() {
			for j := range each {
				if _, err := n.people.CreateUser(t.Context(), admin, h.tenant, directory.User{UserName: fmt.Sprintf("u%d-%d", i, j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	all := r.events(2 * each)
	if !slices.IsSortedFunc(all, func(a, b feed.Notice) int { return int(a.Sequence) - int(b.Sequence) }) || len(all) != 2*each {
		t.Errorf("%d events", len(all))
	}
	until(t, "everything is taken", func() bool { return h.b.hook("hr").Behind == 0 })
	r.nothing()
}

// A node dies with a message on its way: another one sends it again once the lease is
// over, and not before.
func TestWhatADeadNodeHadIsSentByAnother(t *testing.T) {
	h := newHouse(t)
	r := h.receives(nil)
	h.a.put(h.tenant, "hr", r.URL)
	h.a.person(h.tenant, "ada")
	dead, err := h.a.feed.Claim(t.Context(), h.tenant, h.a.hook("hr").ID, "dead")
	if must(t, err); dead == nil {
		t.Fatal("nothing to send")
	}
	if m, err := h.b.feed.Claim(t.Context(), h.tenant, h.b.hook("hr").ID, "other"); m != nil || err != nil {
		t.Errorf("two have it: %t, %v", m != nil, err)
	}
	h.b.runs()
	r.nothing()
	h.passes(feed.Lease + time.Second)
	if m := r.next(); m.id != dead.ID {
		t.Errorf("%s is sent instead of %s", m.id, dead.ID)
	}
	until(t, "it is taken", func() bool { return h.b.hook("hr").Behind == 0 })
	// Who comes back from the dead changes nothing.
	if mine, err := h.a.feed.Taken(t.Context(), h.tenant, dead, feed.Attempt{Status: 200}); mine || err != nil {
		t.Error(mine, err)
	}
	must(t, h.a.feed.Failed(t.Context(), h.tenant, dead, feed.Attempt{Status: 410}))
	if w := h.b.hook("hr"); w.Stopped != "" || w.Failures != 0 || w.Behind != 0 {
		t.Errorf("%+v", w)
	}
}

// A node whose clock is ahead leaves a webhook to who has it, for as long as one message
// may take.
func TestANodeThatIsAheadTakesNoWebhookFromAnother(t *testing.T) {
	h := newHouse(t)
	h.a.put(h.tenant, "hr", "https://hr.example")
	h.a.person(h.tenant, "ada")
	id := h.a.hook("hr").ID
	if m, err := h.a.feed.Claim(t.Context(), h.tenant, id, "a"); m == nil || err != nil {
		t.Fatal(m, err)
	}
	h.passes(30*time.Second + time.Minute) // claimed, sent and noted as late as can be, and a clock that is a minute ahead
	if m, err := h.b.feed.Claim(t.Context(), h.tenant, id, "b"); m != nil || err != nil {
		t.Errorf("two have it: %t, %v", m != nil, err)
	}
}

// What the receiver before says, or does not, is not held against the one that was put
// meanwhile, and what it took was not taken by this one.
func TestWhatTheReceiverBeforeSaysIsNotTheNewOnes(t *testing.T) {
	h := newHouse(t)
	for i, a := range []feed.Attempt{{Status: http.StatusGone}, {Status: http.StatusInternalServerError}, {Problem: "no answer"}, {Status: http.StatusOK}} {
		name := fmt.Sprintf("hr%d", i)
		h.a.put(h.tenant, name, "https://before.example")
		h.a.person(h.tenant, name)
		m, err := h.a.feed.Claim(t.Context(), h.tenant, h.a.hook(name).ID, "a")
		if must(t, err); m == nil {
			t.Fatal("nothing to send")
		}
		h.b.put(h.tenant, name, "https://now.example")
		if a.Taken() {
			mine, err := h.a.feed.Taken(t.Context(), h.tenant, m, a)
			if must(t, err); mine {
				t.Error("the next is sent by what was known before")
			}
		} else {
			must(t, h.a.feed.Failed(t.Context(), h.tenant, m, a))
		}
		must(t, h.a.feed.Release(t.Context(), h.tenant, h.a.hook(name).ID, "a"))
		if w := h.a.hook(name); w.Stopped != "" || w.Failures != 0 || w.Behind != 1 || !w.NextAt.IsZero() {
			t.Errorf("%+v counts against it: %d failures, stopped %q, behind %d", a, w.Failures, w.Stopped, w.Behind)
		}
		again, err := h.b.feed.Claim(t.Context(), h.tenant, h.b.hook(name).ID, "b")
		if must(t, err); again == nil || again.URL != "https://now.example" || again.ID != m.ID {
			t.Error("the new one is not sent it")
		}
	}
}
