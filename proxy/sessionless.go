package proxy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
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
	next   atomic.Uint32 // where the next one goes: by turns, so that they seldom meet
	shards [32]struct {
		mu      sync.Mutex
		streams map[*stream]place
	}
}

// place is one stream's place.
type place struct {
	tenant    identity.TenantID
	principal string        // whose it is; "" is nobody's
	left      chan struct{} // closed when the stream has left; nil unless somebody waits for that
}

// enter registers a stream; calling leave again does nothing.
func (l *sessionless) enter(tenant identity.TenantID, principal string, s *stream) (leave func()) {
	shard := &l.shards[l.next.Add(1)%uint32(len(l.shards))]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.streams == nil {
		shard.streams = map[*stream]place{}
	}
	shard.streams[s] = place{tenant: tenant, principal: principal}
	return func() {
		shard.mu.Lock()
		defer shard.mu.Unlock()
		if left := shard.streams[s].left; left != nil {
			close(left)
		}
		delete(shard.streams, s)
	}
}

// end cuts the streams that are meant, but for the one that asks for it, and
// returns once they have left. Whatever enters meanwhile sees that it may not.
func (l *sessionless) end(ctx context.Context, meant func(place) bool) error {
	var cutting sync.WaitGroup
	defer cutting.Wait()
	asking := sessions.Caller(ctx)
	var leaving []<-chan struct{}
	for i := range l.shards {
		shard := &l.shards[i]
		shard.mu.Lock()
		for s, here := range shard.streams {
			if !meant(here) || asking == s {
				continue
			}
			if here.left == nil {
				here.left = make(chan struct{})
				shard.streams[s] = here
			}
			leaving = append(leaving, here.left)
			cutting.Go(func() { s.terminate(closePolicy) }) // takes the stream's lock, whose holder may want ours
		}
		shard.mu.Unlock()
	}
	return awaitLeaving(ctx, leaving)
}

// awaitLeaving returns once streams that were cut have left.
func awaitLeaving(ctx context.Context, leaving []<-chan struct{}) error {
	if len(leaving) == 0 {
		return nil
	}
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

// Sessionless gives, per tenant, whose streams are open that no session ends;
// nobody's is "".
func (g *Gate) Sessionless() map[identity.TenantID]map[string]bool {
	open := map[identity.TenantID]map[string]bool{}
	for i := range g.sessionless.shards {
		shard := &g.sessionless.shards[i]
		shard.mu.Lock()
		for _, here := range shard.streams {
			if open[here.tenant] == nil {
				open[here.tenant] = map[string]bool{}
			}
			open[here.tenant][here.principal] = true
		}
		shard.mu.Unlock()
	}
	return open
}

// EndTenant closes what a tenant has open without a session, and returns once
// it is closed. The tenant must be suspended or deleted before, and its
// sessions are ended elsewhere. It may be repeated after an error.
func (g *Gate) EndTenant(ctx context.Context, tenant identity.TenantID) error {
	return g.sessionless.end(ctx, func(p place) bool { return p.tenant == tenant })
}

// End closes what some principals without a session, such as API tokens, have
// open, and returns once it is closed. Their credentials must be void before. It
// may be repeated after an error.
func (g *Gate) End(ctx context.Context, tenant identity.TenantID, principals ...string) error {
	return g.sessionless.end(ctx, func(p place) bool { return p.tenant == tenant && slices.Contains(principals, p.principal) })
}

// attend puts a stream under what ends it: its session, or else its token and
// tenant. It fails when one of them has ended already.
func (g *Gate) attend(v *visit, s *stream, c caller) error {
	if c.live != nil {
		return g.attendSession(v, s, c.live)
	}
	s.memory = g.config.Memory
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
	if c.principal != nil && !c.principal.Expires.IsZero() {
		// A stream asks nobody whether its token is still good.
		expiry := time.AfterFunc(time.Until(c.principal.Expires), func() { s.terminate(closePolicy) })
		s.leave = func() { expiry.Stop(); leave() }
	}
	return nil
}

var errUnsure = fault.New(fault.Unavailable, "session-unsure",
	"This node is not certain at this moment that you are still signed in. Try again in a moment.")

// attendSession puts a stream under its session. Nobody enters one that is over,
// nor one that this node was in doubt of since it was found; that is found anew,
// for who is signed in must not be told otherwise.
func (g *Gate) attendSession(v *visit, s *stream, live *sessions.Live) error {
	leave, ok := live.Enter(s)
	if !ok {
		p, again, err := g.config.Caller(v.r)
		switch {
		case err != nil:
			return err
		case again == nil || p.Session != live.Principal().Session:
			return errSignedOut
		}
		if leave, ok = again.Enter(s); !ok {
			return errUnsure
		}
		live = again
	}
	s.leave, s.live = leave, live
	if v.recent > 0 || v.factor > 0 {
		// What goes on does so for as long as it might be asked for anew.
		until := live.Principal().AuthTime.Add(v.recent)
		if v.factor > 0 {
			until = live.Principal().FactorTime.Add(v.factor)
		}
		aged := time.AfterFunc(time.Until(until), func() { s.terminate(closeRestart) })
		s.leave = func() { aged.Stop(); leave() }
	}
	return nil
}

// recheck asks again whether tenant and token are good, now that the stream can
// be found: if they are not from now on, end finds it.
func (g *Gate) recheck(v *visit, c caller) error {
	if err := g.config.Memory.Current(); err != nil {
		return err
	}
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
	case p.Kind != c.principal.Kind || p.Role != c.principal.Role:
		return errUnsure // what was decided was decided for who they were
	}
	return nil
}
