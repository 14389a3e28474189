package scim_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/internal/store/postgrestest"
)

// BenchmarkBulk makes 1,000 people in one request, and one by one in as many.
func BenchmarkBulk(b *testing.B) {
	for name, database := range map[string]func(b *testing.B, dir string) string{
		"sqlite":   func(_ *testing.B, dir string) string { return "sqlite://" + filepath.Join(dir, "db") },
		"postgres": func(b *testing.B, _ string) string { return postgrestest.Shared(b).Borrow(b).Application },
	} {
		for form, together := range map[string]int{"bulk": 1000, "single": 1} {
			b.Run(name+"/"+form, func(b *testing.B) {
				dir := b.TempDir()
				benchmarkCreations(b, newBenchOn(b, dir, database(b, dir)), together)
			})
		}
	}
}

// benchmarkCreations makes people, so many in one request.
func benchmarkCreations(b *testing.B, w *bench, together int) {
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
