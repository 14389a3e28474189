package gateway

import (
	"slices"
	"time"

	"gatehouse/api"
	"gatehouse/identity"
	"gatehouse/internal/cluster"
)

// health tells the admin API how the gateway is.
type health struct{ rooms *rooms }

// Alerts gives what this node has found and, to operators, what the others say
// that they have. A tenant learns what concerns it, and nothing of nodes (P3).
func (h health) Alerts(tenant identity.TenantID) []api.Alert {
	r := h.rooms
	var all []api.Alert
	for _, one := range r.alerts.open() {
		shown := api.Alert{Reason: one.reason, Level: string(one.level), Since: one.since.UTC(), Means: one.whole(), Advice: one.advice}
		switch tenant {
		case platform:
			shown.Node, shown.About, shown.EventID = r.alerts.node, one.Node, string(one.event)
			if one.Tenant != "" {
				shown.Tenant = one.Name
			}
		case one.Tenant:
			if !one.theirs {
				shown.Advice = "Whoever runs the gateway is told, and sees to it."
			}
		default:
			continue
		}
		all = append(all, shown)
	}
	if tenant != platform {
		return all
	}
	names, others, current := r.roster.others()
	for _, name := range names {
		if h := others[name]; current && h.quiet < silentAfter {
			for _, a := range h.Alerts {
				all = append(all, r.alerts.elsewhere(name, a))
			}
		}
	}
	return all
}

// elsewhere is what another node has found.
func (a *alerts) elsewhere(node string, t told) api.Alert {
	shown := api.Alert{Reason: t.Reason, Level: string(warning), Since: t.Since.UTC(), Node: node, About: t.About, EventID: t.Event,
		Means: "A node of another version tells of this.", Advice: "Look into that node's log."}
	if i := slices.IndexFunc(a.conditions, func(c condition) bool { return c.reason == t.Reason }); i >= 0 {
		c := a.conditions[i]
		shown.Level, shown.Means, shown.Advice = string(c.level), c.means, c.advice
	}
	return shown
}

// self is what this node tells of itself.
func (g *Gateway) self() note {
	state := g.rooms.nodes.bus.State()
	n := note{Process: g.rooms.nodes.id, Version: g.version, Started: g.started.UTC(), Mode: state.Mode, Epoch: state.Epoch, Gaps: state.Gaps,
		Redis: state.RedisReached, SQL: state.SQLReached, Draining: g.draining.Load(), Unready: g.readiness.Unready(), Alerts: []told{}}
	for _, one := range g.rooms.alerts.open() {
		if one.Tenant == "" && len(n.Alerts) < maxNoteTexts/2 {
			n.Alerts = append(n.Alerts, told{Reason: one.reason, About: one.Node, Since: one.since.UTC().Truncate(time.Millisecond), Event: string(one.event)})
		}
	}
	return n
}

// Nodes gives this node and what it knows of the others: what they tell of
// themselves, and who is listed in Redis and SQL.
func (h health) Nodes() []api.Node {
	r := h.rooms
	state := r.nodes.bus.State()
	names, others, current := r.roster.others()
	names = append(append(append(names, r.roster.node), state.Members...), state.Apart...)
	slices.Sort(names)
	names = slices.Compact(names)
	all := make([]api.Node, len(names))
	for i, name := range names {
		n := api.Node{Name: name, Heard: "listed", Alerts: []string{}}
		told, known := others[name]
		switch {
		case name == r.roster.node:
			n.Heard = "self"
			describe(&n, r.roster.self(), time.Now())
		case known:
			describe(&n, told.note, told.at)
			switch {
			case !current:
				n.Heard = "unknown"
			case told.quiet >= silentAfter:
				n.Heard = "silent"
			default:
				n.Heard = "now"
			}
		}
		n.Member = slices.Contains(state.Members, name)
		if n.Heard != "self" && n.Heard != "now" && slices.Contains(state.Apart, name) {
			n.Heard, n.Mode = "listed", string(cluster.ModeSQLOnly) // SQL says so
		}
		all[i] = n
	}
	return all
}

// describe fills in what a node told of itself.
func describe(n *api.Node, t note, at time.Time) {
	at = at.UTC()
	n.Mode, n.Epoch, n.Gaps, n.Drains, n.Version, n.Unready = string(t.Mode), t.Epoch, t.Gaps, t.Draining, t.Version, t.Unready
	n.Started, n.Seen = present(t.Started), &at
	if t.Mode != cluster.ModeAlone {
		n.Redis, n.SQL = &t.Redis, &t.SQL
	}
	for _, a := range t.Alerts {
		n.Alerts = append(n.Alerts, a.Reason)
	}
	slices.Sort(n.Alerts)
	n.Alerts = slices.Compact(n.Alerts)
}
