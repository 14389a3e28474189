package gateway

import (
	"net/http"
	"net/http/pprof"

	"gatehouse/internal/httpkit"
)

// opsHandler serves operators: liveness, readiness, metrics and, where it was
// asked for, profiles. It listens on loopback by default and knows no tenant's
// data.
func (g *Gateway) opsHandler(profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		httpkit.WriteJSON(w, http.StatusOK, map[string]string{"status": "alive", "version": g.version})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		status, text := http.StatusOK, "ready"
		if g.draining.Load() {
			status, text = http.StatusServiceUnavailable, "draining"
		} else if err := g.readiness.look(r.Context(), platform); err != nil {
			status, text = http.StatusServiceUnavailable, err.Error()
		}
		httpkit.WriteJSON(w, status, map[string]any{"status": text, "tenants_unready": g.readiness.Unready()})
	})
	mux.Handle("GET /metrics", g.metrics.Handler())
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}
