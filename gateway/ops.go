package gateway

import (
	"errors"
	"net/http"
	"net/http/pprof"

	"gatehouse/internal/httpkit"
)

// opsHandler serves operators: liveness, readiness, metrics and, while they are
// asked for, profiles. It listens on loopback by default and knows no tenant's
// data.
func (g *Gateway) opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		httpkit.WriteJSON(w, http.StatusOK, map[string]string{"status": "alive", "version": g.version})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, text := http.StatusOK, "ready"
		if g.draining.Load() {
			status, text = http.StatusServiceUnavailable, "draining"
		} else if err := errors.Join(g.rooms.nodes.Current(), g.readiness.look(r.Context(), platform)); err != nil { //nolint:contextcheck // who asks for Current shares the answer with others
			status, text = http.StatusServiceUnavailable, err.Error()
		}
		config := g.standing.Load()
		httpkit.WriteJSON(w, status, map[string]any{"status": text, "tenants_unready": g.readiness.Unready(), "alerts": g.rooms.alerts.reasons(),
			"nodes": g.rooms.nodes.standing(), "config_refused": config.refused, "config_waiting": append([]string{}, config.waiting...)})
	})
	mux.Handle("GET /metrics", g.metrics.Handler())
	for address, profile := range map[string]http.HandlerFunc{"": pprof.Index, "profile": pprof.Profile, "trace": pprof.Trace} {
		mux.HandleFunc("GET /debug/pprof/"+address, func(w http.ResponseWriter, r *http.Request) {
			if !g.standing.Load().profiles {
				http.NotFound(w, r)
				return
			}
			profile(w, r)
		})
	}
	return mux
}
