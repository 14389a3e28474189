package audit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/internal/store"
)

func TestSlowSubscribersAreCutOff(t *testing.T) {
	j := open(t, Options{})
	x := NewIndex(j, openStore(t, acme))
	slow, cancelSlow := subscribe(t, x, acme)
	defer cancelSlow()
	audience := x.live.tenants[acme]
	for range subscriberBuffer + 1 {
		x.live.publish(audience, acme, Indexed{})
	}
	n := 0
	for range slow {
		n++
	}
	if n != subscriberBuffer {
		t.Error(n)
	}
	for range maxSubscribers {
		_, cancel := subscribe(t, x, acme)
		defer cancel()
	}
	late, cancelLate := subscribe(t, x, acme)
	defer cancelLate()
	if _, ok := <-late; ok {
		t.Error("too many subscribers")
	}
	running(t, x)() // which waits for what reads
	if len(x.live.tenants) != 0 {
		t.Error("the index is read for nobody")
	}
	over, cancelOver := subscribe(t, x, acme)
	defer cancelOver()
	if _, ok := <-over; ok {
		t.Error("the index has stopped")
	}
}

// shelf is one node of several on a store.
func shelf(t *testing.T, node string, stores Stores) (*Journal, *Index) {
	t.Helper()
	j := open(t, Options{Node: node})
	x := NewIndex(j, stores)
	x.HearOthers()
	running(t, x)
	return j, x
}

// Whoever follows the log at any node is told what all of them record, each
// once, in the same order everywhere and in each node's own, and of no other
// tenant (P3).
func TestTheLiveLogTellsOfAllNodes(t *testing.T) {
	db := openStore(t, acme, "ten_globex")
	ja, a := shelf(t, "node-a", db)
	jb, b := shelf(t, "node-b", db)
	const each = subscriberBuffer/2 - 1 // nobody is too slow
	type told struct {
		events <-chan Indexed
		got    []Indexed
	}
	all := []*told{{}, {}, {}}
	for i, x := range []*Index{a, b, a} {
		events, cancel := subscribe(t, x, acme)
		defer cancel()
		all[i].events = events
	}
	var readers, writers sync.WaitGroup
	for _, one := range all {
		readers.Go(func() {
			for e := range one.events {
				if one.got = append(one.got, e); len(one.got) == 2*each {
					return
				}
			}
		})
	}
	for _, j := range []*Journal{ja, jb} {
		writers.Go(func() {
			for i := range each {
				for _, tenant := range []identity.TenantID{acme, "ten_globex"} {
					if _, err := j.Commit(context.Background(), Event{Tenant: tenant, Type: UserChanged, Reason: fmt.Sprint(i)}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
	for i, one := range all {
		if len(one.got) != 2*each {
			t.Fatalf("reader %d was told %d of %d", i, len(one.got), 2*each)
		}
		position, last := uint64(0), map[string]uint64{}
		for _, e := range one.got {
			if e.Tenant != acme || e.Position <= position || e.Seq <= last[e.Node] {
				t.Fatalf("reader %d: %+v after position %d and %v", i, e, position, last)
			}
			position, last[e.Node] = e.Position, e.Seq
		}
		if !slices.EqualFunc(one.got, all[0].got, func(x, y Indexed) bool { return x.ID == y.ID }) {
			t.Errorf("reader %d was told in another order", i)
		}
	}
}

// flaky is a store that a test takes away.
type flaky struct {
	Stores

	fails atomic.Bool
	asked atomic.Int64 // in vain
}

func (f *flaky) Tenant(id identity.TenantID) store.Tenant {
	if f.fails.Load() {
		f.asked.Add(1)
		return f.Stores.Tenant("ten_gone")
	}
	return f.Stores.Tenant(id)
}

// A store that is away keeps events back and loses none, and a tenant that nobody
// follows any more is not read for.
func TestTheLiveLogComesBack(t *testing.T) {
	db := openStore(t, acme)
	away := &flaky{Stores: db}
	ja, _ := shelf(t, "node-a", db)
	_, b := shelf(t, "node-b", away)
	events, cancel := subscribe(t, b, acme)
	away.fails.Store(true)
	r := commit(t, ja, Event{Type: UserChanged})
	eventually(t, "the store was never asked", func() bool { return away.asked.Load() > 0 })
	away.fails.Store(false)
	if e := <-events; e.ID != r.Event() || e.Node != "node-a" {
		t.Errorf("%+v", e)
	}
	cancel()
	cancel() // does no harm
	b.live.reading.Wait()
}

func TestWhatCameAfterAnEventIsFound(t *testing.T) {
	db := openStore(t, acme, "ten_globex")
	ja, a := shelf(t, "node-a", db)
	jb, b := shelf(t, "node-b", db)
	var ids []identity.EventID
	for i, j := range []*Journal{ja, jb, ja, jb} {
		ids = append(ids, commit(t, j, Event{Type: UserChanged}).Event())
		indexed(t, a, i+1)
	}
	for _, x := range []*Index{a, b} {
		for i, id := range ids {
			at := must[Indexed](t)(x.Locate(t.Context(), acme, id))
			var after []identity.EventID
			for e, err := range x.After(t.Context(), acme, at.Position) {
				if err != nil {
					t.Fatal(err)
				}
				after = append(after, e.ID)
			}
			if at.ID != id || !slices.Equal(after, ids[i+1:]) {
				t.Errorf("after event %d come %v of %v", i, after, ids)
			}
		}
		for tenant, id := range map[identity.TenantID]identity.EventID{acme: "evt_none", "ten_globex": ids[0]} {
			if got, err := x.Locate(t.Context(), tenant, id); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s of %s is at %+v, %v", id, tenant, got, err)
			}
		}
	}
	// One that never comes into the index stands where it happened.
	allowed := access("/allowed")
	must[Receipt](t)(ja.Write(t.Context(), &allowed))
	if at := must[Indexed](t)(a.Locate(t.Context(), acme, allowed.ID)); at.Position != must[uint64](t)(a.end(t.Context(), acme)) {
		t.Errorf("at %+v", at)
	}
	last := commit(t, ja, Event{Type: UserChanged})
	indexed(t, a, len(ids)+1)
	at := must[Indexed](t)(a.Locate(t.Context(), acme, allowed.ID))
	for e, err := range a.After(t.Context(), acme, at.Position) {
		if err != nil || e.ID != last.Event() {
			t.Errorf("%+v, %v", e, err)
		}
	}
}
