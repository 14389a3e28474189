package scim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/internal/store/postgrestest"
)

// BenchmarkBulk makes 1,000 people in one request, and one by one in as many.
func BenchmarkBulk(b *testing.B) {
	for name, at := range map[string]func(string) string{
		"sqlite":   func(sqlite string) string { return sqlite },
		"postgres": func(string) string { return postgrestest.Shared(b).Borrow(b).Application },
	} {
		b.Run(name+"/bulk", func(b *testing.B) { benchmarkCreations(b, at, 1000) })
		b.Run(name+"/single", func(b *testing.B) { benchmarkCreations(b, at, 1) })
	}
}

// benchmarkCreations makes people, so many in one request.
func benchmarkCreations(b *testing.B, at func(string) string, together int) {
	w := newBenchOn(b, at)
	people, spent := 0, time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		operations := make([]string, together)
		for i := range operations {
			people++
			operations[i] = operation("POST", "/Users", fmt.Sprint(i), strings.ReplaceAll(bjensen, "jensen@acme", fmt.Sprintf("jensen%d@acme", people)))
		}
		message := bulk("", operations...)
		b.StartTimer()
		before := processorTime(b)
		if got := w.do(b, "POST", "/Bulk", message).wants(200); strings.Count(got.raw, `"status":"201"`) != together {
			b.Fatal(got.raw)
		}
		spent += processorTime(b) - before
	}
	b.ReportMetric(float64(people)/b.Elapsed().Seconds(), "users/s")
	// What the machine's other work does not change; PostgreSQL's own is not in it.
	b.ReportMetric(float64(spent.Microseconds())/float64(people), "cpu-us/user")
	b.ReportMetric(0, "ns/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
