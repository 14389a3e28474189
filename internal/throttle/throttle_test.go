package throttle_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/throttle"
)

// once is a limit under which nothing is earned while a test runs.
var once = throttle.Limit{Every: time.Hour, Burst: 5}

func connect(t *testing.T, s *redistest.Server) redis.UniversalClient {
	t.Helper()
	client, err := cluster.Connect(s.URL(), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newThrottle(client redis.UniversalClient) *throttle.Throttle {
	return throttle.New(client, "test", slog.New(slog.DiscardHandler))
}

// What every throttle does, whoever counts.
func TestThrottles(t *testing.T) {
	t.Run("alone", func(t *testing.T) { suite(t, newThrottle(nil)) })
	t.Run("Redis", func(t *testing.T) {
		if testing.Short() {
			t.Skip("needs Redis")
		}
		suite(t, newThrottle(connect(t, redistest.Start(t))))
	})
}

func suite(t *testing.T, th *throttle.Throttle) {
	t.Helper()
	ctx := t.Context()
	for i := range 5 {
		if ok, wait := th.Allow(ctx, "a", once); !ok || wait != 0 {
			t.Fatalf("the %d. of a burst: %v, %v", i+1, ok, wait)
		}
	}
	for range 3 { // and who is refused takes nothing
		if ok, wait := th.Allow(ctx, "a", once); ok || wait <= 0 || wait > once.Every {
			t.Errorf("beyond the burst: %v, %v", ok, wait)
		}
	}
	if ok, _ := th.Allow(ctx, "b", once); !ok {
		t.Error("another key")
	}
	if ok, _ := th.Allow(ctx, "", once); !ok {
		t.Error("an empty key")
	}
	// However many ask at once, no more than the burst is let through.
	var let atomic.Int64
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if ok, _ := th.Allow(ctx, "c", once); ok {
				let.Add(1)
			}
		})
	}
	all.Wait()
	if let.Load() != 5 {
		t.Errorf("%d of 40 at once", let.Load())
	}
	// What was used comes back.
	quick := throttle.PerSecond(50, 1)
	if ok, _ := th.Allow(ctx, "d", quick); !ok {
		t.Error("the first")
	}
	for until := time.Now().Add(time.Minute); ; {
		if ok, _ := th.Allow(ctx, "d", quick); ok {
			break
		}
		if time.Now().After(until) {
			t.Fatal("nothing comes back")
		}
	}
	// A caller who has gone is no failure of anybody's.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if ok, _ := th.Allow(gone, "e", once); !ok {
		t.Error("a caller who has gone")
	}
	if ok, _ := th.Allow(ctx, "a", once); ok {
		t.Error("the first key is free again")
	}
}

func TestALimitIsEarnedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th, limit := newThrottle(nil), throttle.Limit{Every: time.Minute, Burst: 2}
		want := func(ok bool, wait time.Duration) {
			t.Helper()
			if got, after := th.Allow(t.Context(), "a", limit); got != ok || after != wait {
				t.Errorf("%v, %v; want %v, %v", got, after, ok, wait)
			}
		}
		want(true, 0)
		want(true, 0)
		want(false, time.Minute)
		time.Sleep(40 * time.Second)
		want(false, 20*time.Second)
		time.Sleep(20 * time.Second)
		want(true, 0)
		want(false, time.Minute)
		time.Sleep(time.Hour)
		want(true, 0)
		want(true, 0)
		want(false, time.Minute)
	})
}

// However many keys there are, so many are remembered.
func TestWhatIsKeptIsBounded(t *testing.T) {
	th := newThrottle(nil)
	for i := range 100_000 {
		th.Allow(t.Context(), fmt.Sprint(i), once)
	}
	if n := th.Kept(); n > 64*1024 || n < 32*1024 {
		t.Errorf("%d are kept", n)
	}
}

// Whoever comes with many keys gets no key back that was used up.
func TestWhatIsUsedUpStaysSo(t *testing.T) {
	th := newThrottle(nil)
	for i := range 20 {
		for range once.Burst {
			th.Allow(t.Context(), fmt.Sprint("used up ", i), once)
		}
	}
	for i := range 100_000 {
		th.Allow(t.Context(), fmt.Sprint(i), once)
	}
	for i := range 20 {
		if ok, _ := th.Allow(t.Context(), fmt.Sprint("used up ", i), once); ok {
			t.Errorf("%d is let through again", i)
		}
	}
}

// Two nodes let through as much as one; without Redis each counts for itself, by what
// it has counted all along.
func TestNodesCountTogether(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Redis")
	}
	server := redistest.Start(t)
	a, b := newThrottle(connect(t, server)), newThrottle(connect(t, server))
	other := throttle.New(connect(t, server), "elsewhere", slog.New(slog.DiscardHandler))
	let := func(key string, nodes ...*throttle.Throttle) (n int) {
		for range 10 {
			for _, node := range nodes {
				if ok, _ := node.Allow(t.Context(), key, once); ok {
					n++
				}
			}
		}
		return n
	}
	if n := let("flood", a, b); n != 5 {
		t.Errorf("two nodes let %d through", n)
	}
	if n := let("flood", other); n != 5 {
		t.Errorf("another environment lets %d through", n)
	}
	if n := let("used", a); n != 5 {
		t.Errorf("one node lets %d through", n)
	}

	server.Kill()
	if n := let("used", a); n != 0 {
		t.Errorf("without Redis, %d more", n)
	}
	if n := let("alone", a, b); n != 10 {
		t.Errorf("without Redis, two nodes let %d through", n)
	}
	server.Restart()
	// Redis has forgotten, or not; from now on they count together again.
	for until, i := time.Now().Add(time.Minute), 0; ; i++ {
		if n := let(fmt.Sprint("back ", i), a, b); n == 5 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("the nodes do not come together again")
		}
	}
	// A Redis that stands still keeps nobody waiting for long, and nobody out.
	server.Pause()
	if n := let("still", a); n != 5 {
		t.Errorf("with a Redis that stands still, %d", n)
	}
	server.Continue()
}
