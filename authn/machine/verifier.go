package machine

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"gatehouse/authn"
	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/machines"
	"gatehouse/tenants"
)

const (
	// maxTenants bounds whose services are in memory at once.
	maxTenants = 1024
	// loadTime bounds reading them, for which several requests may wait.
	loadTime = 5 * time.Second
	// askTime bounds how long a handshake waits for it, and how often.
	askTime = time.Second
)

// Services gives a tenant's services.
type Services interface {
	All(ctx context.Context, tenant identity.TenantID) ([]machines.Machine, error)
}

// Connections gives a tenant's connections to identity providers.
type Connections interface {
	Connections(ctx context.Context, tenant identity.TenantID) ([]tenants.Connection, error)
}

// Config names what a verifier is built of.
type Config struct {
	Services    Services
	Connections Connections
	// Client talks to authorization servers; it must be the guarded one.
	Client *http.Client
	Now    func() time.Time // nil: [time.Now]
}

// Verifier implements [authn.Machines]. It must be closed.
type Verifier struct {
	services    Services
	connections Connections
	client      *http.Client
	now         func() time.Time
	sources     *authn.Providers[source]
	loads       singleflight.Group
	waiting     *waiting

	mu    sync.RWMutex
	known map[identity.TenantID]*snapshot
	// turns counts how often a tenant was forgotten, so that what was read before
	// does not come in afterwards.
	turns map[identity.TenantID]uint64
	every uint64 // how often all were

	// given is what a service was when it was recognised since what is open of it was
	// last looked at; mixed: this and that.
	given map[identity.TenantID]map[identity.ServiceID]uint64
	// asked is what handshakes were last told, for when it cannot be read, and failed
	// when that was last so.
	asked  map[identity.TenantID]*x509.CertPool
	failed map[identity.TenantID]time.Time
}

// New makes a verifier.
func New(c Config) *Verifier {
	if c.Now == nil {
		c.Now = time.Now
	}
	v := &Verifier{services: c.Services, connections: c.Connections, client: c.Client, now: c.Now, waiting: newWaiting(),
		known: map[identity.TenantID]*snapshot{}, turns: map[identity.TenantID]uint64{},
		given: map[identity.TenantID]map[identity.ServiceID]uint64{}, asked: map[identity.TenantID]*x509.CertPool{},
		failed: map[identity.TenantID]time.Time{}}
	v.sources = authn.NewProviders(c.Now, v.discover)
	return v
}

// Close ends what is asked of authorization servers.
func (v *Verifier) Close() { v.sources.Close() }

// turn is a moment between two changes of a tenant's services.
type turn struct{ tenant, every uint64 }

// of gives what a tenant's services are recognised by.
func (v *Verifier) of(ctx context.Context, tenant identity.TenantID) (*snapshot, error) {
	v.mu.RLock()
	s, ok := v.known[tenant]
	read := turn{v.turns[tenant], v.every}
	v.mu.RUnlock()
	if ok {
		return s, nil
	}
	// Others of the same turn may wait for it: it must not end with the request that
	// came first.
	loading := v.loads.DoChan(fmt.Sprint(tenant, read), func() (_ any, err error) {
		defer contain(&err)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		defer cancel()
		return v.load(ctx, tenant, read)
	})
	select {
	case result := <-loading:
		if result.Err != nil {
			return nil, fault.OutOfReach(result.Err, "services-unavailable", "Whose this credential is cannot be checked right now. Try again in a moment.")
		}
		s, _ = result.Val.(*snapshot)
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (v *Verifier) load(ctx context.Context, tenant identity.TenantID, read turn) (*snapshot, error) {
	all, err := v.services.All(ctx, tenant)
	if err != nil {
		return nil, err
	}
	connections, err := v.connections.Connections(ctx, tenant)
	if err != nil {
		return nil, err
	}
	s := newSnapshot(tenant, all, connections)
	v.mu.Lock()
	defer v.mu.Unlock()
	if (turn{v.turns[tenant], v.every}) != read {
		return s, nil // good for whoever has asked before the change, and for nobody after
	}
	for other := range v.known {
		if len(v.known) < maxTenants {
			break
		}
		delete(v.known, other)
	}
	v.known[tenant], v.asked[tenant] = s, s.authorities
	delete(v.failed, tenant)
	return s, nil
}

// Renew reads the services of a tenant that is in use before anybody asks for them:
// by then SQL may be away.
func (v *Verifier) Renew(ctx context.Context, tenant identity.TenantID) error {
	v.mu.RLock()
	_, used := v.asked[tenant]
	v.mu.RUnlock()
	if !used {
		return nil
	}
	_, err := v.of(ctx, tenant)
	return err
}

// Refresh has a tenant's services read anew: they, or its connections, have
// changed.
func (v *Verifier) Refresh(tenant identity.TenantID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.turns[tenant]++
	delete(v.known, tenant)
}

// RefreshAll is [Verifier.Refresh] for every tenant.
func (v *Verifier) RefreshAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.every++
	clear(v.known)
}

// Forget drops what is kept of a tenant that is deleted.
func (v *Verifier) Forget(tenant identity.TenantID) {
	v.Refresh(tenant)
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.given, tenant)
	delete(v.asked, tenant)
	delete(v.failed, tenant)
	v.sources.Forget(tenant)
	v.waiting.forget(tenant)
}

