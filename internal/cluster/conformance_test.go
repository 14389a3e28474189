package cluster_test

import (
	"fmt"
	"log/slog"
	"testing"

	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
)

func TestArbiterInMemory(t *testing.T) {
	clustertest.Arbiter(t, func(*testing.T) func() cluster.Arbiter {
		memory := clustertest.NewMemory()
		return func() cluster.Arbiter { return memory.Way() }
	})
}

func TestAlone(t *testing.T) {
	t.Parallel()
	clustertest.Bus(t, func(*testing.T) []cluster.Bus { return []cluster.Bus{cluster.NewAlone("one")} })
}

func TestRedis(t *testing.T) {
	t.Parallel()
	server, memory := redistest.Start(t), clustertest.NewMemory()
	t.Run("the first node settles the epoch", func(t *testing.T) {
		b, way := open(t, "first", "test", server.URL(), memory.Way()), memory.Way()
		clustertest.Start(t, b)
		clustertest.Until(t, "it is a member and nothing else", func() bool {
			e, err := way.Epoch(t.Context())
			return err == nil && len(e.Apart) == 0
		})
	})
	clustertest.Bus(t, func(t *testing.T) []cluster.Bus {
		var nodes []cluster.Bus
		for i := range 3 {
			nodes = append(nodes, open(t, fmt.Sprint("node-", i), "test", server.URL(), memory.Way()))
		}
		return nodes
	})
}

func open(t testing.TB, node, environment, url string, arbiter cluster.Arbiter) *cluster.Redis {
	t.Helper()
	b, err := cluster.NewRedis(cluster.Options{URL: url, Node: node, Environment: environment, Arbiter: arbiter, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
