package shared_test

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/internal/cluster/clustertest"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/sessions"
	"gatehouse/sessions/sessiontest"
	"gatehouse/sessions/shared"
)

// recorded keeps a record in step with a registry, as the service does with SQL.
type recorded struct {
	*shared.Registry
	mu  sync.Mutex
	all map[sessions.TokenHash]sessions.Session
}

func (r *recorded) note(live *sessions.Live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[live.Hash()] = live.Session()
}

// Load notes what is loaded.
func (r *recorded) Load(ctx context.Context, tenant identity.TenantID, all iter.Seq2[*sessions.Live, error]) error {
	return r.Registry.Load(ctx, tenant, func(yield func(*sessions.Live, error) bool) {
		for live, err := range all {
			if err == nil {
				r.note(live)
			}
			if !yield(live, err) {
				return
			}
		}
	})
}

// Add notes what is added.
func (r *recorded) Add(ctx context.Context, live *sessions.Live) error {
	r.note(live)
	return r.Registry.Add(ctx, live)
}

// End ends it in the record first.
func (r *recorded) End(ctx context.Context, tenant identity.TenantID, sel sessions.Selector, hashes []sessions.TokenHash, reason string) (sessions.Ended, error) {
	r.mu.Lock()
	for hash, s := range r.all {
		if s.Tenant == tenant && sel.Selects(&s) {
			hashes = append(hashes, hash)
			delete(r.all, hash)
		}
	}
	r.mu.Unlock()
	return r.Registry.End(ctx, tenant, sel, hashes, reason)
}

// Live implements [shared.Record].
func (r *recorded) Live(_ context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.all[hash]; ok && s.Tenant == tenant {
		return sessions.NewLive(s, hash), nil
	}
	return nil, nil
}

// Lives asks for one after the other.
func (r *recorded) Lives(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) (lives []*sessions.Live, err error) {
	for _, hash := range hashes {
		if live, _ := r.Live(ctx, tenant, hash); live != nil {
			lives = append(lives, live)
		}
	}
	return lives, nil
}

// Which implements [shared.Record].
func (r *recorded) Which(_ context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) (map[sessions.TokenHash]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := map[sessions.TokenHash]bool{}
	for _, hash := range hashes {
		if s, ok := r.all[hash]; ok && s.Tenant == tenant {
			live[hash] = true
		}
	}
	return live, nil
}

// After implements [shared.Record].
func (r *recorded) After(context.Context, identity.TenantID, sessions.Place, int) ([]*sessions.Live, sessions.Place, bool, error) {
	return nil, sessions.Place{}, false, nil
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sessiontest.Registry(t, func(t *testing.T) sessions.Registry {
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		bus, err := cluster.NewRedis(cluster.Options{URL: server.URL(), Node: "n1", Environment: t.Name(), Arbiter: clustertest.NewMemory().Way(), Log: log})
		if err != nil {
			t.Fatal(err)
		}
		client, err := cluster.Connect(server.URL(), 16)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		r := &recorded{all: map[sessions.TokenHash]sessions.Session{}}
		r.Registry = shared.New(shared.Options{Node: "n1", Environment: t.Name(), Bus: bus, Redis: client, Keys: testKeys{}, Record: r, Log: log})
		clustertest.Start(t, bus)
		// What SQL calls over may end before End does it.
		clustertest.Until(t, "SQL is not asked", func() bool { return bus.Fresh() && !bus.Apart() })
		return r
	})
}
