package gateway

// observe registers what operators watch. Values are read when they are
// scraped; the request path pays nothing for them.
func (g *Gateway) observe() {
	g.metrics.Gauge("tenants", "Tenants that exist.", func() float64 { return float64(len(g.rooms.tenants.List())) })
	g.metrics.Gauge("tenants_unready", "Tenants in use that are answered with 503, because their journal, store or key is not there.",
		func() float64 { return float64(g.readiness.Unready()) })
}
