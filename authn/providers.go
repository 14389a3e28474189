package authn

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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
	// providerPatience is how long a fetch is waited for by those who can go on
	// with what is known already.
	providerPatience = time.Second
	// providerRest is how long a provider that failed is not asked again.
	providerRest = 10 * time.Second
	// maxProviders bounds what is kept, and maxTenantProviders what of one tenant:
	// its admins choose how much there is to keep. What was not used for longest goes
	// first.
	maxProviders       = 8192
	maxTenantProviders = 100
	// maxFetches bounds what is waited for at once, and maxTenantFetches what of one
	// tenant, whose providers may never answer.
	maxFetches       = 1024
	maxTenantFetches = 16
)

// Providers keeps what is known of the identity providers behind connections,
// as their protocol reads it, so that not every sign-in fetches it. It is safe
// for concurrent use, and must be closed.
type Providers[P any] struct {
	fetch func(context.Context, tenants.Connection) (P, error)
	now   func() time.Time

	fetches sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	waiting map[identity.TenantID]int // fetches under way
	known   map[identity.TenantID]map[identity.ConnectionID]*knownProvider[P]
}

// knownProvider is what is known by one version of a connection.
type knownProvider[P any] struct {
	version  uint64
	provider P
	used     time.Time
	fetched  time.Time // zero: never
	err      error     // of the last fetch
	failed   time.Time

	done   chan struct{} // closed at the end of the fetch under way; nil if there is none
	cancel context.CancelFunc
}

// NewProviders makes an empty store of what fetch gives.
func NewProviders[P any](now func() time.Time, fetch func(context.Context, tenants.Connection) (P, error)) *Providers[P] {
	return &Providers[P]{fetch: fetch, now: now, waiting: map[identity.TenantID]int{}, known: map[identity.TenantID]map[identity.ConnectionID]*knownProvider[P]{}}
}

// Of gives the provider of a connection, fetched anew where what is known is
// not fresh. While that fails or takes long, what is known stands in.
func (p *Providers[P]) Of(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (P, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, err := p.find(tenant, c)
	if err != nil {
		return *new(P), err
	}
	now := p.now()
	if now.Sub(k.fetched) < providerFresh || k.err != nil && now.Sub(k.failed) < providerRest {
		return k.best(now)
	}
	if k.done == nil && !p.begin(ctx, tenant, k, c) {
		return k.best(now)
	}
	var enough <-chan time.Time
	if now.Sub(k.fetched) < providerStale {
		patience := time.NewTimer(providerPatience)
		defer patience.Stop()
		enough = patience.C
	}
	done := k.done
	p.mu.Unlock()
	select {
	case <-done:
	case <-enough:
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	if err != nil {
		return *new(P), err
	}
	return k.best(now)
}

// Again gives the provider of a connection fetched anew, however fresh what is
// known is: an answer does not fit it. It is false where that was done a moment
// ago, so that answers that fit nothing do not have it asked at will, or fails.
func (p *Providers[P]) Again(ctx context.Context, tenant identity.TenantID, c tenants.Connection) (P, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, err := p.find(tenant, c)
	now := p.now()
	if err != nil || k.done == nil && (now.Sub(k.fetched) < providerRest || k.err != nil && now.Sub(k.failed) < providerRest) {
		return *new(P), false
	}
	if k.done == nil && !p.begin(ctx, tenant, k, c) {
		return *new(P), false
	}
	done := k.done
	p.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	return k.provider, err == nil && k.err == nil
}

// errTooManyWaited is why a provider of which nothing is known is not asked.
var errTooManyWaited = Refuse(ProviderUnreachable, "Too many identity providers are waited for already.")

// best is what can be said of a provider now.
func (k *knownProvider[P]) best(now time.Time) (P, error) {
	switch {
	case now.Sub(k.fetched) < providerStale:
		return k.provider, nil
	case k.err == nil:
		return *new(P), errTooManyWaited
	}
	return *new(P), k.err
}

// find gives the place of a connection. Another version of it is another
// connection: what its provider was is nothing to go by.
func (p *Providers[P]) find(tenant identity.TenantID, c tenants.Connection) (*knownProvider[P], error) {
	of := p.known[tenant]
	if k := of[c.ID]; k != nil && k.version == c.Version {
		k.used = p.now()
		return k, nil
	}
	p.drop(tenant, c.ID)
	if p.closed {
		return nil, errTooManyWaited
	}
	p.makeRoom(tenant)
	if of = p.known[tenant]; of == nil {
		of = map[identity.ConnectionID]*knownProvider[P]{}
		p.known[tenant] = of
	}
	k := &knownProvider[P]{version: c.Version, used: p.now()}
	of[c.ID] = k
	return k, nil
}

// makeRoom forgets what was not used for longest where there is one too many. What
// is waited for stays, of which there is far less.
func (p *Providers[P]) makeRoom(tenant identity.TenantID) {
	if len(p.known[tenant]) >= maxTenantProviders {
		p.dropOldest(tenant)
		return
	}
	n := 0
	for _, of := range p.known {
		n += len(of)
	}
	if n >= maxProviders {
		p.dropOldest(slices.Collect(maps.Keys(p.known))...)
	}
}

func (p *Providers[P]) dropOldest(among ...identity.TenantID) {
	var tenant identity.TenantID
	var oldest identity.ConnectionID
	var used time.Time
	for _, t := range among {
		for id, k := range p.known[t] {
			if k.done == nil && (oldest == "" || k.used.Before(used)) {
				tenant, oldest, used = t, id, k.used
			}
		}
	}
	p.drop(tenant, oldest)
}

func (p *Providers[P]) drop(tenant identity.TenantID, id identity.ConnectionID) {
	of := p.known[tenant]
	if k := of[id]; k != nil && k.done != nil {
		k.cancel()
	}
	if delete(of, id); len(of) == 0 {
		delete(p.known, tenant)
	}
}

// begin fetches, unless too much is waited for. Many may wait for it: it must not
// end with the browser that came first.
func (p *Providers[P]) begin(ctx context.Context, tenant identity.TenantID, k *knownProvider[P], c tenants.Connection) bool {
	all := 0
	for _, n := range p.waiting {
		all += n
	}
	if all >= maxFetches || p.waiting[tenant] >= maxTenantFetches {
		return false
	}
	p.waiting[tenant]++
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), providerWait)
	done := make(chan struct{})
	k.done, k.cancel = done, cancel
	p.fetches.Go(func() {
		defer close(done)
		defer cancel()
		provider, err := p.ask(ctx, c)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting[tenant]--; p.waiting[tenant] == 0 {
			delete(p.waiting, tenant)
		}
		k.done, k.err = nil, err
		if err != nil {
			k.failed = p.now()
			return
		}
		k.provider, k.fetched = provider, p.now()
	})
	return true
}

// ask fetches what strangers wrote; reading it must not be the end of more than
// one sign-in.
func (p *Providers[P]) ask(ctx context.Context, c tenants.Connection) (provider P, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("authn: read the provider of %s: panic: %v", c.Name, cause)
		}
	}()
	return p.fetch(ctx, c)
}

// Forget drops what is known of a tenant that is deleted.
func (p *Providers[P]) Forget(tenant identity.TenantID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.known[tenant] {
		p.drop(tenant, id)
	}
}

// Close breaks off what is under way and waits for its end.
func (p *Providers[P]) Close() {
	p.mu.Lock()
	p.closed = true
	for tenant, of := range p.known {
		for id := range of {
			p.drop(tenant, id)
		}
	}
	p.mu.Unlock()
	p.fetches.Wait()
}
