package gateway

// observe registers what operators watch. Values are read when they are
// scraped; the request path pays nothing for them.
func (g *Gateway) observe() {
	m, tenants, journal := g.metrics, g.rooms.tenants, g.rooms.journal
	m.Gauge("tenants", "Tenants that exist.", func() float64 { return float64(len(tenants.List())) })
	m.Gauge("tenants_unready", "Tenants in use that are answered with 503, because their journal, store or key is not there.",
		func() float64 { return float64(g.readiness.Unready()) })
	m.Gauge("config_refused", "1 while the config file has problems and the config before it is in effect.", func() float64 {
		if g.standing.Load().refused {
			return 1
		}
		return 0
	})
	m.Gauge("config_keys_waiting", "Keys that are changed in the config file and wait for a restart.",
		func() float64 { return float64(len(g.standing.Load().waiting)) })
	m.Counter("journal_records_total", "Records written to the journals.", nil, func() float64 { return float64(journal.Stats().Records) })
	m.Counter("journal_syncs_total", "Times that a journal was made durable.", nil, func() float64 { return float64(journal.Stats().Syncs) })
	m.Counter("journal_failures_total", "Attempts to write a journal or make it durable that failed.", nil, func() float64 { return float64(journal.Stats().Failures) })
}
