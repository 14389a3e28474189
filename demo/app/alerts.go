package app

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what the demo keeps in memory.
const (
	maxTeams  = 1000
	maxAlerts = 100 // a team's; the oldest go first
	maxTitle  = 200 // characters
)

// alert is something that a team looks after.
type alert struct {
	ID    string    `json:"id"`
	Title string    `json:"title"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`
}

type teamKey struct{ tenant, team string }

// alerts keeps each team's list; tenants are part of the key, not a filter.
type alerts struct {
	mu    sync.Mutex
	count int
	teams map[teamKey][]alert
}

func (l *alerts) of(key teamKey) []alert {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]alert{}, l.teams[key]...)
}

func (l *alerts) add(key teamKey, a alert) (alert, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.teams == nil {
		l.teams = map[teamKey][]alert{}
	}
	list, known := l.teams[key]
	if !known && len(l.teams) >= maxTeams {
		return a, false
	}
	l.count++
	a.ID = strconv.Itoa(l.count)
	l.teams[key] = append(list[max(0, len(list)-maxAlerts+1):], a)
	return a, true
}

func (a *App) listAlerts(w http.ResponseWriter, r *http.Request) {
	claims, ok := a.tenant(w, r)
	if !ok {
		return
	}
	key := teamKey{claims.TenantID, r.PathValue("team")}
	writeJSON(w, http.StatusOK, map[string]any{"tenant": claims.TenantName, "team": key.team, "alerts": a.alerts.of(key)})
}

func (a *App) addAlert(w http.ResponseWriter, r *http.Request) {
	claims, ok := a.tenant(w, r)
	if !ok {
		return
	}
	var body struct {
		Title string `json:"title"`
	}
	if err := readJSON(r, &body); err != nil || strings.TrimSpace(body.Title) == "" || len(body.Title) > maxTitle {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": `send {"title": "..."} with at most 200 characters`})
		return
	}
	added, ok := a.alerts.add(teamKey{claims.TenantID, r.PathValue("team")},
		alert{Title: body.Title, By: claims.Email, At: time.Now().UTC()})
	if !ok {
		writeJSON(w, http.StatusInsufficientStorage, map[string]string{"error": "the demo app keeps no more teams"})
		return
	}
	writeJSON(w, http.StatusCreated, added)
}

func (a *App) billing(w http.ResponseWriter, r *http.Request) {
	claims, ok := a.tenant(w, r)
	if !ok {
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"tenant": claims.TenantName, "plan": "Business", "seats": 25,
		"invoices": []map[string]any{{"number": "2041", "amount": "1,250.00 EUR", "paid": true}, {"number": "2042", "amount": "1,250.00 EUR", "paid": false}}})
}
