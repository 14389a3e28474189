package webhooks_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/directory/feed"
	"gatehouse/identity"
	"gatehouse/webhooks"
)

// endless is a feed of which each tenant has so many webhooks, for which something always
// waits.
type endless struct {
	hooks map[identity.TenantID]int

	mu    sync.Mutex
	taken map[identity.TenantID]int
}

func (e *endless) Pending(_ context.Context, tenant identity.TenantID) (all []feed.Pending, some bool, err error) {
	for i := range e.hooks[tenant] {
		all = append(all, feed.Pending{ID: fmt.Sprint(i)})
	}
	return all, true, nil
}

func (e *endless) Claim(_ context.Context, tenant identity.TenantID, id, _ string) (*feed.Message, error) {
	return &feed.Message{ID: "msg_" + id, Webhook: id, URL: "https://" + string(tenant) + ".example/" + id}, nil
}

func (e *endless) Taken(_ context.Context, tenant identity.TenantID, _ *feed.Message, _ feed.Attempt) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken[tenant]++
	return true, nil
}

func (e *endless) of(tenant identity.TenantID) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.taken[tenant]
}

func (e *endless) Failed(context.Context, identity.TenantID, *feed.Message, feed.Attempt) error {
	return nil
}
func (e *endless) Release(context.Context, identity.TenantID, string, string) error { return nil }
func (e *endless) Trial(_ context.Context, tenant identity.TenantID, name string) (*feed.Message, error) {
	return e.Claim(context.Background(), tenant, name, "")
}

// answers is receivers that take everything: those of slow tenants after a while.
type answers struct {
	slow time.Duration

	mu        sync.Mutex
	busy, top map[string]int
}

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	tenant, _, _ := strings.Cut(req.URL.Host, ".")
	a.mu.Lock()
	a.busy[tenant]++
	a.top[tenant] = max(a.top[tenant], a.busy[tenant])
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.busy[tenant]--
	}()
	wait := 20 * time.Millisecond
	if strings.HasPrefix(tenant, "slow") {
		wait = a.slow
	}
	select {
	case <-time.After(wait):
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// Receivers that take what they are sent, but only just in time, hold up nobody else's.
func TestSlowReceiversLeaveRoomForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tenants = 12
		e := &endless{hooks: map[identity.TenantID]int{"good": 1}, taken: map[identity.TenantID]int{}}
		a := &answers{slow: 9900 * time.Millisecond, busy: map[string]int{}, top: map[string]int{}}
		served := []identity.TenantID{}
		for i := range tenants {
			id := identity.TenantID(fmt.Sprintf("slow%d", i))
			e.hooks[id] = feed.MaxWebhooks
			served = append(served, id)
		}
		served = append(served, "good")
		s := webhooks.New(webhooks.Config{Feed: e, Client: &http.Client{Transport: a}, Tenants: func() []identity.TenantID { return served },
			Serves: func(identity.TenantID) bool { return true }, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		for range 60 {
			before := e.of("good")
			time.Sleep(5 * time.Second)
			if n := e.of("good") - before; n < 100 {
				t.Fatalf("%d messages in five seconds", n)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		slow := 0
		for i := range tenants {
			id := fmt.Sprintf("slow%d", i)
			n := e.of(identity.TenantID(id))
			if slow += n; n == 0 {
				t.Errorf("%s is sent nothing", id)
			}
			if a.top[id] > 8 {
				t.Errorf("%s has %d messages on their way at a time", id, a.top[id])
			}
		}
		if slow < 300 {
			t.Errorf("the slow ones are sent %d messages in five minutes", slow)
		}
	})
}

// What is on its way of a tenant is cut once the tenant is suspended or deleted, and not
// held against the receiver.
func TestWhatIsOnItsWayIsCutWithItsTenant(t *testing.T) {
	h := newHouse(t)
	came, release := make(chan struct{}, 1), make(chan struct{})
	cut := make(chan struct{})
	r := h.receives(nil)
	r.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		_, _ = req.Body.Read(make([]byte, 1<<20)) // else the end of the connection is not seen
		_, _ = req.Body.Read(make([]byte, 1))
		came <- struct{}{}
		select {
		case <-req.Context().Done():
			close(cut)
		case <-release:
		}
	})
	defer close(release)
	h.a.put(h.tenant, "hr", r.URL)
	h.a.runs()
	h.a.person(h.tenant, "ada")
	<-came
	h.suspended.Store(true)
	select {
	case <-cut:
	case <-time.After(8 * time.Second): // before a message ends by itself
		t.Fatal("it goes on")
	}
	until(t, "it is given up", func() bool { w := h.a.hook("hr"); return w.Failures == 0 && w.Behind == 1 })
}
