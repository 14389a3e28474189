package authn

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"gatehouse/identity"
	"gatehouse/sessions"
	"gatehouse/tenants"
)

const (
	// takeBackTime bounds having a provider forget a token, and takeBacks how many are
	// asked at once: one more is left to run out.
	takeBackTime = 5 * time.Second
	takeBacks    = 32
)

// TakerBack is a [Protocol] whose identity providers can be had forget what they were
// to be asked by.
type TakerBack interface {
	// TakeBack has what [Assertion.Refresh] was be good for nothing any more.
	TakeBack(ctx context.Context, tenant identity.TenantID, c tenants.Connection, refresh string) error
}

// takeBack has the provider forget what nobody here needs any more, beside the request
// and without anybody waiting: a provider that does not answer keeps nobody signed in.
func (s *Service) takeBack(ctx context.Context, tenant identity.TenantID, c tenants.Connection, refresh string) {
	protocol, ok := s.protocols[c.Type].(TakerBack)
	if !ok || refresh == "" {
		return
	}
	select {
	case s.takesBack <- struct{}{}:
	default:
		s.log.WarnContext(ctx, "a refresh token is not taken back: too many are being", "tenant", tenant, "connection", c.Name)
		return
	}
	go func() {
		defer func() { <-s.takesBack }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
		defer cancel()
		if err := takeBackBy(ctx, protocol, tenant, c, refresh); err != nil {
			s.log.WarnContext(ctx, "a refresh token was not taken back", "tenant", tenant, "connection", c.Name, "error", err)
		}
	}()
}

// takeBackBy contains what reading a provider's answer may bring about.
func takeBackBy(ctx context.Context, protocol TakerBack, tenant identity.TenantID, c tenants.Connection, refresh string) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("authn: panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return protocol.TakeBack(ctx, tenant, c, refresh)
}

// keptRefresh is what there is to take back once a session is over, which forgets it.
func (s *Service) keptRefresh(ctx context.Context, live *sessions.Live) (c tenants.Connection, refresh string) {
	p := live.Principal()
	c, err := s.tenants.ConnectionByID(ctx, p.Tenant, p.Connection)
	if _, ok := s.protocols[c.Type].(TakerBack); err != nil || !ok {
		return c, ""
	}
	if refresh, err = s.sessions.KeptRefresh(ctx, p.Tenant, p.Session); err != nil {
		s.log.WarnContext(ctx, "a refresh token is not taken back", "session", p.Session, "error", err)
	}
	return c, refresh
}
