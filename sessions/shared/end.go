package shared

import (
	"context"
	"encoding/json"
	"fmt"

	"gatehouse/identity"
	"gatehouse/internal/cluster"
	"gatehouse/sessions"
)

const topic = "sessions.end"

// The reasons for which a node by itself closes what a session has open on it.
const (
	// ReasonGone: SQL says that the session is over.
	ReasonGone = "ended-elsewhere"
	// ReasonUnproven: nobody can be asked whether it is.
	ReasonUnproven = "unproven"
)

// ending is what the nodes tell each other.
type ending struct {
	From     string            `json:"from"` // the registry that ends
	Selector sessions.Selector `json:"selector"`
	Reason   string            `json:"reason"`
	// Stale: what has ended may still stand in Redis.
	Stale bool `json:"stale,omitempty"`
}

// report is what a node answers.
type report struct {
	Connections int `json:"connections"`
	Lingering   int `json:"lingering"`
}

// End implements [sessions.Registry]: Redis, this node, then every other.
func (r *Registry) End(ctx context.Context, tenant identity.TenantID, sel sessions.Selector, hashes []sessions.TokenHash, reason string) (sessions.Ended, error) {
	e := ending{From: r.id, Selector: sel, Reason: reason}
	if err := r.copies.remove(ctx, tenant, hashes); err != nil {
		r.log.WarnContext(ctx, "ended sessions were not taken out of Redis, which is not relied on until they are", "tenant", tenant, "error", err)
		r.copies.distrust(tenant)
		e.Stale = true
	}
	body, err := json.Marshal(e)
	if err != nil {
		return sessions.Ended{}, err
	}
	wait := r.shut(ctx, tenant, sel, reason)
	said, err := r.bus.Publish(ctx, cluster.Message{Topic: topic, Tenant: tenant, Body: body})
	ended := wait()
	return r.sum(ended, said), err
}

// sum adds to what was done here what the nodes have said.
func (r *Registry) sum(ended sessions.Ended, said []cluster.Confirmation) sessions.Ended {
	here := ended.Lingering == 0
	ended.Nodes = make([]sessions.NodeConfirmation, 0, len(said))
	for _, c := range said {
		n := sessions.NodeConfirmation{ID: c.Node, Confirmed: c.Confirmed, LeaseExpired: !c.Confirmed && c.Problem == ""}
		var did report
		if len(c.Report) > 0 && json.Unmarshal(c.Report, &did) != nil {
			n.Confirmed = false
		}
		if did.Lingering > 0 || c.Node == r.node && !here {
			n.Confirmed = false
		}
		ended.Connections += max(0, did.Connections)
		ended.Lingering += max(0, did.Lingering)
		ended.Nodes = append(ended.Nodes, n)
	}
	return ended
}

// shut ends what is selected on this node; wait must be called.
func (r *Registry) shut(ctx context.Context, tenant identity.TenantID, sel sessions.Selector, reason string) (wait func() sessions.Ended) {
	r.ledger.ended(tenant, sel) // first: what is looked up now is not held
	lives, err := r.cache.Select(tenant, sel)
	if err != nil { // nobody of this tenant was here
		return func() sessions.Ended { return sessions.Ended{} }
	}
	return r.cache.Shut(ctx, tenant, lives, reason)
}

// apply does here what a node has published.
func (r *Registry) apply(ctx context.Context, m cluster.Message) func(context.Context) ([]byte, error) {
	var e ending
	if err := json.Unmarshal(m.Body, &e); err != nil {
		return func(context.Context) ([]byte, error) {
			return nil, fmt.Errorf("shared: a message that cannot be read: %w", err)
		}
	}
	if e.From == r.id {
		return nil // done by End, which knows whose stream to spare
	}
	if e.Stale {
		r.copies.distrust(m.Tenant)
	}
	wait := r.shut(ctx, m.Tenant, e.Selector, e.Reason)
	return func(context.Context) ([]byte, error) {
		ended := wait()
		return json.Marshal(report{Connections: ended.Connections, Lingering: ended.Lingering})
	}
}
