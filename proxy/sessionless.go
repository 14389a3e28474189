package proxy

import (
	"context"
	"fmt"
	"sync"

	"gatehouse/identity"
	"gatehouse/tenants"
)

// sessionless are the streams that no session ends: those of programs with a
// token, and of public routes. They end with their tenant (P2).
type sessionless struct {
	mu      sync.Mutex
	streams map[identity.TenantID]map[*stream]chan struct{} // closed when the stream has left
}

// enter registers a stream; leave may be called once.
func (l *sessionless) enter(tenant identity.TenantID, s *stream) (leave func()) {
	left := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams == nil {
		l.streams = map[identity.TenantID]map[*stream]chan struct{}{}
	}
	if l.streams[tenant] == nil {
		l.streams[tenant] = map[*stream]chan struct{}{}
	}
	l.streams[tenant][s] = left
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if delete(l.streams[tenant], s); len(l.streams[tenant]) == 0 {
			delete(l.streams, tenant)
		}
		close(left)
	}
}

// end cuts a tenant's streams and returns once they have left.
func (l *sessionless) end(ctx context.Context, tenant identity.TenantID) error {
	l.mu.Lock()
	var leaving []chan struct{}
	for s, left := range l.streams[tenant] {
		leaving = append(leaving, left)
		go s.terminate(closePolicy) // it may wait for a write under way; its handler outlasts it
	}
	l.mu.Unlock()
	for _, left := range leaving {
		select {
		case <-left:
		case <-ctx.Done():
			return fmt.Errorf("proxy: end the streams of %s: %w", tenant, ctx.Err())
		}
	}
	return nil
}

// EndTenant closes what a tenant has open without a session, and returns once
// it is closed. The tenant must be suspended or deleted before, and its
// sessions end by themselves.
func (g *Gate) EndTenant(ctx context.Context, tenant identity.TenantID) error {
	return g.sessionless.end(ctx, tenant)
}

// attend puts a stream under what ends it: its session, or else its tenant. It
// fails when that has ended already.
func (g *Gate) attend(v *visit, s *stream, c caller) error {
	if c.live != nil {
		leave, ok := c.live.Enter(s)
		if !ok {
			return errSignedOut
		}
		s.leave = leave
		return nil
	}
	leave := g.sessionless.enter(v.tenant.ID, s)
	// The tenant may have been suspended since stage 2; if it is from now on,
	// EndTenant finds the stream.
	if t, ok := g.config.Tenants.ByHost(canonicalHost(v.r.Host)); !ok || t.ID != v.tenant.ID || t.Status != tenants.Active {
		leave()
		return errSuspended
	}
	s.leave = leave
	return nil
}
