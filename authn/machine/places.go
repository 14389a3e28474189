package machine

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

const (
	// maxRegular bounds how many answers about tokens that were good before are waited
	// for at once for one tenant, whose server may be slow.
	maxRegular = 8
	// maxOther is the same for all other tokens, which anybody can show.
	maxOther = 8
	// maxAtHome is the same for those of them that are shown where a service came from
	// lately: its next token is there as unknown as a stranger's elsewhere.
	maxAtHome = 8
	// maxOfNetwork is how many of those are for who comes from one place, so that the
	// rest is there for others.
	maxOfNetwork = 4
	// maxWaiting bounds how many wait for such a place, each network's and all
	// together: whoever waits does so also after the request is gone.
	maxWaiting = 64
	// placeTime is how long whoever waits does so. What is left of introspectTime is
	// for the answer, so that a server that hangs is not asked for moments.
	placeTime = 2 * time.Second
	// regularFor is how long a token stays a regular that is not shown, and a site one
	// from where none is.
	regularFor = time.Hour
)

// waiting shares out the waiting for authorization servers. Tokens that their server
// called good before have places that no stranger's token can take, and so has what is
// shown where they came from, among strangers of these sites alone.
type waiting struct {
	regulars regulars
	homes    regulars
	regular  places[identity.TenantID]
	atHome   places[identity.TenantID]
	other    places[identity.TenantID]
	networks places[asker]
}

// asker is where a token comes from that is asked about: whoever has a site has as
// many networks as they like.
type asker struct {
	tenant identity.TenantID
	site   netip.Prefix
}

func askerOf(ctx context.Context, tenant identity.TenantID) asker {
	return asker{tenant, httpkit.ClientSite(httpkit.RequestFrom(ctx).ClientIP)}
}

// home is how a site is remembered.
func (a asker) home() digest { return sha256.Sum256([]byte("site " + a.site.String())) }

func newWaiting() *waiting {
	return &waiting{
		regulars: regulars{of: map[identity.TenantID]memory{}},
		homes:    regulars{of: map[identity.TenantID]memory{}},
		regular:  newPlaces[identity.TenantID](maxRegular, maxRemembered),
		atHome:   newPlaces[identity.TenantID](maxAtHome, maxWaiting),
		other:    newPlaces[identity.TenantID](maxOther, maxWaiting),
		networks: newPlaces[asker](maxOfNetwork, maxWaiting),
	}
}

// place waits for one; who has it must leave it.
func (w *waiting) place(ctx context.Context, from asker, key digest, now time.Time) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, placeTime)
	defer cancel()
	if w.regulars.has(from.tenant, key, now) {
		leave, err = w.regular.take(ctx, from.tenant)
		return leave, crowded(err)
	}
	among := w.other
	if w.homes.has(from.tenant, from.home(), now) {
		among = w.atHome
	}
	// The network's comes first: of those that wait for the tenant's, no network has
	// more than its share either.
	leaveNetwork, err := w.networks.take(ctx, from)
	if err != nil {
		return nil, crowded(err)
	}
	leaveOther, err := among.take(ctx, from.tenant)
	if err != nil {
		leaveNetwork()
		return nil, crowded(err)
	}
	return func() { leaveOther(); leaveNetwork() }, nil
}

func crowded(err error) error {
	if err == nil {
		return nil
	}
	return authn.Refuse(authn.ProviderUnreachable, "Too many answers of the authorization server are waited for already.").Because(err)
}

// places are so many for each of those who share some. Whoever finds none free waits,
// first come first served.
type places[K comparable] struct {
	each, waiting int
	mu            *sync.Mutex
	lines         map[K]*line // of those who have a place, or wait
}

type line struct {
	free   *semaphore.Weighted
	within int // who have a place, or wait
}

func newPlaces[K comparable](each, waiting int) places[K] {
	return places[K]{each: each, waiting: waiting, mu: &sync.Mutex{}, lines: map[K]*line{}}
}

var errLongLine = errors.New("machine: too many wait for a place")

// take waits until ctx ends for a place of those that belong to one, and gives what
// gives it back.
func (p places[K]) take(ctx context.Context, of K) (leave func(), err error) {
	l, err := p.join(of)
	if err != nil {
		return nil, err
	}
	if err := l.free.Acquire(ctx, 1); err != nil {
		p.part(of, l)
		return nil, err
	}
	return func() { l.free.Release(1); p.part(of, l) }, nil
}

func (p places[K]) join(of K) (*line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[of]
	if l == nil {
		l = &line{free: semaphore.NewWeighted(int64(p.each))}
		p.lines[of] = l
	}
	if l.within >= p.each+p.waiting {
		return nil, errLongLine
	}
	l.within++
	return l, nil
}

func (p places[K]) part(of K, l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.within--; l.within == 0 {
		delete(p.lines, of)
	}
}

// good notes whose token was good, and from where it was shown.
func (w *waiting) good(from asker, key digest, now time.Time) {
	w.regulars.add(from.tenant, key, now)
	w.homes.add(from.tenant, from.home(), now)
}

// forget lets go of a tenant that is deleted.
func (w *waiting) forget(tenant identity.TenantID) {
	w.regulars.forget(tenant)
	w.homes.forget(tenant)
}

// regulars are the tokens by which services were recognised lately. That gives a place
// to be asked about again and nothing else, so a change of the services does not
// forget them: what a token is good for now its server and they decide anew.
type regulars struct {
	mu sync.Mutex
	of map[identity.TenantID]memory
}

func (r *regulars) has(tenant identity.TenantID, key digest, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.of[tenant]
	if ok {
		_, ok = m.get(key, now)
	}
	return ok
}

func (r *regulars) add(tenant identity.TenantID, key digest, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.of[tenant]
	if !ok {
		for other := range r.of {
			if len(r.of) < maxTenants {
				break
			}
			delete(r.of, other)
		}
		m = newMemory()
		r.of[tenant] = m
	}
	m.put(key, verdict{until: now.Add(regularFor)})
}

// drop lets go of a token that is not good any more.
func (r *regulars) drop(tenant identity.TenantID, key digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.of[tenant]
	if !ok {
		return
	}
	if m.drop(key); len(m.kept) == 0 {
		delete(r.of, tenant)
	}
}

func (r *regulars) forget(tenant identity.TenantID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, tenant)
}
