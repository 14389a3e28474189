package sessions_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// TestInUseIsLookedAtWhilePeopleComeAndGo: neither waits for the other's lock, and
// who has something open all the time is seen every time.
func TestInUseIsLookedAtWhilePeopleComeAndGo(t *testing.T) {
	r := sessions.NewLocal("n1", slog.New(slog.DiscardHandler))
	now := time.Now()
	session := func(n byte) *sessions.Live {
		return sessions.NewLive(sessions.Session{ID: identity.NewSessionID(), Tenant: acme, User: "usr_a", CreatedAt: now, SeenAt: now}, sessions.TokenHash{n})
	}
	busy, stays := session(1), session(2)
	err := r.Load(t.Context(), acme, func(yield func(*sessions.Live, error) bool) { _ = yield(busy, nil) && yield(stays, nil) })
	if err != nil {
		t.Fatal(err)
	}
	open(t, stays)
	over := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					for _, live := range []*sessions.Live{busy, stays} {
						leave, _ := live.Enter(passing{})
						leave()
					}
				}
			}
		})
	}
	for range 20_000 {
		seen := false
		for live := range r.Active(acme) {
			seen = seen || live == stays
		}
		if !seen {
			t.Error("a session with something open was not seen")
			break
		}
	}
	close(over)
	group.Wait()
}