// recognised makes the principal of a service, and notes as which version of it.
func (v *Verifier) recognised(s *snapshot, h *holder, until time.Time) *identity.Principal {
	v.mu.Lock()
	defer v.mu.Unlock()
	of := v.given[s.tenant]
	if of == nil {
		of = map[identity.ServiceID]uint64{}
		v.given[s.tenant] = of
	}
	if before, ok := of[h.id]; ok && before != h.state {
		of[h.id] = mixed
	} else {
		of[h.id] = h.state
	}
	return &identity.Principal{Kind: identity.KindService, Tenant: s.tenant, ID: string(h.id), Name: h.name, Role: h.role, Expires: until}
}

// Good gives those of some services of which everything that is open was let in by
// what they are now, as SQL says. Of the others it must be closed: they were
// changed, and nobody has told this node.
func (v *Verifier) Good(ctx context.Context, tenant identity.TenantID, ids []string) (map[string]bool, error) {
	all, err := v.services.All(ctx, tenant)
	if err != nil {
		return nil, err
	}
	connections, err := v.connections.Connections(ctx, tenant)
	if err != nil {
		return nil, err
	}
	now := map[identity.ServiceID]uint64{}
	for _, m := range all {
		if m.Enabled {
			now[m.ID] = stateOf(m, connections)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	good, of := map[string]bool{}, v.given[tenant]
	for _, id := range ids {
		state, enabled := now[identity.ServiceID(id)]
		if good[id] = enabled && of[identity.ServiceID(id)] == state; !good[id] {
			// Who comes back is judged by what is so now, and not by what is remembered.
			delete(v.known, tenant)
			v.turns[tenant]++
		}
	}
	v.given[tenant] = now
	return good, nil
}

// Authorities gives those whose client certificates a handshake for a tenant asks
// for; nil: none are asked for. It is only said to the client, so that a browser
// bothers nobody who has no such certificate: nobody is believed for it.
func (v *Verifier) Authorities(ctx context.Context, tenant identity.TenantID) *x509.CertPool {
	v.mu.RLock()
	asked, resting := v.asked[tenant], v.now().Sub(v.failed[tenant]) < askTime
	v.mu.RUnlock()
	if resting {
		return asked
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	s, err := v.of(ctx, tenant)
	if err != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.failed[tenant] = v.now()
		return asked
	}
	return s.authorities
}

// contain makes an error of a panic: several wait for what is asked together, in a
// goroutine of its own, and one answer must not be the end of the gateway. The error
// holds the stack, for the log alone.
func contain(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("machine: panic: %v\n%s", cause, debug.Stack())
	}
}

// answer tells a credential that is not good from one that nobody could judge. What
// is wrong with it is for the journal alone: whoever shows it learns nothing of whom
// a tenant recognises by what.
func answer(err error, code, detail string) error {
	if _, said := errors.AsType[*fault.Fault](err); said || errors.Is(err, context.Canceled) {
		return err // of the latter nobody reads the answer
	}
	refusal, ok := errors.AsType[*authn.Refusal](err)
	if !ok || refusal.Reason == authn.ProviderUnreachable || refusal.Reason == authn.ProviderUnusable {
		return fault.OutOfReach(err, "credential-unverifiable", "Whether this credential is good cannot be checked right now. Try again in a moment.")
	}
	f := fault.Wrap(err, fault.Unauthenticated, code, detail)
	f.Reason, f.Message = string(refusal.Reason), refusal.Message
	return f
}
