package httpkit

import (
	"context"
	"strings"
	"sync"

	"gatehouse/identity"
)

type behalfKey struct{}

// OnBehalf says whose settings make the gateway fetch what it fetches, where no request
// to their host does.
func OnBehalf(ctx context.Context, tenant identity.TenantID) context.Context {
	return context.WithValue(ctx, behalfKey{}, tenant)
}

func behalfOf(ctx context.Context) identity.TenantID {
	if tenant, ok := ctx.Value(behalfKey{}).(identity.TenantID); ok {
		return tenant
	}
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		return r.Tenant
	}
	return ""
}

// sharer is a tenant at a host: many have their identity provider at the same one,
// and none of them can hold up the others there.
type sharer struct {
	tenant identity.TenantID
	host   string
}

// shares bound how much of each sharer is fetched at once. Whoever comes when there is
// no place waits.
type shares struct {
	each int
	mu   sync.Mutex
	of   map[sharer]*share // of those who fetch, or wait
}

type share struct {
	places chan struct{}
	users  int // who fetch, or wait
}

// take waits until ctx ends for a place, and gives what gives it back, once.
func (s *shares) take(ctx context.Context, host string) (leave func(), err error) {
	of := sharer{behalfOf(ctx), strings.ToLower(host)}
	s.mu.Lock()
	one := s.of[of]
	if one == nil {
		one = &share{places: make(chan struct{}, s.each)}
		s.of[of] = one
	}
	one.users++
	s.mu.Unlock()
	part := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(s.of, of)
		}
	}
	select {
	case one.places <- struct{}{}:
		return sync.OnceFunc(func() { <-one.places; part() }), nil
	case <-ctx.Done():
		part()
		return nil, ctx.Err()
	}
}
