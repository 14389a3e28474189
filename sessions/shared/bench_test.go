package shared

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
)

// numbered is the token of a session of a [crowd].
func numbered(n int) string {
	hash := hashOf(n)
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// crowd puts n sessions into a registry, each with texts of its own, as they come
// from SQL.
func crowd(tb testing.TB, r *Registry, n int) {
	tb.Helper()
	for i := range n {
		s := live(i).Session()
		s.User, s.Connection = identity.UserID(fmt.Sprintf("usr_%022d", i/4)), identity.ConnectionID(strings.Clone(string(s.Connection)))
		s.IDPSubject, s.IDPSession = fmt.Sprintf("00u%017d", i/4), fmt.Sprintf("sid%017d", i)
		s.UserAgent, s.AMR = strings.Clone(s.UserAgent), strings.Fields("pwd otp")
		if _, err := r.hold(r.ledger.mark(), sessions.NewLive(s, sha256.Sum256([]byte(numbered(i))))); err != nil {
			tb.Fatal(err)
		}
	}
}

// check is what the gate asks for every request.
func check(r *Registry) *sessions.Service {
	return sessions.New(sessions.Config{Registry: r, Limits: func(identity.TenantID) sessions.Limits {
		return sessions.Limits{Idle: 8 * time.Hour, Absolute: 168 * time.Hour}
	}})
}

// TestHitDoesNotAllocate: it is on the way of every request.
func TestHitDoesNotAllocate(t *testing.T) {
	server := redistest.Start(t)
	r := onRedis(t, server)
	crowd(t, r, 10)
	service, ctx, token, least := check(r), t.Context(), numbered(3), 1.0
	for try := 0; try < 20 && least > 0; try++ { // the lease of a busy machine runs out
		clustertest.Until(t, "fresh", r.bus.Fresh)
		least = min(least, testing.AllocsPerRun(100, func() { _, _ = service.Find(ctx, acme, token) }))
	}
	if l, err := service.Find(ctx, acme, token); least > 0 || r.bus.Fresh() && (l == nil || err != nil) {
		t.Errorf("%v allocations, want none; %v, %v", least, l, err)
	}
}

// onRedis is a registry of a node of a real cluster, with a lease that runs out.
func onRedis(tb testing.TB, server *redistest.Server) *Registry {
	tb.Helper()
	bus, err := cluster.NewRedis(cluster.Options{URL: server.URL(), Node: "n1", Environment: "test",
		Arbiter: clustertest.NewMemory().Way(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	r := at(tb, bus, server.URL(), &table{}, 0)
	clustertest.Start(tb, bus)
	return r
}

// BenchmarkHit is the check of a session that this node holds, in a cluster, of a
// thousand that are in use, and of all of them at random: the more memory that is,
// the less of it is in the processor's caches. bytes/session is what one costs in a
// node's memory; redis-commands/op what finding one asks of Redis, and
// redis-commands/s what the node asks of it anyway, for its lease.
func BenchmarkHit(b *testing.B) {
	server := redistest.Start(b)
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			before := heap()
			r := onRedis(b, server)
			crowd(b, r, n)
			size := float64(heap()-before) / float64(n)
			for _, used := range slices.Compact([]int{1_000, n}) {
				tokens := make([]string, used)
				for i, k := range rand.Perm(n)[:used] {
					tokens[i] = numbered(k)
				}
				b.Run(fmt.Sprintf("used=%d", used), func(b *testing.B) { hit(b, server, r, tokens, size) })
			}
		})
	}
}

func hit(b *testing.B, server *redistest.Server, r *Registry, tokens []string, size float64) {
	service, ctx, i := check(r), b.Context(), 0
	commands, began, used := commandsOf(b, server), time.Now(), processor(b)
	b.ReportAllocs()
	for b.Loop() {
		if i++; i == len(tokens) {
			i = 0
		}
		for {
			l, err := service.Find(ctx, acme, tokens[i])
			if l != nil && err == nil {
				break
			}
			if fault.Is(err, fault.Unauthenticated) {
				b.Fatal(err)
			}
			clustertest.Until(b, "fresh again", r.bus.Fresh) // the machine is busy
		}
	}
	asked := float64(commandsOf(b, server) - commands)
	b.ReportMetric(float64((processor(b)-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(size, "bytes/session")
	b.ReportMetric(asked/float64(b.N), "redis-commands/op")
	b.ReportMetric(asked/time.Since(began).Seconds(), "redis-commands/s")
}

// processor is how much of the processor's time this process has had.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
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

// BenchmarkMiss looks up what this node does not hold, and nothing else.
func BenchmarkMiss(b *testing.B) {
	record := &table{all: map[sessions.TokenHash]int{}}
	for i := range 10_000 {
		record.all[hashOf(i)] = i
	}
	r := alone(b, nowhere, record, 1_000)
	i := 0
	for b.Loop() {
		i = (i + 7919) % 10_000
		if l, err := r.Find(context.Background(), acme, hashOf(i)); l == nil || err != nil {
			b.Fatal(l, err)
		}
	}
}
