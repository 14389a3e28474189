package shared

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/sessions"
)

// crowd is a registry that holds n sessions, each with texts of its own, as they
// come from SQL.
func crowd(tb testing.TB, url string, n int) *Registry {
	tb.Helper()
	r := alone(tb, url, &table{}, 0)
	for i := range n {
		s := live(i).Session()
		s.User, s.Connection = identity.UserID(fmt.Sprintf("usr_%022d", i/4)), identity.ConnectionID(strings.Clone(string(s.Connection)))
		s.IDPSubject, s.IDPSession = fmt.Sprintf("00u%017d", i/4), fmt.Sprintf("sid%017d", i)
		s.UserAgent, s.AMR = strings.Clone(s.UserAgent), strings.Fields("pwd otp")
		if _, err := r.hold(r.ledger.mark(), sessions.NewLive(s, hashOf(i))); err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

// TestHitDoesNotAllocate: it is on the way of every request.
func TestHitDoesNotAllocate(t *testing.T) {
	r := crowd(t, nowhere, 10)
	ctx, hash := t.Context(), hashOf(3)
	if n := testing.AllocsPerRun(100, func() {
		if l, err := r.Find(ctx, acme, hash); l == nil || err != nil {
			t.Error(l, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// BenchmarkHit has a million as its last, of which a thousand are in use:
// bytes/session is what one costs in a node's memory, redis-commands/op what finding
// one asks of Redis.
func BenchmarkHit(b *testing.B) {
	server := redistest.Start(b)
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			before := heap()
			r := crowd(b, server.URL(), n)
			size := float64(heap()-before) / float64(n)
			var used [1_000]sessions.TokenHash
			for i := range used {
				used[i] = hashOf(i * (n / len(used)))
			}
			ctx, i := b.Context(), 0
			commands := commandsOf(b, server)
			b.ReportAllocs()
			for b.Loop() {
				i = (i + 7) % 1_000
				if l, err := r.Find(ctx, acme, used[i]); l == nil || err != nil {
					b.Fatal(l, err)
				}
			}
			b.ReportMetric(size, "bytes/session")
			b.ReportMetric(float64(commandsOf(b, server)-commands)/float64(b.N), "redis-commands/op")
		})
	}
}

// commandsOf is how many commands Redis has run.
func commandsOf(tb testing.TB, server *redistest.Server) int {
	tb.Helper()
	info, _ := server.Do("INFO", "stats").(string)
	_, rest, _ := strings.Cut(info, "total_commands_processed:")
	text, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMiss looks up what this node does not hold, with Redis.
func BenchmarkMiss(b *testing.B) {
	server := redistest.Start(b)
	record := &table{all: map[sessions.TokenHash]int{}}
	for i := range 10_000 {
		record.all[hashOf(i)] = i
	}
	r := alone(b, server.URL(), record, 1_000)
	i := 0
	for b.Loop() {
		i = (i + 7919) % 10_000
		if l, err := r.Find(context.Background(), acme, hashOf(i)); l == nil || err != nil {
			b.Fatal(l, err)
		}
	}
	size, ok := server.Do("MEMORY", "USAGE", r.copies.key(acme), "SAMPLES", "0").(int64)
	n, counted := server.Do("HLEN", r.copies.key(acme)).(int64)
	if ok && counted {
		b.ReportMetric(float64(size)/float64(n), "redis-bytes/session")
	}
}
