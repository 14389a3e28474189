package brake_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/directory/brake"
	"gatehouse/identity"
	"gatehouse/internal/store"
)

// nowhere has no tenant.
type nowhere struct{}

func (nowhere) Tenant(identity.TenantID) store.Tenant { return store.Tenant{} }

// A node that is alone has held itself whatever is held: it opens every tenant's file at
// its start, and again only if it could not.
func TestANodeThatIsAloneLooksOnce(t *testing.T) {
	for name, c := range map[string]struct {
		alone   bool
		tenants []identity.TenantID
		looks   int
	}{
		"alone": {true, nil, 1}, "with others": {false, nil, 4}, "alone, with one that cannot be read": {true, []identity.TenantID{"ten_1"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				looks := 0
				s := brake.New(brake.Config{Store: nowhere{}, Alone: c.alone, Log: slog.New(slog.DiscardHandler), Rules: func(identity.TenantID) brake.Rules { return fifth },
					Tenants: func() []identity.TenantID { looks++; return c.tenants }})
				ctx, stop := context.WithTimeout(t.Context(), 3*time.Hour+time.Minute)
				defer stop()
				must(t, s.Run(ctx))
				if looks != c.looks {
					t.Errorf("it has looked %d times, not %d", looks, c.looks)
				}
			})
		})
	}
}

// Whoever looks at it again and again does not have everybody be counted each time.
func TestALookCountsNobodyAgain(t *testing.T) {
	h := newHouse(t, fifth)
	h.people(20)
	h.stands(brake.Open, 0, 20, 4)
	h.people(10)
	h.passes(time.Minute - time.Millisecond)
	h.stands(brake.Open, 0, 20, 4)
	h.passes(time.Millisecond)
	h.stands(brake.Open, 0, 30, 6)
	h.people(10)
	h.passes(time.Second)
	_, err := h.a.brake.Reset(t.Context(), admin, h.tenant, 0)
	must(t, err)
	h.stands(brake.Open, 0, 40, 8)
}
