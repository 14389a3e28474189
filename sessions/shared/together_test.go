package shared

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/identity"
	"gatehouse/sessions"
)

// counted is a record that counts the questions, of which the first ones wait.
type counted struct {
	*table
	asked atomic.Int64
	gate  chan struct{}
}

func (c *counted) Live(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	c.asked.Add(1)
	<-c.gate
	return c.table.Live(ctx, tenant, hash)
}

func (c *counted) Lives(ctx context.Context, tenant identity.TenantID, hashes []sessions.TokenHash) ([]*sessions.Live, error) {
	c.asked.Add(1)
	<-c.gate
	return c.table.Lives(ctx, tenant, hashes)
}

// TestManyAskTogether: everybody comes at once, and SQL is asked a few times.
func TestManyAskTogether(t *testing.T) {
	const many = 900
	record := &counted{table: &table{all: map[sessions.TokenHash]int{}}, gate: make(chan struct{})}
	for i := range many {
		record.all[hashOf(i)] = i
	}
	r := alone(t, nowhere, record, 0)
	asks, ok := r.record.(*together)
	if !ok {
		t.Fatal("nobody asks together")
	}
	var group sync.WaitGroup
	for i := range many + 50 { // the last are nobody
		q := asks.join(t.Context(), acme, hashOf(i))
		group.Go(func() {
			<-q.done
			s, ok := q.lives[hashOf(i)]
			if ok != (i < many) || ok && s.ID != live(i).Session().ID || q.err != nil {
				t.Errorf("session %d: %t, %v, %v", i, ok, s.ID, q.err)
			}
		})
	}
	close(record.gate)
	group.Wait()
	if n := record.asked.Load(); n > asksAtOnce+3 {
		t.Errorf("%d questions for %d sessions", n, many)
	}
	for i := range many {
		if l, err := r.Find(t.Context(), acme, hashOf(i)); l == nil || err != nil || l.Session().ID != live(i).Session().ID {
			t.Fatalf("session %d: %v, %v", i, l, err)
		}
	}
}
