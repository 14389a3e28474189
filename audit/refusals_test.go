package audit

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"gatehouse/identity"
	"gatehouse/internal/fault"
)

func anonymous(ip string) Event {
	return Event{Tenant: acme, Type: SignInRefused, Outcome: Refused, Reason: "state-invalid",
		Actor: Actor{Kind: identity.KindAnonymous}, IP: netip.MustParseAddr(ip)}
}

// stood sums up how many refusals the records stand for.
func stood(events []Event) (n int64) {
	for _, e := range events {
		n += max(e.Count, 1)
	}
	return n
}

func TestFloodsOfAnonymousRefusalsAreTakenTogether(t *testing.T) {
	j := open(t, Options{})
	synctest.Test(t, func(t *testing.T) {
		r := NewRefusals(j)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		quoted := make(map[identity.EventID]int)
		for i := range 1000 {
			e := anonymous(fmt.Sprintf("192.0.2.%d", i%250)) // one network
			e.RequestID = identity.RequestID(fmt.Sprint("req_", i))
			e.Details = map[string]string{"connection": "idp", "subject": fmt.Sprint(i), "email": "ann@acme.example"}
			receipt, err := r.Record(ctx, e)
			if err != nil || !receipt.Valid() || receipt.Request() != e.RequestID {
				t.Fatal(receipt, err)
			}
			quoted[receipt.Event()]++
		}
		all := read(t, j, acme)
		if len(all) != 11 || len(quoted) != 11 {
			t.Fatalf("%d records, %d ids", len(all), len(quoted))
		}
		for _, e := range all {
			if quoted[e.ID] == 0 {
				t.Error("P1: an id was given out that is not in the journal")
			}
		}
		if last := all[10]; quoted[last.ID] != 990 || last.Details["aggregated"] != "first" || last.Details["until"] == "" {
			t.Errorf("%+v", last)
		}
		// It is shown to whoever follows, and says of nobody who they are.
		if d := all[10].Details; d["connection"] != "idp" || d["subject"] != "" || d["email"] != "" || all[9].Details["subject"] != "9" {
			t.Errorf("it stands for others, and says %v", d)
		}
		<-time.After(refusalWindow + 2*time.Second) // by the bubble's clock
		synctest.Wait()
		all = read(t, j, acme)
		if last := all[len(all)-1]; len(all) != 12 || last.Count != 989 || last.Details["since"] != string(all[10].ID) || stood(all) != 1000 {
			t.Errorf("%d records stand for %d: %+v", len(all), stood(all), last)
		}
		if len(r.kept) != 0 {
			t.Error("windows are kept after their end")
		}
		// A new window begins, and stopping closes it.
		for range 20 {
			must[Receipt](t)(r.Record(ctx, anonymous("192.0.2.1")))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if all = read(t, j, acme); stood(all) != 1020 {
			t.Errorf("%d, want 1020", stood(all))
		}
	})
}

// A flood shows in its records, whatever it is a flood of.
func TestFloodsOfEveryTypeSayHowManyTheyAre(t *testing.T) {
	j := open(t, Options{})
	r := NewRefusals(j)
	r.budget.SetLimit(rate.Inf)
	for kind := range classified {
		e := anonymous("192.0.2.1")
		e.Type, e.Tenant = kind, identity.TenantID("ten_"+strings.ReplaceAll(string(kind), ".", "-"))
		for range refusalsEach + 3 {
			must[Receipt](t)(r.Record(t.Context(), e))
		}
		r.close(t.Context(), func(*refusal) bool { return true })
		all := read(t, j, e.Tenant)
		if len(all) != refusalsEach+2 {
			t.Fatalf("%s: %d records", kind, len(all))
		}
		first, total := all[refusalsEach], all[refusalsEach+1]
		if first.Details["aggregated"] != "first" || first.Details["until"] == "" {
			t.Errorf("%s: the record that stands for the rest does not say so: %v", kind, first.Details)
		}
		if total.Details["aggregated"] != "total" || total.Details["since"] != string(first.ID) || total.Count != 2 {
			t.Errorf("%s: the total does not say what it counts: %v", kind, total.Details)
		}
	}
}

func TestRefusalsAreToldApart(t *testing.T) {
	j := open(t, Options{})
	r := NewRefusals(j)
	record := func(e Event, n int) {
		for range n {
			must[Receipt](t)(r.Record(t.Context(), e))
		}
	}
	record(anonymous("192.0.2.1"), 15)           // 11 records
	record(anonymous("192.0.3.1"), 15)           // another network: 11
	record(anonymous("2001:db8::1"), 10)         // another
	record(anonymous("2001:db8::ffff:0:0:1"), 5) // the same /64: 1
	record(anonymous("::ffff:192.0.2.9"), 5)     // the first again: 0
	other, known := anonymous("192.0.2.1"), anonymous("192.0.2.1")
	other.Reason = "expired"
	record(other, 5) // 5
	known.Actor = Actor{Kind: identity.KindUser, ID: "usr_1"}
	record(known, 30) // not anonymous: 30
	if n, want := len(read(t, j, acme)), 11+11+10+1+0+5+30; n != want {
		t.Errorf("%d records, want %d", n, want)
	}
}

func TestRefusalKeysAreBounded(t *testing.T) {
	r := NewRefusals(nil)
	for i := range 3 * refusalKeys {
		e := anonymous(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}).String())
		if i%2 == 0 {
			e.Tenant = "ten_globex"
		}
		r.window(&e)
	}
	if len(r.kept) > refusalKeys+2 {
		t.Error(len(r.kept), "keys")
	}
	e := anonymous("203.0.113.1")
	if w := r.window(&e); w.first.Reason != "flood" || w.first.Tenant != acme {
		t.Errorf("%+v", w.first)
	}
}

