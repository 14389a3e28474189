package proxy

import (
	"context"
	"sync"
	"time"

	"gatehouse/identity"
	"gatehouse/internal/fault"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

// leaveTime is how long streams that were cut may take to leave. A stream
// needs microseconds; one that needs more has a fault of its own.
const leaveTime = time.Second

// sessionless are the streams that no session ends: those of programs with a
// token, and of people whom nobody knows. They end with their token or their
// tenant (P2). There are no more of them than requests under way.
type sessionless struct {
	mu      sync.Mutex
	streams map[identity.TenantID]map[*stream]place
}

// place is one stream's place among its tenant's.
type place struct {
	principal string        // whose it is; "" is nobody's
	left      chan struct{} // closed when the stream has left
}

// enter registers a stream; calling leave again does nothing.
func (l *sessionless) enter(tenant identity.TenantID, principal string, s *stream) (leave func()) {
	here := place{principal, make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams == nil {
		l.streams = map[identity.TenantID]map[*stream]place{}
	}
	if l.streams[tenant] == nil {
		l.streams[tenant] = map[*stream]place{}
	}
	l.streams[tenant][s] = here
	return func() { l.leave(tenant, s) }
}

func (l *sessionless) leave(tenant identity.TenantID, s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	here, inside := l.streams[tenant][s]
	if !inside {
		return
	}
	if delete(l.streams[tenant], s); len(l.streams[tenant]) == 0 {
		delete(l.streams, tenant)
	}
	close(here.left)
}

// end cuts a tenant's streams that are meant, but for the one that asks for it,
// and returns once they have left.
func (l *sessionless) end(ctx context.Context, tenant identity.TenantID, meant func(place) bool) error {
	var cutting sync.WaitGroup
	defer cutting.Wait()
	asking := sessions.Caller(ctx)
	var leaving []chan struct{}
	l.mu.Lock()
	for s, here := range l.streams[tenant] {
		if meant(here) && asking != s {
			leaving = append(leaving, here.left)
			cutting.Go(func() { s.terminate(closePolicy) }) // takes the stream's lock, whose holder may want ours
		}
	}
	l.mu.Unlock()
	timeout := time.NewTimer(leaveTime)
	defer timeout.Stop()
	for _, left := range leaving {
		select {
		case <-left:
		case <-ctx.Done(): // nobody waits for the answer
			return ctx.Err()
		case <-timeout.C:
			f := fault.New(fault.Unavailable, "revocation-unconfirmed",
				"It is done, but a connection has not been seen to close yet. Try again in a moment.")
			f.RetryAfter = time.Second
			return f
		}
	}
	return nil
}

// EndTenant closes what a tenant has open without a session, and returns once
// it is closed. The tenant must be suspended or deleted before, and its
// sessions are ended elsewhere. It may be repeated after an error.
func (g *Gate) EndTenant(ctx context.Context, tenant identity.TenantID) error {
	return g.sessionless.end(ctx, tenant, func(place) bool { return true })
}

// End closes what a principal without a session, such as an API token, has
// open, and returns once it is closed. Its credential must be void before. It
// may be repeated after an error.
func (g *Gate) End(ctx context.Context, tenant identity.TenantID, principal string) error {
	return g.sessionless.end(ctx, tenant, func(p place) bool { return p.principal == principal })
}

// attend puts a stream under what ends it: its session, or else its token and
// tenant. It fails when one of them has ended already.
func (g *Gate) attend(v *visit, s *stream, c caller) error {
	if c.live != nil {
		leave, ok := c.live.Enter(s)
		if !ok {
			return errSignedOut
		}
		s.leave = leave
		return nil
	}
	principal := ""
	if c.principal != nil {
		principal = c.principal.ID
	}
	leave := g.sessionless.enter(v.tenant.ID, principal, s)
	if err := g.recheck(v, c); err != nil {
		leave()
		return err
	}
	s.leave = leave
	return nil
}

// recheck asks again whether tenant and token are good, now that the stream can
// be found: if they are not from now on, end finds it.
func (g *Gate) recheck(v *visit, c caller) error {
	if t, ok := g.config.Tenants.ByHost(canonicalHost(v.r.Host)); !ok || t.ID != v.tenant.ID || t.Status != tenants.Active {
		return errSuspended
	}
	if c.principal == nil {
		return nil
	}
	p, _, err := g.config.Caller(v.r)
	switch {
	case err != nil:
		return err
	case p == nil || p.ID != c.principal.ID:
		return errSignedOut
	}
	return nil
}
