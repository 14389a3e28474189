package shared

import (
	"context"
	"errors"
	"testing"

	"gatehouse/identity"
	"gatehouse/internal/cluster/redistest"
	"gatehouse/sessions"
)

// lostTable is a record that cannot be asked any more.
type lostTable struct {
	table
	lost bool
}

func (r *lostTable) Live(ctx context.Context, tenant identity.TenantID, hash sessions.TokenHash) (*sessions.Live, error) {
	if r.lost {
		return nil, errors.New("SQL is lost")
	}
	return r.table.Live(ctx, tenant, hash)
}

func (r *lostTable) After(_ context.Context, tenant identity.TenantID, place sessions.Place, _ int) (lives []*sessions.Live, end sessions.Place, more bool, err error) {
	for hash := range r.all {
		if live, _ := r.table.Live(context.Background(), tenant, hash); live != nil {
			lives = append(lives, live)
		}
	}
	return lives, place, false, nil
}

// TestP8_WhatIsWithheldIsNotCopied: while SQL has not got a revocation, what it says
// of the sessions does not come into Redis, where nobody would take it out again if
// the node that ends them in SQL dies right after.
func TestP8_WhatIsWithheldIsNotCopied(t *testing.T) {
	server := redistest.Start(t)
	for name, copies := range map[string]func(*Registry) error{
		"when it is looked up": func(r *Registry) error {
			live, err := r.Find(t.Context(), acme, hashOf(1))
			if live != nil {
				t.Error("served, though withheld")
			}
			return err
		},
		"when the part is filled": func(r *Registry) error { return r.refillPart(t.Context(), acme) },
	} {
		t.Run(name, func(t *testing.T) {
			server.Do("FLUSHALL")
			record := &lostTable{table: table{all: map[sessions.TokenHash]int{hashOf(1): 1, hashOf(2): 2}}}
			r := alone(t, server.URL(), record, 0)
			r.closing() // nothing by itself
			u := sessions.Unsettled{ID: "u", Tenant: acme, Selector: sessions.Selector{Session: live(1).Session().ID}}
			if err := r.withhold(u); err != nil {
				t.Fatal(err)
			}
			if err := copies(r); err != nil {
				t.Fatal(err)
			}
			delete(record.all, hashOf(1)) // by another node, which dies
			r.Settled(u, false)
			r.release(t.Context())
			if len(r.withheld.all) != 0 {
				t.Fatal("withheld still: the test shows nothing")
			}
			record.lost = true
			if live, _ := r.Find(t.Context(), acme, hashOf(1)); live != nil {
				t.Error("a revoked session is served from its copy")
			}
		})
	}
}
