package authn

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"gatehouse/identity"
	"gatehouse/tenants"
)

const (
	// providerFresh is how long what was fetched of a provider is used: short, so
	// that one that changes its keys or addresses is followed.
	providerFresh = 15 * time.Minute
	// providerStale is how long it may still be used while the provider cannot be
	// reached.
	providerStale = 24 * time.Hour
	// providerWait bounds a fetch, which others may wait for.
	providerWait = 15 * time.Second
	// maxProviders bounds what is kept.
	maxProviders = 512
)

// Providers keeps what is known of the identity providers behind connections,
// as their protocol reads it, so that not every sign-in fetches it. It is safe
// for concurrent use.
type Providers[P any] struct {
	fetch func(context.Context, tenants.Connection) (P, error)
	now   func() time.Time

	fetches singleflight.Group
	mu      sync.Mutex
	known   map[providerKey]knownProvider[P]
}

// providerKey keeps tenants apart, and an old version of a connection from a new.
type providerKey struct {
	tenant     identity.TenantID
	connection identity.ConnectionID
	version    uint64
}

type knownProvider[P any] struct {
	provider P
	fetched  time.Time
}

// NewProviders makes an empty store of what fetch gives.
func NewProviders[P any](now func() time.Time, fetch func(context.Context, tenants.Connection) (P, error)) *Providers[P] {
	return &Providers[P]{fetch: fetch, now: now, known: map[providerKey]knownProvider[P]{}}
}

// Of gives the provider of a connection, fetched anew where what is known is
// not fresh. While that fails, what is known stands in.
func (p *Providers[P]) Of(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (P, error) {
	key := providerKey{tenant, c.ID, c.Version}
	known, ok := p.lookup(key)
	if ok && p.now().Sub(known.fetched) < providerFresh {
		return known.provider, nil
	}
	fresh, err, _ := p.fetches.Do(fmt.Sprint(key), func() (any, error) {
		// Others wait for it too: it must not end with the browser that came first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), providerWait)
		defer cancel()
		provider, err := p.fetch(ctx, c)
		if err == nil {
			p.keep(key, knownProvider[P]{provider, p.now()})
		}
		return provider, err
	})
	if err != nil && ok && p.now().Sub(known.fetched) < providerStale {
		return known.provider, nil
	}
	provider, _ := fresh.(P) // the zero value, beside an error
	return provider, err
}

func (p *Providers[P]) lookup(key providerKey) (knownProvider[P], bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.known[key]
	return known, ok
}

func (p *Providers[P]) keep(key providerKey, known knownProvider[P]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := range p.known {
		if len(p.known) < maxProviders {
			break
		}
		delete(p.known, other)
	}
	p.known[key] = known
}
