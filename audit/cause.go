package audit

import (
	"context"
	"net/netip"

	"gatehouse/identity"
)

// Cause is who is behind a change and by which request: what every record of
// the change shares. Services take it beside the tenant.
type Cause struct {
	Actor     Actor
	RequestID identity.RequestID
	Session   identity.SessionID
	IP        netip.Addr
	UserAgent string
}

// SystemCause is the gateway acting by itself, on a timer or at start.
func SystemCause() Cause { return Cause{Actor: Actor{Kind: identity.KindSystem, Name: "gatehouse"}} }

// Event begins an event that this cause brought about.
func (c Cause) Event(tenant identity.TenantID, t Type, o Outcome) Event {
	return Event{Tenant: tenant, Type: t, Outcome: o, Actor: c.Actor, Session: c.Session,
		RequestID: c.RequestID, IP: c.IP, UserAgent: c.UserAgent}
}

// Recorder is the part of the [Journal] that services need: it returns once
// the event is durable, and only then may the change take effect (P1).
type Recorder interface {
	Commit(ctx context.Context, e Event) (Receipt, error)
}
