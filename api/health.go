package api

import (
	"context"
	"net/http"
	"time"

	"gatehouse/identity"
)

// Health is what there is to know of how the gateway itself is.
type Health interface {
	// Alerts gives the open alerts that concern a tenant; for the platform, all.
	Alerts(tenant identity.TenantID) []Alert
	// Nodes gives this node and what it has heard of the others, by name.
	Nodes() []Node
}

// Alert is something that must be seen to, from when it is so until it is not.
type Alert struct {
	Reason  string    `json:"reason" doc:"Stable name of the condition, such as redis-unreachable"`
	Level   string    `json:"level" enum:"critical,warning" doc:"critical: somebody is not served, or is about to be"`
	Since   time.Time `json:"since"`
	Means   string    `json:"means" doc:"What it means"`
	Advice  string    `json:"advice" doc:"What to do"`
	Tenant  string    `json:"tenant,omitempty" doc:"Name of the tenant that it concerns, for operators"`
	Node    string    `json:"node,omitempty" doc:"The node that has found it, for operators"`
	About   string    `json:"about,omitempty" doc:"The node that it is so of, if that is another one"`
	EventID string    `json:"event_id,omitempty" doc:"Its event in the platform's log; absent while the journal has not taken it, and for a tenant"`
}

// key tells open alerts apart, in the order of their beginning.
func (a Alert) key() string {
	return a.Since.UTC().Format("2006-01-02T15:04:05.000000000") + " " + a.Reason + " " + a.Node + " " + a.About + " " + a.Tenant
}

// Node is a gateway of those that work together, as far as the one that is asked
// knows.
type Node struct {
	Name    string     `json:"name"`
	Heard   string     `json:"heard" enum:"self,now,listed,silent,unknown" doc:"self: it is the one that answers. now: it tells of itself. listed: it is there, but tells nothing of itself. silent: it has not been heard of for some seconds. unknown: this node hears nobody, and tells what it heard last"`
	Mode    string     `json:"mode,omitempty" enum:"alone,joining,fresh,sql_only,lost" doc:"alone: the only node. joining: makes sure of what it remembers, and answers nothing yet. fresh: answers from memory. sql_only: asks the database for every request. lost: answers 503"`
	Member  bool       `json:"member" doc:"Redis lists it among those that answer from memory"`
	Epoch   uint64     `json:"epoch,omitempty" doc:"The history of Redis that it goes by"`
	Redis   *bool      `json:"redis_reached,omitempty" doc:"Whether Redis answered it the last time"`
	SQL     *bool      `json:"sql_reached,omitempty" doc:"Whether the database answered it the last time"`
	Gaps    uint64     `json:"gaps" doc:"Times that it may have missed something and verified all that it remembers"`
	Drains  bool       `json:"draining" doc:"It is about to end and takes no more connections"`
	Version string     `json:"version,omitempty"`
	Started *time.Time `json:"started_at,omitempty"`
	Seen    *time.Time `json:"seen_at,omitempty" doc:"When it was last heard of"`
	Unready int        `json:"tenants_unready" doc:"Tenants in use that it answers with 503"`
	Alerts  []string   `json:"alerts" doc:"Reasons of its open alerts"`
}

func (a *API) registerHealth() {
	register(a, operation{id: "list-alerts", method: http.MethodGet, path: "/alerts", tag: "Health", needs: reads("audit"),
		summary: "List what must be seen to now, oldest first: for operators of all nodes and tenants, for a tenant what concerns it"}, a.listAlerts)
	register(a, operation{id: "list-nodes", method: http.MethodGet, path: "/platform/nodes", tag: "Platform", platform: true, needs: reads("tenants"),
		summary: "List the gateway's nodes, as far as the one that answers knows"}, a.listNodes)
}

func (a *API) listAlerts(_ context.Context, c *call, in *Paging) (*pageOutput[Alert], error) {
	return pageWithin(*in, a.cfg.Health.Alerts(c.tenant()), Alert.key, itself[Alert]), nil
}

func (a *API) listNodes(_ context.Context, _ *call, in *Paging) (*pageOutput[Node], error) {
	return pageWithin(*in, a.cfg.Health.Nodes(), func(n Node) string { return n.Name }, itself[Node]), nil
}

func itself[T any](t T) T { return t }
