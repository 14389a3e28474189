package gateway

import "gatehouse/internal/cluster"

// observe registers what operators watch. Values are read when they are
// scraped; the request path pays nothing for them.
func (g *Gateway) observe() {
	m, tenants, journal, sessions := g.metrics, g.rooms.tenants, g.rooms.journal, g.rooms.sessions
	m.Gauge("tenants", "Tenants that exist.", func() float64 { return float64(len(tenants.List())) })
	m.Gauge("tenants_unready", "Tenants in use that are answered with 503, because their journal, store or key is not there.",
		func() float64 { return float64(g.readiness.Unready()) })
	bus := g.rooms.nodes.bus
	for _, mode := range []cluster.Mode{cluster.ModeAlone, cluster.ModeJoining, cluster.ModeFresh, cluster.ModeSQLOnly, cluster.ModeLost} {
		m.Gauge("registry_"+string(mode), "1 while this node stands so to the others: alone, joining, fresh (answers from memory), sql_only (asks the database for every request) or lost (answers 503).",
			func() float64 { return truth(bus.State().Mode == mode) })
	}
	m.Gauge("registry_members", "Nodes that answer from memory, as far as this one has heard.", func() float64 { return float64(len(bus.State().Members)) })
	m.Gauge("registry_redis_reached", "1 if Redis answered the last time that it was asked.", func() float64 { return truth(bus.State().RedisReached) })
	m.Gauge("registry_sql_reached", "1 if the database answered the last time that it was asked.", func() float64 { return truth(bus.State().SQLReached) })
	m.Counter("registry_gaps_total", "Times that this node may have missed something and verified all that it remembers.", nil, func() float64 { return float64(bus.State().Gaps) })
	m.Gauge("sessions_unsettled", "Revocations that hold on this node and that it does not know the database to have got.",
		func() float64 { return float64(sessions.Unsettled()) })
	m.Gauge("registry_apart", "Nodes that ask the database for every request, as it last said.", func() float64 { return float64(len(bus.State().Apart)) })
	for _, c := range g.rooms.alerts.conditions {
		m.GaugeOf("alert", "Open alerts that this node has found, by their reason.", map[string]string{"reason": c.reason, "level": string(c.level)},
			func() float64 { return float64(g.rooms.alerts.count(c.reason)) })
	}
	m.Gauge("draining", "1 while this node is about to end.", func() float64 { return truth(g.draining.Load()) })
	m.Gauge("index_behind", "Tenants whose events could not be put into the search index when it was last tried.",
		func() float64 { return float64(g.rooms.index.Behind()) })
	m.Gauge("config_refused", "1 while the config file has problems and the config before it is in effect.", func() float64 { return truth(g.standing.Load().refused) })
	m.Gauge("config_keys_waiting", "Keys that are changed in the config file and wait for a restart.",
		func() float64 { return float64(len(g.standing.Load().waiting)) })
	m.Counter("journal_records_total", "Records written to the journals.", nil, func() float64 { return float64(journal.Stats().Records) })
	m.Counter("journal_syncs_total", "Times that a journal was made durable.", nil, func() float64 { return float64(journal.Stats().Syncs) })
	m.Counter("journal_failures_total", "Attempts to write a journal or make it durable that failed.", nil, func() float64 { return float64(journal.Stats().Failures) })
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
