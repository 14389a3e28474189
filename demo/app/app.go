package app

import (
	"log/slog"
	"net/http"

	"gatehouse/assertion"
)

// requestIDHeader is on every request that came through the gate.
const requestIDHeader = "X-Gatehouse-Request-Id"

// Verifier checks the gate's assertion of a request; [assertion.Verifier] does.
type Verifier interface {
	Request(r *http.Request) (assertion.Claims, error)
}

// App is the demo app.
type App struct {
	verifier Verifier
	log      *slog.Logger
	seen     seen
	alerts   alerts
	mux      http.ServeMux
}

// New makes the app. Its long-lived answers (WebSocket, events) end with the
// request's context: give the server a BaseContext that can be cancelled.
func New(verifier Verifier, log *slog.Logger) *App {
	a := &App{verifier: verifier, log: log}
	a.mux.HandleFunc("GET /{$}", a.home)
	a.mux.Handle("GET /assets/", assets())
	a.mux.HandleFunc("GET /public/ping", ping)
	a.mux.HandleFunc("GET /api/whoami", a.whoami)
	a.mux.HandleFunc("GET /api/recent", a.whoami) // the gate asks for a recent authentication here
	a.mux.HandleFunc("GET /api/factor", a.whoami) // and for a second factor here
	a.mux.HandleFunc("GET /api/teams/{team}/alerts", a.listAlerts)
	a.mux.HandleFunc("POST /api/teams/{team}/alerts", a.addAlert)
	a.mux.HandleFunc("GET /api/admin/billing", a.billing)
	a.mux.HandleFunc("GET /ws", a.echoMessages)
	a.mux.HandleFunc("GET /events", a.events)
	a.mux.HandleFunc("GET /slow", slow)
	a.mux.HandleFunc("GET /bytes", manyBytes)
	a.mux.HandleFunc("POST /echo", echo)
	a.mux.HandleFunc("GET /__seen", a.seen.list)
	return a
}

// ServeHTTP notes the request and answers it. What the app has seen is told to
// those alone who ask on its own port: a request that came through the gate
// finds nothing there.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	throughGate := r.Header.Get(requestIDHeader) != ""
	if r.URL.Path == "/__seen" && throughGate {
		a.seen.add(r)
		http.NotFound(w, r)
		return
	}
	if r.URL.Path != "/__seen" {
		a.seen.add(r)
	}
	a.mux.ServeHTTP(w, r)
}
