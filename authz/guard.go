package authz

import (
	"context"
	"errors"

	"gatehouse/audit"
	"gatehouse/identity"
	"gatehouse/internal/fault"
)

// Decider answers queries, as the [Engine] does.
type Decider interface {
	Decide(ctx context.Context, p *identity.Principal, q Query) (Permit, Decision, error)
}

// Journal takes the record of a decision before it takes effect.
type Journal interface {
	Write(ctx context.Context, e *audit.Event) (audit.Receipt, error)
}

// Refusals takes the record of a refusal; floods of those of nobody known are
// counted, so that nobody fills the disk from outside.
type Refusals interface {
	Record(ctx context.Context, e audit.Event) (audit.Receipt, error)
}

// Guard stands before what the gateway serves itself. It decides and records in
// one step, so that neither can be left out.
type Guard struct {
	Decider  Decider
	Journal  Journal
	Refusals Refusals
}

var errUnrecorded = errors.New("authz: the journal gave no receipt")

// Admit decides on the request that e describes, and records the decision
// before it takes effect (P1). Without an error the request is allowed and in
// the journal; a refusal is [Query.Refusal] with the id of its record.
func (g Guard) Admit(ctx context.Context, p *identity.Principal, q Query, e *audit.Event) error {
	permit, decision, err := g.Decider.Decide(ctx, p, q)
	if err != nil {
		return err
	}
	decision.Note(e)
	if !permit.Valid(q.Tenant) {
		return g.refuse(ctx, *e, q.Refusal(p))
	}
	receipt, err := g.Journal.Write(ctx, e)
	if err == nil && !receipt.Valid() {
		err = errUnrecorded
	}
	return err
}

// Refuse records that the request which e describes is refused for a reason
// that is not a decision's, and gives it back with the id of the record.
func (g Guard) Refuse(ctx context.Context, e audit.Event, refusal *fault.Fault) error {
	e.Role = ""
	e.Reason, e.Message = refusal.Recorded()
	return g.refuse(ctx, e, refusal)
}

func (g Guard) refuse(ctx context.Context, e audit.Event, refusal *fault.Fault) error {
	e.Type, e.Outcome = audit.AccessRefused, audit.Refused
	receipt, err := g.Refusals.Record(ctx, e)
	if err != nil {
		return err
	}
	return refusal.WithEvent(string(receipt.Event()))
}

// ErrSignInRequired refuses a caller that nobody knows.
var ErrSignInRequired = fault.New(fault.Unauthenticated, "sign-in-required", "Sign in, or send an API token as Authorization: Bearer.")

// Refusal is what a caller reads to whom the query is answered with no.
func (q Query) Refusal(p *identity.Principal) *fault.Fault {
	switch {
	case p == nil:
		return ErrSignInRequired
	case q.Access == NeedPermission:
		return fault.New(fault.Denied, "not-allowed", "You may not do this: it needs the permission %s. An admin can give you a role that has it.", q.Permission)
	}
	return fault.New(fault.Denied, "not-allowed", "You may not do this.")
}

// Note puts the decision into the event of the request that it is about.
func (d Decision) Note(e *audit.Event) {
	e.Type, e.Outcome = audit.AccessAllowed, audit.Success
	if !d.Allowed {
		e.Type, e.Outcome = audit.AccessRefused, audit.Refused
	}
	e.Reason, e.Message = d.Reason, d.Message
	e.Role, e.PolicyVersion = d.Role, d.PolicyVersion
	if e.Actor.Name == "" {
		e.Actor.Name = d.Subject
	}
}
