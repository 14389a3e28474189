package audit

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"strings"

	"gatehouse/identity"
	"gatehouse/internal/httpkit"
)

// Cause is who is behind a change and by which request: what every record of
// the change shares. Services take it beside the tenant.
type Cause struct {
	Actor Actor
	// Session, Device and Connection are those that the actor came by.
	Session    identity.SessionID
	Device     identity.DeviceID
	Connection identity.ConnectionID
	RequestID  identity.RequestID
	IP         netip.Addr
	UserAgent  string
}

// SystemCause is the gateway acting by itself, on a timer or at start.
func SystemCause() Cause { return Cause{Actor: Actor{Kind: identity.KindSystem, Name: "gatehouse"}} }

// CauseOf is a caller, nil for an anonymous one, acting by a request that
// passed the gate.
func CauseOf(r *http.Request, p *identity.Principal) Cause {
	q := httpkit.RequestFrom(r.Context())
	c := Cause{Actor: ActorOf(p), RequestID: q.ID, IP: q.ClientIP, UserAgent: clip(r.UserAgent(), p)}
	if p != nil {
		c.Session, c.Device, c.Connection = p.Session, p.Device, p.Connection
	}
	return c
}

// Event begins an event that this cause brought about.
func (c Cause) Event(tenant identity.TenantID, t Type, o Outcome) Event {
	e := Event{Tenant: tenant, Type: t, Outcome: o}
	e.setCause(c)
	return e
}

// Cause is who is behind this event, for what else comes of the same request.
func (e *Event) Cause() Cause {
	return Cause{Actor: e.Actor, Session: e.Session, Device: e.Device, Connection: e.Connection,
		RequestID: e.RequestID, IP: e.IP, UserAgent: e.UserAgent}
}

func (e *Event) setCause(c Cause) {
	e.Actor, e.Session, e.Device, e.Connection = c.Actor, c.Session, c.Device, c.Connection
	e.RequestID, e.IP, e.UserAgent = c.RequestID, c.IP, c.UserAgent
}

// Describe fills in what is known of a request that passed the gate: whose it
// is, what for, and who makes it, nil for an anonymous caller. Where the host
// is nobody's, the event is the operators'.
func (e *Event) Describe(r *http.Request, p *identity.Principal) {
	e.Tenant = cmp.Or(httpkit.RequestFrom(r.Context()).Tenant, identity.Platform)
	e.setCause(CauseOf(r, p))
	e.Method, e.Host, e.Path = clip(r.Method, p), clip(r.Host, p), clip(r.URL.EscapedPath(), p)
}

// clip bounds what a client can make an event hold of one field, in bytes, and
// allows strangers less. What is cut stays UTF-8.
func clip(s string, p *identity.Principal) string {
	most := 1024
	if p == nil {
		most = 256
	}
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// Recorder is the part of the [Journal] that services need: it returns once
// the event is durable, and only then may the change take effect (P1). Where
// there is no journal, the error is a fault of kind Unavailable (P7).
type Recorder interface {
	Commit(ctx context.Context, e Event) (Receipt, error)
}

// CommitAll commits events of one tenant that take effect together, in their
// order, and gives each its id. The [Journal] makes all of them durable at once.
func CommitAll(ctx context.Context, r Recorder, events []Event) error {
	if all, ok := r.(interface {
		CommitAll(ctx context.Context, events []Event) error
	}); ok {
		return all.CommitAll(ctx, events)
	}
	for i, e := range events {
		receipt, err := r.Commit(ctx, e)
		if err != nil {
			return err
		}
		events[i].ID = receipt.Event()
		ctx = context.WithoutCancel(ctx)
	}
	return nil
}
