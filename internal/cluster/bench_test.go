package cluster_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
)

func TestFreshCostsNoMemory(t *testing.T) {
	server, memory := redistest.Start(t), clustertest.NewMemory()
	b := open(t, "one", "test", server.URL(), memory.Way())
	clustertest.Start(t, b)
	if n := testing.AllocsPerRun(1000, func() { b.Fresh() }); n != 0 {
		t.Errorf("Fresh allocates %v times", n)
	}
}

// fourNodes is a cluster on loopback, at rest.
func fourNodes(b *testing.B) []cluster.Bus {
	server, memory := redistest.Start(b), clustertest.NewMemory()
	var nodes []cluster.Bus
	for i := range 4 {
		nodes = append(nodes, open(b, fmt.Sprint("node-", i), "bench", server.URL(), memory.Way()))
	}
	clustertest.Start(b, nodes...)
	clustertest.Until(b, "nobody is apart", func() bool {
		e, err := memory.Way().Epoch(b.Context())
		return err == nil && len(e.Apart) == 0
	})
	return nodes
}

func BenchmarkFresh(b *testing.B) {
	one := fourNodes(b)[0]
	b.ReportAllocs()
	for b.Loop() {
		one.Fresh()
	}
}

// BenchmarkPublish measures until all four nodes have confirmed.
func BenchmarkPublish(b *testing.B) {
	nodes := fourNodes(b)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		all, err := nodes[len(took)%4].Publish(b.Context(), cluster.Message{Topic: "bench", Body: []byte(`{"user":"usr_0123456789"}`)})
		took = append(took, time.Since(start))
		if err != nil || len(all) != 4 {
			b.Fatalf("%+v, %v", all, err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkIdle measures what a node costs while nothing happens, without Redis'
// own part.
func BenchmarkIdle(b *testing.B) {
	fourNodes(b)
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	const long = 5 * time.Second
	before := cpu()
	for b.Loop() {
		pause(b.Context(), long)
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/4/float64(b.N)/long.Seconds(), "cpu-µs/node/s")
}
