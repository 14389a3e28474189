package sessions_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"log/slog"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// crowd is a service with n live sessions of acme, and the token of one.
func crowd(tb testing.TB, n int) (*sessions.Service, string) {
	tb.Helper()
	const token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	now := time.Now()
	var all iter.Seq2[*sessions.Live, error] = func(yield func(*sessions.Live, error) bool) {
		for i := range n {
			text := token
			if i > 0 {
				text = fmt.Sprint(i)
			}
			s := sessions.Session{ID: identity.SessionID(text), Tenant: acme, User: "usr_a", CreatedAt: now, SeenAt: now}
			if !yield(sessions.NewLive(s, sha256.Sum256([]byte(text))), nil) {
				return
			}
		}
	}
	registry := sessions.NewLocal("n1", slog.New(slog.DiscardHandler))
	if err := registry.Load(context.Background(), acme, all); err != nil {
		tb.Fatal(err)
	}
	return sessions.New(sessions.Config{Registry: registry,
		Limits: func(identity.TenantID) sessions.Limits {
			return sessions.Limits{Idle: 8 * time.Hour, Absolute: 168 * time.Hour}
		}}), token
}

// TestFindDoesNotAllocate: it is on the way of every request.
func TestFindDoesNotAllocate(t *testing.T) {
	s, token := crowd(t, 10)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Find(ctx, acme, token); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			s, token := crowd(b, n)
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Find(ctx, acme, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEnterAndLeave(b *testing.B) {
	s, token := crowd(b, 1)
	live, err := s.Find(b.Context(), acme, token)
	if err != nil {
		b.Fatal(err)
	}
	c := &conn{}
	b.ReportAllocs()
	for b.Loop() {
		leave, _ := live.Enter(c)
		leave()
	}
}