func TestRefusalsOfManyNetworksHaveOneBudget(t *testing.T) {
	j := open(t, Options{})
	synctest.Test(t, func(t *testing.T) {
		r := NewRefusals(j)
		const sent = 20_000
		for i := range sent {
			e := anonymous(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}).String())
			if receipt := must[Receipt](t)(r.Record(t.Context(), e)); !receipt.Valid() {
				t.Fatal("P1: refused without a record")
			}
		}
		if n := len(read(t, j, acme)); n != refusalBudget+1 {
			t.Errorf("%d records, want %d and one for the flood", n, refusalBudget)
		}
		r.close(t.Context(), func(*refusal) bool { return true })
		if n := stood(read(t, j, acme)); n != sent {
			t.Errorf("the records stand for %d refusals, want %d", n, sent)
		}
		<-time.After(refusalWindow) // by the bubble's clock
		e := anonymous("192.0.2.1")
		must[Receipt](t)(r.Record(t.Context(), e))
		if all := read(t, j, acme); all[len(all)-1].Reason != e.Reason {
			t.Error("a minute later, nothing is recorded one by one yet")
		}
	})
}

func TestConcurrentRefusalsAreAllCounted(t *testing.T) {
	j := open(t, Options{})
	r := NewRefusals(j)
	var group sync.WaitGroup
	stop := make(chan struct{})
	var closer sync.WaitGroup
	closer.Go(func() { // windows that end all the time
		for {
			select {
			case <-stop:
				return
			default:
				r.close(t.Context(), func(*refusal) bool { return true })
			}
		}
	})
	for range 8 {
		group.Go(func() {
			for range 200 {
				if _, err := r.Record(t.Context(), anonymous("192.0.2.1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	close(stop)
	closer.Wait()
	r.close(t.Context(), func(*refusal) bool { return true })
	if n := stood(read(t, j, acme)); n != 1600 {
		t.Errorf("the records stand for %d refusals, want 1600", n)
	}
}

func TestP7RefusalsFailWithTheJournal(t *testing.T) {
	j := must[*Journal](t)(Open(Options{Dir: t.TempDir(), Node: "node-1", Keys: fixedKeys{}}))
	r := NewRefusals(j)
	for range refusalsEach {
		must[Receipt](t)(r.Record(t.Context(), anonymous("192.0.2.1")))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the opening record, twice: the failure does not pass for it
		if receipt, err := r.Record(t.Context(), anonymous("192.0.2.1")); !fault.Is(err, fault.Unavailable) || receipt.Valid() {
			t.Error(receipt, err)
		}
	}
}

// A tenant that is deleted in a flood leaves nothing that asks its journal for
// one record more.
func TestRefusalsOfADeletedTenantAreForgotten(t *testing.T) {
	j := open(t, Options{})
	r := NewRefusals(j)
	globex := anonymous("192.0.2.1")
	globex.Tenant = "ten_globex"
	for range 20 {
		must[Receipt](t)(r.Record(t.Context(), anonymous("192.0.2.1")))
		must[Receipt](t)(r.Record(t.Context(), globex))
	}
	if err := j.Drop(acme); err != nil {
		t.Fatal(err)
	}
	r.Forget(acme)
	r.close(t.Context(), func(*refusal) bool { return true })
	if all := read(t, j, acme); len(all) != 0 || j.logs[acme] != nil {
		t.Errorf("the journal is back with %d records", len(all))
	}
	if all := read(t, j, globex.Tenant); stood(all) != 20 || len(r.kept) != 0 {
		t.Errorf("the other tenant's records stand for %d; %d windows", stood(all), len(r.kept))
	}
}
